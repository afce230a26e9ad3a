//! `requestState` that the server can tell from a forged one.
//!
//! A client gives the state back as it got it, or so it says: MCP 2026-07-28, multi round-trip requests,
//! wants its integrity proven before it is used.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::ErrorData;

/// A key of this process.
#[derive(Debug)]
pub(super) struct Seal(hmac::Key);

impl Seal {
    /// A fresh key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn fresh() -> Result<Self, Unspecified> {
        hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).map(Self)
    }

    /// The state that says: `name` waits for the answers of `round`.
    pub(super) fn close(&self, name: &str, round: usize) -> String {
        let payload = format!("{round}:{name}");
        let tag = hmac::sign(&self.0, payload.as_bytes());
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// The round for which `name` waited.
    pub(super) fn open(&self, name: &str, state: &str) -> Result<usize, ErrorData> {
        let opened = || {
            let (payload, tag) = state.split_once('.')?;
            let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
            let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
            hmac::verify(&self.0, &payload, &tag).ok()?;
            let payload = String::from_utf8(payload).ok()?;
            let (round, owner) = payload.split_once(':')?;
            if owner == name { round.parse().ok() } else { None }
        };
        opened().ok_or_else(|| ErrorData::invalid_params("this requestState was not made here", None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_closed_and_nothing_else() {
        let seal = Seal::fresh().unwrap();
        let state = seal.close("tool", 1);
        assert_eq!(seal.open("tool", &state).unwrap(), 1);
        assert!(seal.open("other", &state).is_err());
        assert!(seal.open("tool", &state.replace('.', "x")).is_err());
        assert!(seal.open("tool", &format!("{state}A")).is_err());
        assert!(Seal::fresh().unwrap().open("tool", &state).is_err());
    }
}
