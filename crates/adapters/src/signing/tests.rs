//! Keys through their lives, by a clock that the tests hold.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::ports::OwnKeys as _;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{Algorithm, LEAD, Purpose, RotateError, Signer, SigningConfig, SigningError, rotate_now};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn config(directory: &TempDir) -> SigningConfig {
    SigningConfig { key_file: directory.path().join("keys/signing.json"), rotate_after: DAY }
}

fn claims(now: Timestamp, seconds: i64) -> Map<String, Value> {
    let iat = now.seconds();
    json!({ "sub": "agent", "iat": iat, "exp": iat + seconds }).as_object().unwrap().clone()
}

fn sign(signer: &Signer, purpose: Purpose, now: Timestamp) -> String {
    let token = signer.sign(purpose, Algorithm::EdDsa, &claims(now, 60)).unwrap();
    text(&token)
}

#[expect(clippy::disallowed_methods, reason = "a test verifies the token")]
fn text(token: &Secret) -> String {
    String::from_utf8(token.expose().to_vec()).unwrap()
}

fn header(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

/// Whether a verifier that holds this key set accepts the token.
fn accepts(jwks: &Value, token: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let header = header(token);
    let keys = jwks["keys"].as_array().unwrap();
    let Some(key) = keys.iter().find(|key| key["kid"] == header["kid"] && key["alg"] == header["alg"]) else {
        return false;
    };
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    if key["alg"] == "EdDSA" {
        return UnparsedPublicKey::new(&ED25519, part("x")).verify(signed.as_bytes(), &signature).is_ok();
    }
    let point = [vec![4], part("x"), part("y")].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
}

#[test]
fn every_purpose_signs_with_keys_and_a_typ_of_its_own() {
    let directory = TempDir::new().unwrap();
    let signer = Signer::open(&config(&directory), START).unwrap();
    for purpose in Purpose::ALL {
        for algorithm in Algorithm::ALL {
            let token = text(&signer.sign(purpose, algorithm, &claims(START, 60)).unwrap());
            assert_eq!(header(&token)["typ"], purpose.typ());
            assert_eq!(header(&token)["alg"], algorithm.word());
            assert!(accepts(&signer.jwks(None), &token));
            for other in Purpose::ALL {
                let own = other == purpose;
                assert_eq!(accepts(&signer.jwks(Some(other)), &token), own, "{purpose:?} by {other:?}");
            }
        }
    }
}

#[test]
fn key_sets_have_names_and_hold_no_private_half() {
    let signer = Signer::ephemeral(START).unwrap();
    let all = signer.key_set(None).unwrap();
    for purpose in Purpose::ALL {
        let set: Value = serde_json::from_slice(&signer.key_set(Some(purpose.word())).unwrap()).unwrap();
        assert_eq!(set, signer.jwks(Some(purpose)));
    }
    assert_eq!(signer.key_set(Some("receipts")), None);
    let set: Value = serde_json::from_slice(&all).unwrap();
    for key in set["keys"].as_array().unwrap() {
        assert!(key.get("d").is_none(), "{key}");
    }
}

#[test]
fn refuses_tokens_that_would_outlive_their_key() {
    let signer = Signer::ephemeral(START).unwrap();
    let mut no_end = claims(START, 60);
    no_end.remove("exp");
    let mut no_start = claims(START, 60);
    no_start.remove("iat");
    for refused in [no_end, no_start, claims(START, 901), claims(START, 0), claims(START, -5)] {
        let refused = signer.sign(Purpose::Minted, Algorithm::EdDsa, &refused);
        assert!(matches!(refused, Err(SigningError::Lifetime(Purpose::Minted, _))));
    }
    signer.sign(Purpose::Minted, Algorithm::EdDsa, &claims(START, 900)).unwrap();
}

#[test]
fn a_restart_signs_with_the_same_keys() {
    let directory = TempDir::new().unwrap();
    let token = sign(&Signer::open(&config(&directory), START).unwrap(), Purpose::Minted, START);
    let again = Signer::open(&config(&directory), START.plus(DAY / 2)).unwrap();
    assert!(accepts(&again.jwks(Some(Purpose::Minted)), &token));
    assert_eq!(header(&token)["kid"], header(&sign(&again, Purpose::Minted, START))["kid"]);
}

#[test]
fn a_key_is_published_before_it_signs_and_until_its_last_token_has_expired() {
    let directory = TempDir::new().unwrap();
    let signer = Signer::open(&config(&directory), START).unwrap();
    let mut published: Vec<(Timestamp, Value)> = Vec::new();
    let mut last: Vec<(Timestamp, String)> = Vec::new();
    let mut now = START;
    let mut kids = std::collections::BTreeSet::new();
    while now < START.plus(DAY * 4) {
        signer.tend(now).unwrap();
        let jwks = signer.jwks(Some(Purpose::Minted));
        let token = text(&signer.sign(Purpose::Minted, Algorithm::EdDsa, &claims(now, 900)).unwrap());
        kids.insert(header(&token)["kid"].as_str().unwrap().to_owned());
        // A verifier with a key set of five minutes ago knows the key already.
        if let Some((_, old)) =
            published.iter().rev().find(|(at, _)| now.since(*at) >= Duration::from_secs(300))
        {
            assert!(accepts(old, &token), "{now}: signed by a key that was not published");
        }
        // Every token that has not expired is still verifiable.
        last.retain(|(end, _)| *end >= now);
        for (_, earlier) in &last {
            assert!(accepts(&jwks, earlier), "{now}: withdrawn before its last token expired");
        }
        last.push((now.plus(Duration::from_secs(900)), token));
        published.push((now, jwks));
        now = now.plus(Duration::from_secs(300));
    }
    assert_eq!(kids.len(), 4, "a key for each of four days");
    let keys = signer.jwks(Some(Purpose::Minted));
    assert!(keys["keys"].as_array().unwrap().len() <= 6, "{keys}");
}

#[test]
fn replicas_that_share_the_file_rotate_once() {
    let directory = TempDir::new().unwrap();
    let one = Signer::open(&config(&directory), START).unwrap();
    let two = Signer::open(&config(&directory), START).unwrap();
    let later = START.plus(DAY);
    one.tend(later).unwrap();
    let token = sign(&one, Purpose::AccessToken, later);
    assert!(accepts(&two.jwks(None), &token), "published before it signed, on the other replica too");
    two.tend(later).unwrap();
    assert_eq!(one.jwks(None), two.jwks(None));
    assert_eq!(header(&token)["kid"], header(&sign(&two, Purpose::AccessToken, later))["kid"]);
}

#[test]
fn retired_keys_leave_no_private_half_in_the_file() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    let signer = Signer::open(&config, START).unwrap();
    let first = header(&sign(&signer, Purpose::Minted, START))["kid"].as_str().unwrap().to_owned();
    let private = |file: &Path| {
        let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let keys = file["keys"].as_array().unwrap().clone();
        keys.into_iter().find(|key| key["kid"] == first.as_str()).map(|key| key["private"].is_string())
    };
    assert_eq!(private(&config.key_file), Some(true));
    signer.tend(START.plus(DAY)).unwrap();
    assert_eq!(private(&config.key_file), Some(true), "it is retiring");
    signer.tend(START.plus(DAY + Duration::from_secs(900 + 660))).unwrap();
    assert_eq!(private(&config.key_file), Some(false));
    signer.tend(START.plus(DAY * 200)).unwrap();
    assert_eq!(private(&config.key_file), None);
}

