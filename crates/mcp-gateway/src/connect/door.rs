//! The address of one server behind the gateway, which is also the `resource` of its tokens (RFC 8707).

use gateway_adapters::https::is_loopback;
use url::Url;

use super::trouble::{Code, Trouble};

/// `{public_url}/mcp/{environment}/{server}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Door(Url);

impl Door {
    /// Takes a plain address. The token goes there, so `http://` needs the person's word unless it stays on
    /// this machine.
    ///
    /// # Errors
    /// Another scheme, user information, a query or a fragment, or plain `http://` to elsewhere.
    pub fn parse(url: Url, plain_http: bool) -> Result<Self, Trouble> {
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        if !bare || !is_web {
            return Err(Trouble::new(Code::Address));
        }
        if !is_safe(&url, plain_http) {
            let why = "the login would travel in clear text";
            return Err(Trouble::new(Code::Address).because(why));
        }
        Ok(Self(url))
    }

    /// The address.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// As it is sent as `resource`, and as the keyring knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a token may be sent to this address.
#[must_use]
pub fn is_safe(url: &Url, plain_http: bool) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && (plain_http || is_loopback(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, plain_http: bool) -> Option<String> {
        Door::parse(Url::parse(text).unwrap(), plain_http).ok().map(|door| door.as_str().to_owned())
    }

    #[test]
    fn a_token_goes_nowhere_in_clear_text_unless_it_is_said() {
        assert!(parsed("http://gateway.example/mcp/dev/a", false).is_none());
        assert!(parsed("http://gateway.example/mcp/dev/a", true).is_some());
        for here in
            ["http://127.0.0.1:8080/mcp/dev/a", "http://[::1]/mcp/dev/a", "http://localhost/mcp/dev/a"]
        {
            assert_eq!(parsed(here, false).as_deref(), Some(here));
        }
        assert!(parsed("http://127.0.0.1.evil.example/mcp/dev/a", false).is_none());
    }

    #[test]
    fn an_address_with_anything_beside_is_none() {
        for bad in [
            "https://u@h/a",
            "https://u:p@h/a",
            "https://h/a?x=1",
            "https://h/a#b",
            "ftp://h/a",
            "mailto:a@b",
        ] {
            assert_eq!(parsed(bad, true), None, "{bad}");
        }
    }
}
