use super::*;

static_assertions::assert_not_impl_any!(Secret: Clone, std::fmt::Display, serde::Serialize, PartialEq, std::ops::Deref);

#[test]
fn debug_shows_neither_content_nor_length() {
    let short = format!("{:?}", Secret::copy_from(b"a"));
    let long = format!("{:?}", Secret::copy_from(&[b'x'; 500]));
    assert_eq!(short, long);
    assert!(!long.contains('x'));
}

#[test]
fn header_safety_refuses_line_breaks_controls_and_edges() {
    for bad in ["a\r\nb", "a\nb", "a\tb", "a\0b", " a", "a ", "caf\u{e9}", "\u{7f}"] {
        assert!(!Secret::copy_from(bad.as_bytes()).is_header_safe(), "{bad:?}");
    }
    assert!(Secret::copy_from(b"ghp_abc DEF~!").is_header_safe());
}

#[test]
fn fingerprint_is_hmac_sha256_of_the_value() {
    // RFC 4231 test case 2 has key "Jefe" zero-filled here to 32 bytes, which HMAC treats alike.
    let mut key = [0_u8; 32];
    key[..4].copy_from_slice(b"Jefe");
    let print = Secret::copy_from(b"what do ya want for nothing?").fingerprint(&FingerprintKey::new(key));
    assert_eq!(print.to_string(), "5bdcc146bf60");
}

#[test]
fn fingerprints_differ_by_deployment_key() {
    let secret = Secret::copy_from(b"same value in two places");
    let one = secret.fingerprint(&FingerprintKey::new([1; 32]));
    let two = secret.fingerprint(&FingerprintKey::new([2; 32]));
    assert_ne!(one, two);
}
