//! Which keys of a set are used.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::algorithm::JwtAlgorithm;
use super::super::keys::{KeySet, Missing};
use super::*;

fn set(keys: &Value) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn rsa(bits: usize, exponent: &[u8]) -> Value {
    let modulus = vec![0xff_u8; bits / 8];
    json!({"kty": "RSA", "kid": "k", "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent)})
}

#[test]
fn leaves_out_weak_keys() {
    for (bits, exponent, usable) in [
        (1024, &[1, 0, 1][..], 0),
        (2040, &[1, 0, 1], 0),
        (2048, &[1, 0, 1], 1),
        (4096, &[3], 1),
        (16384, &[1, 0, 1], 0),
        (2048, &[1], 0),
        (2048, &[0, 0, 1], 0),
        (2048, &[2], 0),
        (2048, &[], 0),
    ] {
        assert_eq!(set(&json!([rsa(bits, exponent)])).len(), usable, "{bits} bits, exponent {exponent:?}");
    }
}

#[test]
fn leaves_out_keys_that_are_not_for_verifying() {
    let key = |changes: Value| {
        let mut key = rsa(2048, &[1, 0, 1]);
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    for (changes, usable) in [
        (json!({"use": "sig"}), 1),
        (json!({"use": "enc"}), 0),
        (json!({"use": 7}), 0),
        (json!({"key_ops": ["verify"]}), 1),
        (json!({"key_ops": ["sign"]}), 0),
        (json!({"key_ops": ["encrypt"], "use": "sig"}), 0),
        (json!({"alg": "RS256"}), 1),
        (json!({"alg": "RSA-OAEP"}), 0),
        (json!({"alg": "HS256"}), 0),
        (json!({"alg": "ES256"}), 0),
        (json!({"d": "private"}), 0),
        (json!({"kid": 7}), 0),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), 0),
    ] {
        assert_eq!(set(&json!([key(changes.clone())])).len(), usable, "{changes}");
    }
}

#[test]
fn coordinates_must_have_the_length_of_their_curve() {
    let point = |length: usize| URL_SAFE_NO_PAD.encode(vec![1_u8; length]);
    for (key, usable) in [
        (json!({"kty": "EC", "crv": "P-256", "x": point(32), "y": point(32)}), 1),
        (json!({"kty": "EC", "crv": "P-256", "x": point(31), "y": point(33)}), 0),
        (json!({"kty": "EC", "crv": "P-384", "x": point(48), "y": point(48)}), 1),
        (json!({"kty": "EC", "crv": "P-521", "x": point(66), "y": point(66)}), 0),
        (json!({"kty": "EC", "crv": "secp256k1", "x": point(32), "y": point(32)}), 0),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": point(32)}), 1),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": point(57)}), 0),
        (json!({"kty": "OKP", "crv": "X25519", "x": point(32)}), 0),
    ] {
        assert_eq!(set(&json!([key.clone()])).len(), usable, "{key}");
    }
}

#[test]
fn two_keys_of_one_id_are_a_guess() {
    let one = rsa(2048, &[1, 0, 1]);
    let other = rsa(2048, &[3]);
    let found = |keys: Value, id| set(&keys).find(id, JwtAlgorithm::Rs256).map(drop);
    assert_eq!(found(json!([one]), Some("k")), Ok(()));
    assert_eq!(found(json!([one, other]), Some("k")), Err(Missing::Unknown));
    assert_eq!(found(json!([one]), None), Ok(()), "one key, no id");
    assert_eq!(found(json!([one, other]), None), Err(Missing::Unknown));
    assert_eq!(
        set(&json!([one])).find(Some("k"), JwtAlgorithm::Es256).map(drop),
        Err(Missing::OtherAlgorithm)
    );
}

#[test]
fn refuses_documents_that_are_no_key_set() {
    for document in ["", "[]", "{}", r#"{"keys": {}}"#, r#"{"keys": [], "keys": []}"#, "<html>"] {
        assert!(KeySet::parse(document.as_bytes()).is_none(), "{document}");
    }
}

#[test]
fn a_changed_key_under_the_same_id_counts_as_lost() {
    let before = set(&json!([rsa(2048, &[1, 0, 1])]));
    assert!(!before.lost_one(&set(&json!([rsa(2048, &[1, 0, 1]), rsa(3072, &[1, 0, 1])]))));
    assert!(before.lost_one(&set(&json!([rsa(2048, &[3])]))));
}
