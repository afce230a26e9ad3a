//! Redirect URIs: what may be registered, and which request matches (OAuth 2.1, section 2.3.1; RFC 8252,
//! section 7.3).

use url::Url;

/// The longest redirect URI, in bytes.
const MOST_BYTES: usize = 1024;

/// A redirect URI that a client registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedirectUri(String);

/// A loopback address in its parts; the port is the one part that may differ.
#[derive(PartialEq, Eq)]
struct Loopback<'a> {
    host: &'a str,
    rest: &'a str,
}

impl RedirectUri {
    /// Takes `https` with any host, and `http` with a loopback address; without user, fragment, and
    /// whatever two readers could read in two ways. Nothing for everything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MOST_BYTES || !text.bytes().all(plain) {
            return None;
        }
        let authority = authority(text)?;
        if authority.contains('@') {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let taken = match url.scheme() {
            "https" => url.host_str().is_some_and(|host| !host.is_empty()) && text.starts_with("https://"),
            "http" => loopback(text).is_some(),
            _ => false,
        };
        // What our reader would write differently, another may read differently: `https://a` alone gains
        // its slash, and nothing else may change.
        let same = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
        (taken && same && url.fragment().is_none()).then(|| Self(text.to_owned()))
    }

    /// Whether a request's redirect URI is this one: the same text, or, for a loopback address, the same
    /// but for the port.
    pub fn matches(&self, asked: &str) -> bool {
        if self.0 == asked {
            return true;
        }
        // Read as strictly as a registered one.
        Self::parse(asked).is_some()
            && loopback(&self.0).zip(loopback(asked)).is_some_and(|(own, asked)| own == asked)
    }

    /// As it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Visible ASCII without what URLs escape and without backslashes, which some readers take for slashes.
const fn plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#')
}

fn authority(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    rest.split(['/', '?']).next()
}

fn loopback(text: &str) -> Option<Loopback<'_>> {
    let after = text.strip_prefix("http://")?;
    let end = after.find(['/', '?']).unwrap_or(after.len());
    let (authority, rest) = after.split_at_checked(end)?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
    })?;
    Some(Loopback { host, rest })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}
