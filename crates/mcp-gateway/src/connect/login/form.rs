//! Forms for the authorization server's own endpoints, in buffers that are zeroed.

use gateway_core::secret::Secret;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The value of a field.
pub(super) enum Value<'a> {
    /// Anybody may know it.
    Open(&'a str),
    /// Nobody may.
    Secret(&'a Secret),
}

/// The fields as `application/x-www-form-urlencoded`.
#[expect(
    clippy::disallowed_methods,
    reason = "code, verifier and refresh token go to their own endpoint once"
)]
pub(super) fn encode(fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let size = |value: &Value<'_>| match value {
        Value::Open(text) => text.len(),
        Value::Secret(secret) => secret.len(),
    };
    // Every byte may take three: a buffer that grows leaves its former self behind.
    let room: usize = fields.iter().map(|(name, value)| name.len() + 3 * size(value) + 2).sum();
    let mut form = Vec::with_capacity(room);
    for (name, value) in fields {
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(name.as_bytes());
        form.push(b'=');
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(match value {
            Value::Open(text) => text.as_bytes().to_vec(),
            Value::Secret(secret) => secret.expose().to_vec(),
        });
        byte_serialize(&bytes).for_each(|part| form.extend_from_slice(part.as_bytes()));
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_become_two() {
        let secret = Secret::copy_from(b"a&b=c d");
        let form = encode(&[("x", Value::Open("1&y=2")), ("code", Value::Secret(&secret))]);
        assert_eq!(form, b"x=1%26y%3D2&code=a%26b%3Dc+d");
    }
}
