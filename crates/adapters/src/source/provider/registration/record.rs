//! A registration, as the one secret that a store keeps of it.

use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde_json::json;

use crate::source::kept::{document, fields, value};
use crate::store::json_text::secret_field;

/// The field that it is kept in.
pub(super) const FIELD: &str = "client";

/// What a provider knows the gateway by.
#[derive(Debug)]
pub(in crate::source::provider) struct Registered {
    pub(in crate::source::provider) id: String,
    pub(in crate::source::provider) proof: Proof,
    pub(super) registered_at: Timestamp,
    /// From when on the provider does not take the client secret any more.
    pub(super) secret_expires_at: Option<Timestamp>,
}

/// How the gateway proves to be that client.
#[derive(Debug)]
pub(in crate::source::provider) enum Proof {
    /// Not at all.
    None,
    /// By the client secret in the header.
    Basic(Secret),
    /// By the client secret in the body.
    Post(Secret),
    /// By the gateway's signing keys.
    GatewayKey,
}

impl Proof {
    const fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic(_) => "client_secret_basic",
            Self::Post(_) => "client_secret_post",
            Self::GatewayKey => "gateway_key",
        }
    }

    const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic(secret) | Self::Post(secret) => Some(secret),
            Self::None | Self::GatewayKey => None,
        }
    }
}

/// What is stored is not what this gateway writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored registration cannot be read: `{0}`")]
pub(super) struct Unreadable(&'static str);

impl From<&'static str> for Unreadable {
    fn from(field: &'static str) -> Self {
        Self(field)
    }
}

impl Registered {
    /// Whether the provider has let its secret expire.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.secret_expires_at.is_some_and(|end| end <= now)
    }

    /// Reads what the store holds.
    pub(super) fn read(document: &Secret) -> Result<Self, Unreadable> {
        let fields = fields(document).ok_or(Unreadable("document"))?;
        let secret = || secret_field(&fields, "client_secret").map_err(|_| Unreadable("client_secret"));
        let method: String = value(&fields, "authentication")?;
        let proof = match method.as_str() {
            "none" => Proof::None,
            "client_secret_basic" => Proof::Basic(secret()?),
            "client_secret_post" => Proof::Post(secret()?),
            "gateway_key" => Proof::GatewayKey,
            _ => return Err(Unreadable("authentication")),
        };
        let id: String = value(&fields, "client_id")?;
        if id.is_empty() {
            return Err(Unreadable("client_id"));
        }
        Ok(Self {
            id,
            proof,
            registered_at: value(&fields, "registered_at")?,
            secret_expires_at: value(&fields, "secret_expires_at")?,
        })
    }

    /// Writes what the store shall hold; nothing where the secret is no text.
    pub(super) fn write(&self) -> Option<Secret> {
        let plain = json!({
            "client_id": self.id, "authentication": self.proof.word(),
            "registered_at": self.registered_at, "secret_expires_at": self.secret_expires_at,
        });
        document(&plain, &[("client_secret", self.proof.secret())])
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test compares the secret")]
mod tests {
    use super::*;

    fn registered(proof: Proof, ends: Option<i64>) -> Registered {
        Registered {
            id: "client \"1\"".to_owned(),
            proof,
            registered_at: Timestamp::from_seconds(1_000),
            secret_expires_at: ends.map(Timestamp::from_seconds),
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let secret = || Secret::copy_from(b"s3cret \"with\" \\ all");
        for proof in [Proof::None, Proof::GatewayKey, Proof::Basic(secret()), Proof::Post(secret())] {
            let written = registered(proof, Some(2_000));
            let read = Registered::read(&written.write().unwrap()).unwrap();
            assert_eq!((&read.id, read.proof.word()), (&written.id, written.proof.word()));
            assert_eq!(read.secret_expires_at, written.secret_expires_at);
            assert_eq!(read.registered_at, written.registered_at);
            assert_eq!(read.proof.secret().map(Secret::expose), written.proof.secret().map(Secret::expose));
        }
    }

    #[test]
    fn a_secret_is_over_at_its_end_and_none_never_is() {
        let at = Timestamp::from_seconds;
        let limited = registered(Proof::None, Some(2_000));
        assert!(!limited.is_over(at(1_999)) && limited.is_over(at(2_000)));
        assert!(!registered(Proof::None, None).is_over(at(i32::MAX.into())));
    }

    #[test]
    fn what_somebody_else_put_there_is_refused() {
        for text in [
            "",
            "{}",
            "a-secret-somebody-put-there",
            r#"{"client_id":"","authentication":"none","registered_at":"2026-01-01T00:00:00Z","secret_expires_at":null}"#,
            r#"{"client_id":"a","authentication":"client_secret_basic","registered_at":"2026-01-01T00:00:00Z","secret_expires_at":null}"#,
            r#"{"client_id":"a","authentication":"tls_client_auth","registered_at":"2026-01-01T00:00:00Z","secret_expires_at":null}"#,
        ] {
            assert!(Registered::read(&Secret::copy_from(text.as_bytes())).is_err(), "{text}");
        }
    }
}
