//! Documents that a store keeps as one secret: plain fields, and secrets among them.

use gateway_core::secret::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::store::json_text::{Fields, append_quoted};

/// The fields of a kept document; absent where it is none.
#[expect(clippy::disallowed_methods, reason = "the stored document is taken apart into its fields")]
pub(super) fn fields(document: &Secret) -> Option<Fields<'_>> {
    serde_json::from_slice(document.expose()).ok()
}

/// A plain field; the error is its name.
pub(super) fn value<T: DeserializeOwned>(fields: &Fields<'_>, name: &'static str) -> Result<T, &'static str> {
    let raw = fields.get(name).ok_or(name)?;
    serde_json::from_str(raw.get()).map_err(|_| name)
}

/// The document of a plain object and these secrets; nothing where one of them is no text.
#[expect(clippy::disallowed_methods, reason = "the secrets go into the document that the store keeps")]
pub(super) fn document(plain: &Value, secrets: &[(&str, Option<&Secret>)]) -> Option<Secret> {
    let plain = plain.to_string();
    let length: usize = secrets.iter().filter_map(|(_, secret)| secret.map(Secret::len)).sum();
    // Large enough never to move: an escape is at most sixfold, and names are short.
    let room = length.saturating_mul(6).saturating_add(plain.len()).saturating_add(64);
    let mut document = Vec::with_capacity(room);
    document.extend_from_slice(plain.strip_suffix('}')?.as_bytes());
    for (name, secret) in secrets {
        let Some(secret) = secret else { continue };
        document.push(b',');
        append_quoted(&mut document, name);
        document.push(b':');
        append_quoted(&mut document, std::str::from_utf8(secret.expose()).ok()?);
    }
    document.push(b'}');
    Some(Secret::new(document))
}
