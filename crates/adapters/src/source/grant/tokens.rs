//! The tokens of one grant, as the one secret that a store keeps of it.

use std::time::Duration;

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;

use crate::source::kept::{document, fields, value};
use crate::source::provider::Tokens;
use crate::store::json_text::secret_field;

/// The field that the tokens are kept in.
pub(super) const FIELD: &str = "grant";

/// Renewed so long before the end, or at a fifth of the lifetime before it, whichever is less.
const AHEAD: Duration = Duration::from_secs(60);

/// Tokens of a grant. Cannot be printed: its tokens are secrets.
#[derive(Debug)]
pub(super) struct GrantTokens {
    pub(super) access_token: Secret,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) refresh_token: Option<Secret>,
    pub(super) scopes: Vec<String>,
    /// What they are for (RFC 8707).
    pub(super) resource: Option<String>,
}

/// What is stored is not what this gateway writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored tokens of the grant cannot be read: `{0}`")]
pub(super) struct Unreadable(&'static str);

impl From<&'static str> for Unreadable {
    fn from(field: &'static str) -> Self {
        Self(field)
    }
}

impl GrantTokens {
    /// The tokens of a first answer.
    pub(super) fn first(tokens: Tokens, resource: Option<&str>, now: Timestamp) -> Self {
        Self {
            access_token: tokens.access_token,
            issued_at: now,
            expires_at: now.plus(tokens.lifetime),
            refresh_token: tokens.refresh_token,
            scopes: tokens.scopes,
            resource: resource.map(str::to_owned),
        }
    }

    /// The tokens after a refresh: what the answer leaves out stays as it was.
    pub(super) fn refreshed(&self, tokens: Tokens, now: Timestamp) -> Self {
        let old = || self.refresh_token.as_ref().map(Secret::duplicate);
        Self {
            refresh_token: tokens.refresh_token.or_else(old),
            scopes: if tokens.scopes.is_empty() { self.scopes.clone() } else { tokens.scopes },
            access_token: tokens.access_token,
            issued_at: now,
            expires_at: now.plus(tokens.lifetime),
            resource: self.resource.clone(),
        }
    }

    /// From when on it is time to renew.
    pub(super) fn due(&self) -> Timestamp {
        let lifetime = self.expires_at.since(self.issued_at);
        let ahead = AHEAD.min(lifetime / 5);
        self.issued_at.plus(lifetime.saturating_sub(ahead))
    }

    /// The access token, ready to be used. The name of the version tells the grant and the store's version.
    pub(super) fn access(&self, grant: &str, stored: &SecretVersion) -> SecretVersion {
        SecretVersion {
            secret: self.access_token.duplicate(),
            version: VersionId::new(&format!("{grant}.{}", stored.version)),
            created_at: Some(self.issued_at),
            expires_at: Some(self.expires_at),
            store_request_id: stored.store_request_id.clone(),
        }
    }

    /// Reads what the store holds.
    pub(super) fn read(document: &Secret) -> Result<Self, Unreadable> {
        let fields = fields(document).ok_or(Unreadable("document"))?;
        let there = |name: &str| fields.get(name).is_some_and(|raw| raw.get() != "null");
        let token = |name: &'static str| secret_field(&fields, name).map_err(|_| Unreadable(name));
        Ok(Self {
            access_token: token("access_token")?,
            issued_at: value(&fields, "issued_at")?,
            expires_at: value(&fields, "expires_at")?,
            refresh_token: there("refresh_token").then(|| token("refresh_token")).transpose()?,
            scopes: value(&fields, "scopes")?,
            resource: there("resource").then(|| value(&fields, "resource")).transpose()?,
        })
    }

    /// Writes what the store shall hold.
    pub(super) fn write(&self) -> Option<Secret> {
        let plain = serde_json::json!({
            "issued_at": self.issued_at, "expires_at": self.expires_at,
            "scopes": self.scopes, "resource": self.resource,
        });
        let tokens =
            [("access_token", Some(&self.access_token)), ("refresh_token", self.refresh_token.as_ref())];
        document(&plain, &tokens)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test compares tokens")]
mod tests {
    use super::*;

    fn tokens(lifetime: u64) -> GrantTokens {
        let now = Timestamp::from_seconds(1_000);
        GrantTokens {
            access_token: Secret::copy_from(b"access-\"1\""),
            issued_at: now,
            expires_at: now.plus(Duration::from_secs(lifetime)),
            refresh_token: Some(Secret::copy_from(b"refresh\\1")),
            scopes: vec!["notes.read".to_owned()],
            resource: Some("https://notes.example/mcp".to_owned()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = tokens(300);
        let read = GrantTokens::read(&written.write().unwrap()).unwrap();
        assert_eq!(read.access_token.expose(), b"access-\"1\"");
        assert_eq!(read.refresh_token.unwrap().expose(), b"refresh\\1");
        assert_eq!((read.issued_at, read.expires_at), (written.issued_at, written.expires_at));
        assert_eq!((read.scopes, read.resource), (written.scopes, written.resource));
        let bare = GrantTokens { refresh_token: None, resource: None, ..tokens(300) };
        let read = GrantTokens::read(&bare.write().unwrap()).unwrap();
        assert!(read.refresh_token.is_none() && read.resource.is_none());
    }

    #[test]
    fn what_is_no_document_of_ours_is_refused() {
        for text in ["", "[]", "{}", "{\"access_token\":\"\"}", "a-token-somebody-put-there"] {
            assert!(GrantTokens::read(&Secret::copy_from(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn is_due_a_minute_or_a_fifth_before_the_end() {
        let seconds = |lifetime| tokens(lifetime).due().since(Timestamp::from_seconds(1_000)).as_secs();
        assert_eq!(seconds(3_600), 3_540);
        assert_eq!(seconds(300), 240);
        assert_eq!(seconds(100), 80);
        assert_eq!(seconds(10), 8);
    }
}
