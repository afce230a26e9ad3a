//! The login of one door: its tokens, and where they came from.

use std::fmt;

use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::connect::trouble::{Code, Trouble};

/// The shape of the document.
const VERSION: u32 = 1;

/// Tokens of one person for one door, issued to one client by one authorization server.
pub struct Tokens {
    /// Tells one issue from the next; no part of it is secret.
    pub serial: String,
    /// Who issued them.
    pub issuer: String,
    /// To whom.
    pub client_id: String,
    /// Where they are renewed.
    pub token_endpoint: Url,
    /// Where they are given back (RFC 7009), if anywhere.
    pub revocation_endpoint: Option<Url>,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// The access token.
    pub access: Secret,
    /// The refresh token, good once.
    pub refresh: Option<Secret>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    serial: &'a str,
    issuer: &'a str,
    client_id: &'a str,
    token_endpoint: &'a Url,
    revocation_endpoint: Option<&'a Url>,
    expires_at: Timestamp,
    access_token: &'a str,
    refresh_token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    serial: String,
    issuer: String,
    client_id: String,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    expires_at: Timestamp,
    access_token: String,
    refresh_token: Option<String>,
}

impl Tokens {
    /// The header that carries the access token.
    ///
    /// # Errors
    /// The token cannot stand in a header.
    #[expect(clippy::disallowed_methods, reason = "the person's access token goes into the request's header")]
    pub fn bearer(&self) -> Result<HeaderValue, Trouble> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.access.len().saturating_add(8)));
        text.extend_from_slice(b"Bearer ");
        text.extend_from_slice(self.access.expose());
        let mut value = HeaderValue::from_bytes(&text).map_err(|_| Trouble::new(Code::Token))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The document that the keyring keeps.
    ///
    /// # Errors
    /// A token is no text.
    #[expect(clippy::disallowed_methods, reason = "the tokens go into the document that the keyring keeps")]
    pub fn write(&self) -> Result<Secret, Trouble> {
        let text = |secret: &Secret| {
            let text = std::str::from_utf8(secret.expose()).map(str::to_owned);
            text.map(Zeroizing::new).map_err(|_| Trouble::new(Code::Token))
        };
        let access = text(&self.access)?;
        let refresh = self.refresh.as_ref().map(text).transpose()?;
        let written = Written {
            version: VERSION,
            serial: &self.serial,
            issuer: &self.issuer,
            client_id: &self.client_id,
            token_endpoint: &self.token_endpoint,
            revocation_endpoint: self.revocation_endpoint.as_ref(),
            expires_at: self.expires_at,
            access_token: &access,
            refresh_token: refresh.as_ref().map(|text| text.as_str()),
        };
        // Large enough from the start: a buffer that grows leaves its former self behind.
        let mut bytes = Vec::with_capacity(access.len().saturating_mul(2).saturating_add(4096));
        serde_json::to_writer(&mut bytes, &written).map_err(|_| Trouble::new(Code::Token))?;
        Ok(Secret::new(bytes))
    }

    /// Reads the document.
    ///
    /// # Errors
    /// It is none that [`Tokens::write`] made.
    #[expect(clippy::disallowed_methods, reason = "the keyring's document is taken apart into its tokens")]
    pub fn read(document: &Secret) -> Result<Self, Trouble> {
        let unreadable = || Trouble::new(Code::KeyringUnreadable);
        let read: Read = serde_json::from_slice(document.expose()).map_err(|_| unreadable())?;
        if read.version != VERSION {
            return Err(unreadable());
        }
        Ok(Self {
            serial: read.serial,
            issuer: read.issuer,
            client_id: read.client_id,
            token_endpoint: read.token_endpoint,
            revocation_endpoint: read.revocation_endpoint,
            expires_at: read.expires_at,
            access: Secret::new(read.access_token.into_bytes()),
            refresh: read.refresh_token.map(|text| Secret::new(text.into_bytes())),
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} of {}, until {})", self.serial, self.issuer, self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            serial: "s1".into(),
            issuer: "https://gateway.example".into(),
            client_id: "client".into(),
            token_endpoint: Url::parse("https://gateway.example/oauth/token").unwrap(),
            revocation_endpoint: None,
            expires_at: Timestamp::from_seconds(100),
            access: Secret::copy_from(b"header.claims.signature"),
            refresh: Some(Secret::copy_from(b"mcpgwr_refresh")),
        }
    }

    #[test]
    fn what_the_keyring_keeps_is_what_was_given() {
        let read = Tokens::read(&tokens().write().unwrap()).unwrap();
        assert_eq!(read.bearer().unwrap().as_bytes(), b"Bearer header.claims.signature");
        assert_eq!((read.serial.as_str(), read.expires_at), ("s1", Timestamp::from_seconds(100)));
        assert_eq!(read.refresh.unwrap().len(), "mcpgwr_refresh".len());
    }

    #[test]
    fn no_token_is_ever_shown() {
        let tokens = tokens();
        let shown = format!("{tokens:?} {:?}", tokens.bearer().unwrap());
        assert!(!shown.contains("signature") && !shown.contains("mcpgwr_refresh"), "{shown}");
    }

    #[test]
    fn what_another_program_wrote_is_refused_by_name() {
        for other in ["", "{}", "plain text", "{\"version\":2}"] {
            let refused = Tokens::read(&Secret::copy_from(other.as_bytes())).unwrap_err();
            assert_eq!(refused.code, Code::KeyringUnreadable, "{other}");
        }
        let later = b"{\"version\":2,\"serial\":\"s\",\"issuer\":\"i\",\"client_id\":\"c\",\"token_endpoint\":\"https://h/t\",\"revocation_endpoint\":null,\"expires_at\":\"2026-01-01T00:00:00Z\",\"access_token\":\"a\",\"refresh_token\":null}";
        assert_eq!(Tokens::read(&Secret::copy_from(later)).unwrap_err().code, Code::KeyringUnreadable);
    }
}
