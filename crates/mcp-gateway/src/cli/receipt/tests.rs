//! The verdicts and the exit codes of `receipt verify`.

use std::path::Path;

use gateway_adapters::signing::{Purpose, Signer};
use gateway_core::audit::BindingRevision;
use gateway_core::id::{BindingName, EnvironmentName, RequestId, Revision, ServerName};
use gateway_core::manifest::CredentialMode;
use gateway_core::ports::OwnKeys as _;
use gateway_core::receipt::{ContentDigest, Receipt, Who};
use gateway_core::time::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::print::Output;
use crate::cli::tests::play;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SERVER: &str = "https://issues.internal/mcp";
const THEN: &str = "2027-01-15T08:00:30Z";

struct Kept {
    _directory: TempDir,
    keys: String,
    receipt: String,
}

fn kept() -> Kept {
    let signer = Signer::ephemeral(START).unwrap();
    let receipt = Receipt {
        issuer: "https://mcp.example",
        audience: &SERVER.parse().unwrap(),
        request_id: &RequestId::parse("01m8bdth85t49b6869v7149xkk").unwrap(),
        nonce: [0; 8],
        who: Who::Gateway,
        environment: &EnvironmentName::parse("dev").unwrap(),
        server: &ServerName::parse("issues").unwrap(),
        method: Some("tools/call".to_owned()),
        tool: None,
        mode: CredentialMode::ServiceAccount,
        binding: BindingRevision { name: BindingName::parse("triage").unwrap(), revision: Revision(3) },
        policy_version: None,
        decided_at: START,
        content: ContentDigest::of(b"{}"),
    };
    let receipt = signer.sign_receipt(&receipt).unwrap();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("keys.json");
    std::fs::write(&file, signer.jwks(Some(Purpose::Receipt)).to_string()).unwrap();
    let keys = file.to_str().unwrap().to_owned();
    Kept { _directory: directory, keys, receipt }
}

fn verify(kept: &Kept, receipt: &str, more: &[&str]) -> (u8, Value, String) {
    let command = ["receipt", "verify", receipt, "--jwks", &kept.keys];
    let (exit, out, error) = play(&[&command[..], more].concat(), Output::Json);
    (exit, serde_json::from_str(&out).unwrap_or_default(), error)
}

#[test]
fn a_receipt_that_holds_is_shown() {
    let kept = kept();
    let rules = ["--audience", SERVER, "--issuer", "https://mcp.example/", "--at", THEN];
    let (exit, said, error) = verify(&kept, &kept.receipt, &rules);
    assert_eq!((exit, &said["valid"]), (0, &Value::Bool(true)), "{error}");
    assert_eq!(said["claims"]["binding"], "triage@3");
    let command = ["receipt", "verify", &kept.receipt, "--jwks", &kept.keys];
    let (_, out, _) = play(&[&command[..], &rules].concat(), Output::Table);
    assert!(out.starts_with("The receipt holds\n") && out.contains("triage@3"), "{out}");
    assert!(out.contains("2027-01-15T08:01:00Z"), "{out}");
}

#[test]
fn one_that_does_not_hold_says_why_and_nothing_else() {
    let kept = kept();
    let elsewhere = self::kept();
    for (receipt, rules, reason) in [
        (kept.receipt.as_str(), &["--audience", SERVER, "--at", "2027-01-15T07:59:54Z"][..], "not_yet_valid"),
        (kept.receipt.as_str(), &["--audience", SERVER, "--at", "2027-01-15T08:01:05Z"], "expired"),
        (
            kept.receipt.as_str(),
            &["--audience", "https://other.internal/mcp", "--at", THEN],
            "wrong_audience",
        ),
        (
            kept.receipt.as_str(),
            &["--audience", SERVER, "--at", THEN, "--issuer", "https://x.example"],
            "wrong_issuer",
        ),
        (elsewhere.receipt.as_str(), &["--audience", SERVER, "--at", THEN], "unknown_key"),
        ("a.b.c", &["--audience", SERVER, "--at", THEN], "malformed"),
    ] {
        let (exit, said, error) = verify(&kept, receipt, rules);
        assert_eq!(exit, 5, "{reason}: {error}");
        assert_eq!(said, serde_json::json!({"valid": false, "reason": reason}), "{error}");
        assert!(error.contains("does not hold") && !error.contains("triage"), "{error}");
    }
}

#[test]
fn what_cannot_be_judged_is_no_verdict() {
    let kept = kept();
    let none = Path::new(&kept.keys).with_file_name("none.json");
    std::fs::write(Path::new(&kept.keys).with_file_name("empty.json"), "[]").unwrap();
    let empty = Path::new(&kept.keys).with_file_name("empty.json");
    for (keys, exit) in [
        (none.to_str().unwrap(), 2),
        (empty.to_str().unwrap(), 2),
        ("http://keys.example.invalid/jwks", 2),
        ("http://127.0.0.1:1/jwks", 4),
    ] {
        let command = ["receipt", "verify", &kept.receipt, "--jwks", keys, "--audience", SERVER];
        let (found, out, error) = play(&command, Output::Json);
        assert_eq!((found, out.as_str()), (exit, ""), "{keys}: {error}");
    }
}
