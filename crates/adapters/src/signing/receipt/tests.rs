//! Pseudonyms, and receipts through the lives of keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::{Actor, UserIdentity};
use gateway_core::audit::BindingRevision;
use gateway_core::id::{BindingName, EnvironmentName, RequestId, Revision, ServerName};
use gateway_core::manifest::CredentialMode;
use gateway_core::ports::OwnKeys as _;
use gateway_core::receipt::{ContentDigest, Receipt, Who};
use gateway_core::refusal::Code;
use gateway_core::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::signing::{Purpose, Signer, SigningConfig, record, rotate_now};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn config(directory: &TempDir) -> SigningConfig {
    SigningConfig {
        key_file: directory.path().join("signing.json"),
        rotate_after: SigningConfig::ROTATE_AFTER,
    }
}

fn sign(signer: &Signer, audience: &str, user: &str) -> Result<String, Code> {
    let user = UserIdentity { issuer: "https://idp.example".into(), subject: user.into() };
    let actor = Actor { user: Some(user), ..Actor::default() };
    let receipt = Receipt {
        issuer: "https://mcp.example",
        audience: &audience.parse().unwrap(),
        request_id: &RequestId::parse("01m8bdth85t49b6869v7149xkk").unwrap(),
        nonce: [0; 8],
        who: Who::Pseudonymous(&actor),
        environment: &EnvironmentName::parse("dev").unwrap(),
        server: &ServerName::parse("issues").unwrap(),
        method: None,
        tool: None,
        mode: CredentialMode::ServiceAccount,
        binding: BindingRevision { name: BindingName::parse("triage").unwrap(), revision: Revision(1) },
        policy_version: None,
        decided_at: START,
        content: ContentDigest::of(b""),
    };
    signer.sign_receipt(&receipt).map_err(|refusal| refusal.code())
}

fn subject(signer: &Signer, audience: &str, user: &str) -> String {
    let receipt = sign(signer, audience, user).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(receipt.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

#[test]
fn a_pseudonym_is_the_same_at_one_server_and_another_at_the_next() {
    let directory = TempDir::new().unwrap();
    let one = Signer::open(&config(&directory), START).unwrap();
    let replica = Signer::open(&config(&directory), START).unwrap();
    let alice = subject(&one, "https://a.example/", "alice");
    assert!(alice.starts_with("pseudonym:") && !alice.contains("alice"), "{alice}");
    assert_eq!(alice, subject(&one, "https://a.example/", "alice"));
    assert_eq!(alice, subject(&replica, "https://a.example/", "alice"));
    assert_ne!(alice, subject(&one, "https://b.example/", "alice"));
    assert_ne!(alice, subject(&one, "https://a.example/", "bob"));
    assert_ne!(alice, subject(&Signer::ephemeral(START).unwrap(), "https://a.example/", "alice"));
}

#[test]
fn pseudonyms_end_with_the_key() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    let signer = Signer::open(&config, START).unwrap();
    let before = subject(&signer, "https://a.example/", "alice");
    let later = START.plus(Duration::from_secs(7_200));
    rotate_now(&config, Purpose::Receipt, false, later).unwrap();
    signer.tend(later).unwrap();
    assert_ne!(before, subject(&signer, "https://a.example/", "alice"));
}

#[test]
fn without_a_key_there_is_no_receipt_and_everything_else_goes_on() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    drop(Signer::open(&config, START).unwrap());
    // As it is with keys that are older than receipts, in a file that this process cannot write.
    let mut records = record::read(&config.key_file).unwrap();
    records.retain(|record| record.purpose != Purpose::Receipt);
    let ring = super::Ring::of(records).unwrap();
    let signer = Signer {
        config: None,
        rotate_after: config.rotate_after,
        ring: std::sync::RwLock::new(std::sync::Arc::new(ring)),
    };
    assert_eq!(sign(&signer, "https://a.example/", "alice").unwrap_err(), Code::ReceiptUnavailable);
    assert!(signer.is_complete());
}

#[test]
fn keys_from_before_there_were_receipts_get_some() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    drop(Signer::open(&config, START).unwrap());
    let mut records = record::read(&config.key_file).unwrap();
    records.retain(|record| record.purpose != Purpose::Receipt);
    record::write(&config.key_file, &records).unwrap();
    let signer = Signer::open(&config, START).unwrap();
    sign(&signer, "https://a.example/", "alice").unwrap();
}
