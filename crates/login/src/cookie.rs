//! The two cookies: one that a login is bound to before anybody is known, and the session.

use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use crate::realm::Realm;

/// What a cookie is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The browser, before anybody has logged in with it.
    Browser,
    /// The session of a person.
    Session,
}

/// How cookies are named and marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jar {
    /// Whether the gateway is reached over https. Over plain http, which only loopback addresses may
    /// have, browsers take neither `Secure` nor the `__Host-` prefix.
    pub secure: bool,
    /// Whose they are.
    pub realm: Realm,
}

/// Every value of ours has this length: 256 bits in base64url.
const LENGTH: usize = 43;

impl Jar {
    const fn name(self, kind: Kind) -> &'static str {
        self.realm.cookie(kind, self.secure)
    }

    /// The cookie's value; nothing where it is absent, malformed, or there twice.
    pub fn read(self, headers: &HeaderMap, kind: Kind) -> Option<Secret> {
        let name = self.name(kind);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        let value = values.next()?;
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let well_formed = value.len() == LENGTH && value.bytes().all(ours) && values.next().is_none();
        well_formed.then(|| Secret::copy_from(value.as_bytes()))
    }

    /// The header that sets the cookie, for as long as the browser runs.
    #[expect(clippy::disallowed_methods, reason = "a cookie is handed to its browser once")]
    pub fn set(self, kind: Kind, value: &Secret) -> Option<HeaderValue> {
        let text = Zeroizing::new(String::from_utf8_lossy(value.expose()).into_owned());
        self.line(kind, &text, "")
    }

    /// The header that makes the browser forget the cookie.
    pub fn clear(self, kind: Kind) -> Option<HeaderValue> {
        self.line(kind, "", "; Max-Age=0")
    }

    fn line(self, kind: Kind, value: &str, more: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let name = self.name(kind);
        let line = Zeroizing::new(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}"));
        let mut line = HeaderValue::from_str(&line).ok()?;
        line.set_sensitive(true);
        Some(line)
    }
}
