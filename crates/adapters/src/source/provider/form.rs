//! Form bodies that hold secrets (`application/x-www-form-urlencoded`), in buffers that are zeroed.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_core::lease::SecretVersion;
use gateway_core::secret::Secret;
use zeroize::Zeroizing;

/// One value of a form.
pub(in crate::source) enum Value<'a> {
    Text(Cow<'a, str>),
    Secret(&'a Secret),
    Made(Secret),
    Fetched(Arc<SecretVersion>),
}

/// A form in the making.
#[derive(Default)]
pub(in crate::source) struct Form<'a> {
    pairs: Vec<(&'static str, Value<'a>)>,
}

impl<'a> Form<'a> {
    /// A form for the token endpoint.
    pub(in crate::source) fn grant(grant_type: &'static str) -> Self {
        Self { pairs: vec![("grant_type", Value::Text(Cow::Borrowed(grant_type)))] }
    }

    pub(in crate::source) fn text(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.pairs.push((name, Value::Text(value.into())));
        self
    }

    pub(in crate::source) fn optional(self, name: &'static str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// The scopes, space-separated; no parameter where there are none.
    pub(in crate::source) fn scopes(self, scopes: &[&str]) -> Self {
        if scopes.is_empty() { self } else { self.text("scope", scopes.join(" ")) }
    }

    pub(in crate::source) fn secret(mut self, name: &'static str, value: &'a Secret) -> Self {
        self.pairs.push((name, Value::Secret(value)));
        self
    }

    pub(in crate::source) fn push(&mut self, name: &'static str, value: Value<'a>) {
        self.pairs.push((name, value));
    }

    /// The encoded body. The buffer is large enough from the start, so it never moves.
    #[expect(clippy::disallowed_methods, reason = "secrets go into the body for the provider's own endpoint")]
    pub(in crate::source) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = |value: &Value<'_>| match value {
            Value::Text(text) => text.len(),
            Value::Secret(secret) => secret.len(),
            Value::Made(secret) => secret.len(),
            Value::Fetched(version) => version.secret.len(),
        };
        let most: usize = self.pairs.iter().map(|(name, value)| name.len() + 2 + 3 * length(value)).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(most));
        for (name, value) in &self.pairs {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend_from_slice(name.as_bytes());
            body.push(b'=');
            match value {
                Value::Text(text) => push_encoded(&mut body, text.as_bytes()),
                Value::Secret(secret) => push_encoded(&mut body, secret.expose()),
                Value::Made(secret) => push_encoded(&mut body, secret.expose()),
                Value::Fetched(version) => push_encoded(&mut body, version.secret.expose()),
            }
        }
        body
    }
}

/// `application/x-www-form-urlencoded` (WHATWG URL, section 5.2), which RFC 6749 names in appendix B.
pub(super) fn push_encoded(to: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => to.push(*byte),
            b' ' => to.push(b'+'),
            _ => {
                to.push(b'%');
                to.push(hex_digit(byte >> 4));
                to.push(hex_digit(byte & 15));
            }
        }
    }
}

const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + value - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_a_url_library_does() {
        let secret = Secret::copy_from("p+s w/ö%&=~*".as_bytes());
        let form = Form::grant("client_credentials").secret("client_secret", &secret).scopes(&["a b", "c"]);
        let expected: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_secret", "p+s w/ö%&=~*")
            .append_pair("scope", "a b c")
            .finish();
        let encoded = form.encode();
        assert_eq!(std::str::from_utf8(&encoded).unwrap(), expected);
        assert!(Form::default().scopes(&[]).encode().is_empty());
    }
}
