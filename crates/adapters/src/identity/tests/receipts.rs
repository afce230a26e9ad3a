//! What passes for a receipt, and what does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::{Actor, UserIdentity};
use gateway_core::audit::BindingRevision;
use gateway_core::id::{BindingName, EnvironmentName, RequestId, Revision, ServerName};
use gateway_core::manifest::CredentialMode;
use gateway_core::ports::OwnKeys as _;
use gateway_core::receipt::{ContentDigest, Receipt, Who};
use serde_json::Map;

use super::super::{ReceiptError, ReceiptRules, verify_receipt};
use super::*;
use crate::signing::{Algorithm, Purpose, Signer};

const SERVER: &str = "https://issues.internal/mcp";

fn signer() -> Signer {
    Signer::ephemeral(at(0)).unwrap()
}

fn receipt(signer: &Signer) -> String {
    let user = UserIdentity { issuer: "https://idp.example".into(), subject: "alice".into() };
    let actor = Actor { user: Some(user), ..Actor::default() };
    let receipt = Receipt {
        issuer: PUBLIC_URL,
        audience: &SERVER.parse().unwrap(),
        request_id: &RequestId::parse("01m8bdth85t49b6869v7149xkk").unwrap(),
        nonce: [7; 8],
        who: Who::Named(&actor),
        environment: &EnvironmentName::parse("dev").unwrap(),
        server: &ServerName::parse("issues").unwrap(),
        method: Some("tools/call".to_owned()),
        tool: None,
        mode: CredentialMode::ServiceAccount,
        binding: BindingRevision { name: BindingName::parse("triage").unwrap(), revision: Revision(1) },
        policy_version: None,
        decided_at: at(0),
        content: ContentDigest::of(b"{}"),
    };
    signer.sign_receipt(&receipt).unwrap()
}

/// Claims as a receipt has them, changed.
fn claims(changes: &Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": PUBLIC_URL, "aud": SERVER, "jti": "one", "sub": "agent:triage-bot",
        "iat": NOW, "nbf": NOW, "exp": NOW + 60
    });
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = change.clone();
        }
    }
    claims.as_object().unwrap().clone()
}

#[expect(clippy::disallowed_methods, reason = "a test verifies the token")]
fn signed(signer: &Signer, purpose: Purpose, algorithm: Algorithm, changes: &Value) -> String {
    let token = Signer::sign(signer, purpose, algorithm, &claims(changes)).unwrap();
    String::from_utf8(token.expose().to_vec()).unwrap()
}

/// Judged with every key of the gateway, so that no verdict hangs on which set was read.
fn judge_at(signer: &Signer, text: &str, seconds: i64) -> Result<Map<String, Value>, ReceiptError> {
    let rules = ReceiptRules {
        audience: SERVER,
        issuer: Some(PUBLIC_URL),
        leeway: std::time::Duration::from_secs(5),
    };
    verify_receipt(text, signer.jwks(None).to_string().as_bytes(), &rules, at(seconds))
}

fn judge(signer: &Signer, text: &str) -> Result<Map<String, Value>, ReceiptError> {
    judge_at(signer, text, 0)
}

#[test]
fn a_receipt_is_verified_with_the_key_set_of_its_purpose_alone() {
    let signer = signer();
    let receipt = receipt(&signer);
    let own = signer.jwks(Some(Purpose::Receipt)).to_string();
    let rules = ReceiptRules { audience: SERVER, issuer: None, leeway: std::time::Duration::ZERO };
    let said = verify_receipt(&receipt, own.as_bytes(), &rules, at(1)).unwrap();
    assert_eq!(said["sub"], "https://idp.example|alice");
    assert_eq!(said["jti"], "01m8bdth85t49b6869v7149xkk.0707070707070707");
    let minted = signer.jwks(Some(Purpose::Minted)).to_string();
    let judged = verify_receipt(&receipt, minted.as_bytes(), &rules, at(1));
    assert_eq!(judged.unwrap_err(), ReceiptError::UnknownKey);
}

