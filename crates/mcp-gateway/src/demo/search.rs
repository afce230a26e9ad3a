//! Looking for keys, in two ways that know nothing of each other: by the scrubber's own search, and by
//! plain forms spelled out here, so that a blind spot of the one is not a blind spot of the proof.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use gateway_core::id::BindingName;
use gateway_core::scrub::{Marker, NeedleSource, Needles};
use memchr::memmem;
use url::form_urlencoded;

use super::failure::Failure;
use super::key::Key;

/// The search for some keys.
pub(super) struct Search {
    needles: Needles,
    forms: Vec<Vec<u8>>,
}

impl Search {
    /// For every listed encoding of every one of the keys.
    pub(super) fn new(keys: &[&Key]) -> Result<Self, Failure> {
        let name = BindingName::parse("sweep").map_err(|error| Failure::at("the sweep's name", error))?;
        let values = keys.iter().flat_map(|key| {
            let user = "user";
            [NeedleSource::Value(key.secret()), NeedleSource::BasicAuth { user, password: key.secret() }]
        });
        let needles =
            Needles::build(values, Marker::new(&name)).map_err(|error| Failure::at("the sweep", error))?;
        let forms = keys.iter().flat_map(|key| forms(&key.text())).collect();
        Ok(Self { needles, forms })
    }

    /// Whether any form of any key occurs.
    pub(super) fn finds(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.needles.contains(bytes) || self.forms.iter().any(|form| memmem::find(bytes, form).is_some())
    }

    /// How many plain forms it knows.
    pub(super) const fn forms(&self) -> usize {
        self.forms.len()
    }
}

/// The forms of one value, spelled out.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let value = text.as_bytes();
    let json = |text: &str| {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
    };
    let percent: String = value.iter().map(|byte| format!("%{byte:02X}")).collect();
    let (once, plain_hex) = (json(text), hex::encode(value));
    let mut forms = vec![
        text.to_owned(),
        json(&once),
        once,
        form_urlencoded::byte_serialize(value).collect(),
        percent.to_ascii_lowercase(),
        percent,
        plain_hex.to_ascii_uppercase(),
        plain_hex,
    ];
    for lead in 0..3_usize {
        let shifted = [vec![b'x'; lead], value.to_vec()].concat();
        for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            // What the value alone determines: without the characters that its neighbours share.
            let text = alphabet.encode(&shifted);
            let core = text.get((8 * lead).div_ceil(6)..8 * shifted.len() / 6).unwrap_or_default();
            forms.push(core.to_owned());
        }
    }
    forms.retain(|form| form.len() >= 16);
    forms.into_iter().map(String::into_bytes).collect()
}