#[test]
fn an_ordered_rotation_waits_until_the_next_key_is_known() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    let signer = Signer::open(&config, START).unwrap();
    let old = sign(&signer, Purpose::Minted, START);
    let refused = rotate_now(&config, Purpose::Minted, false, START);
    assert!(matches!(refused, Err(RotateError::TooSoon)));
    let later = START.plus(LEAD);
    assert_eq!(rotate_now(&config, Purpose::Minted, false, later).unwrap(), 2);
    signer.tend(later).unwrap();
    assert!(accepts(&signer.jwks(None), &old));
    assert_ne!(header(&old)["kid"], header(&sign(&signer, Purpose::Minted, later))["kid"]);
}

#[test]
fn a_compromised_key_is_withdrawn_at_once() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    let signer = Signer::open(&config, START).unwrap();
    let (minted, access) =
        (sign(&signer, Purpose::Minted, START), sign(&signer, Purpose::AccessToken, START));
    rotate_now(&config, Purpose::Minted, true, START).unwrap();
    signer.tend(START).unwrap();
    assert!(!accepts(&signer.jwks(None), &minted));
    assert!(accepts(&signer.jwks(None), &access), "the other purposes go on");
    assert!(accepts(&signer.jwks(None), &sign(&signer, Purpose::Minted, START)));
}

#[test]
fn the_file_is_its_owners_and_one_that_others_may_read_is_refused() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    drop(Signer::open(&config, START).unwrap());
    let mode = || std::fs::metadata(&config.key_file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&config.key_file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Signer::open(&config, START).unwrap_err().to_string();
    assert!(error.contains("may be read by others"), "{error}");
}

#[test]
fn damaged_files_are_refused_and_not_repeated() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    drop(Signer::open(&config, START).unwrap());
    let good: Value = serde_json::from_slice(&std::fs::read(&config.key_file).unwrap()).unwrap();
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut file = good.clone();
        spoil(&mut file);
        std::fs::write(&config.key_file, file.to_string()).unwrap();
        Signer::open(&config, START).unwrap_err().to_string()
    };
    let other_key = good["keys"][2]["private"].clone();
    assert!(spoilt(&|file| file["format"] = json!("x")).contains("another format"));
    assert!(spoilt(&|file| *file = json!("canary")).contains("no file of signing keys"));
    assert!(!spoilt(&|file| file["keys"][0]["state"] = json!("canary")).contains("canary"));
    assert!(spoilt(&|file| file["keys"][0]["private"] = json!("AAAA")).contains("no key of its algorithm"));
    assert!(spoilt(&|file| file["keys"][0]["private"] = Value::Null).contains("no key of its algorithm"));
    let swapped = spoilt(&|file| file["keys"][0]["private"] = other_key.clone());
    assert!(swapped.contains("is the id of another key") || swapped.contains("no key of its algorithm"));
    assert!(spoilt(&|file| file["keys"][1]["state"] = json!("active")).contains("two keys"));
}

#[test]
fn debug_and_the_default_place_tell_no_key() {
    let signer = Signer::ephemeral(START).unwrap();
    let shown = format!("{signer:?}");
    assert!(shown.contains("Active") && !shown.contains("private"), "{shown}");
    let beside = |path: &str| SigningConfig::beside(Path::new(path)).key_file;
    assert_eq!(beside("data/audit"), Path::new("data/signing.json"));
    assert_eq!(beside("/"), Path::new("/signing.json"));
}
