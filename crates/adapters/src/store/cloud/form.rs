//! The form of a login (RFC 6749, appendix B), the secret of which moves into one zeroed buffer.

use gateway_core::secret::Secret;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The plain parameters, and the secret one at the end.
#[expect(clippy::disallowed_methods, reason = "the platform's token goes into the login's body")]
pub(in crate::store) fn form_with(plain: &[(&str, &str)], name: &str, secret: &Secret) -> Zeroizing<Vec<u8>> {
    // Large enough that it never moves: an escape is three bytes for one.
    let named: usize = plain.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(named + name.len() + 1 + 3 * secret.len()));
    for (name, value) in plain {
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        byte_serialize(value.as_bytes()).for_each(|part| body.extend_from_slice(part.as_bytes()));
        body.push(b'&');
    }
    body.extend_from_slice(name.as_bytes());
    body.push(b'=');
    byte_serialize(secret.expose()).for_each(|part| body.extend_from_slice(part.as_bytes()));
    body
}