#[test]
fn its_time_ends_after_a_minute_and_begins_at_the_decision() {
    let signer = signer();
    let receipt = receipt(&signer);
    for (seconds, outcome) in [
        (-6, Err(ReceiptError::NotYetValid)),
        (-5, Ok(())),
        (64, Ok(())),
        (65, Err(ReceiptError::Expired)),
        (100_000, Err(ReceiptError::Expired)),
    ] {
        assert_eq!(judge_at(&signer, &receipt, seconds).map(drop), outcome, "{seconds}");
    }
}

#[test]
fn no_other_token_of_the_gateway_passes_for_a_receipt() {
    let signer = signer();
    for purpose in Purpose::ALL {
        for algorithm in Algorithm::ALL {
            let judged = judge(&signer, &signed(&signer, purpose, algorithm, &json!({})));
            let expected = if purpose == Purpose::Receipt { Ok(()) } else { Err(ReceiptError::Type) };
            assert_eq!(judged.map(drop), expected, "{purpose:?} {algorithm:?}");
        }
    }
}

#[test]
fn claims_that_do_not_hold_are_told_apart() {
    let signer = signer();
    for (changes, error) in [
        (json!({"aud": "https://issues.internal/mcp/"}), ReceiptError::Audience),
        (json!({"aud": "https://other.internal/mcp"}), ReceiptError::Audience),
        (json!({"aud": [SERVER]}), ReceiptError::Claims),
        (json!({"aud": null}), ReceiptError::Claims),
        (json!({"iss": "https://evil.example"}), ReceiptError::Issuer),
        (json!({"iss": null}), ReceiptError::Claims),
        (json!({"jti": null}), ReceiptError::Claims),
        (json!({"nbf": null}), ReceiptError::Claims),
        (json!({"nbf": NOW + 30}), ReceiptError::NotYetValid),
        (json!({"iat": NOW - 100, "exp": NOW - 40}), ReceiptError::Expired),
    ] {
        let text = signed(&signer, Purpose::Receipt, Algorithm::EdDsa, &changes);
        assert_eq!(judge(&signer, &text).unwrap_err(), error, "{changes}");
    }
}

#[test]
fn forged_ones_and_those_of_other_keys_are_refused() {
    let (signer, stranger) = (signer(), signer());
    let (good, strange) = (receipt(&signer), receipt(&stranger));
    assert_eq!(judge(&signer, &strange).unwrap_err(), ReceiptError::UnknownKey);
    let parts: Vec<&str> = good.split('.').collect();
    let others: Vec<&str> = strange.split('.').collect();
    // The key's id without the key.
    let claimed = [parts[0], others[1], others[2]].join(".");
    assert_eq!(judge(&signer, &claimed).unwrap_err(), ReceiptError::Signature);
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    said["sub"] = json!("agent:somebody-else");
    let changed = [parts[0], &encode(said), parts[2]].join(".");
    assert_eq!(judge(&signer, &changed).unwrap_err(), ReceiptError::Signature);
    let typ = Purpose::Receipt.typ();
    for (header, error) in [
        (json!({"alg": "none", "typ": typ, "kid": "k"}), ReceiptError::Algorithm),
        (json!({"alg": "HS256", "typ": typ, "kid": "k"}), ReceiptError::Algorithm),
        (json!({"alg": "RS256", "typ": typ, "kid": "k"}), ReceiptError::Algorithm),
        (json!({"alg": "EdDSA", "typ": typ}), ReceiptError::Malformed),
        (json!({"alg": "EdDSA", "typ": typ, "kid": "k", "jwk": {}}), ReceiptError::Malformed),
        (json!({"alg": "EdDSA", "kid": "k"}), ReceiptError::Type),
    ] {
        let text = [&encode(header.clone()), parts[1], parts[2]].join(".");
        assert_eq!(judge(&signer, &text).unwrap_err(), error, "{header}");
    }
    for text in ["", "a.b", "a.b.c", &format!("{good}.x"), good.get(1..).unwrap()] {
        assert_eq!(judge(&signer, text).unwrap_err(), ReceiptError::Malformed, "{text}");
    }
    let rules = ReceiptRules { audience: SERVER, issuer: None, leeway: std::time::Duration::ZERO };
    assert_eq!(verify_receipt(&good, b"[]", &rules, at(0)).unwrap_err(), ReceiptError::KeySet);
}
