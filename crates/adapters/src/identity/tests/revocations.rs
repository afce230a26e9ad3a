//! What passes for a document of a revocation, and what does not.

use gateway_core::audit::Ended;
use gateway_core::id::Epoch;
use gateway_core::ports::DocumentSigner as _;
use gateway_core::revocation::{
    Attempt, DocumentAudit, OutsideEnd, Return, ReturnKind, ReturnState, ReturnSubject, RevocationDocument,
    RevocationStatus, RevocationSubject, Way,
};

use super::super::{RevocationError, verify_revocation};
use super::*;
use crate::signing::{Purpose, Signer};

fn signer() -> Signer {
    Signer::ephemeral(at(0)).unwrap()
}

fn token(state: ReturnState) -> OutsideEnd {
    let subject =
        ReturnSubject { environment: "dev".parse().unwrap(), binding: None, agent: None, grant: None };
    let one = Return::new(subject, ReturnKind::AccessToken, "provider notes".to_owned(), Way::Nobody, at(0));
    let one = one.identified("access_token", "one").tried(Attempt::new(state, "x"), at(0), 0);
    OutsideEnd::from(&one)
}

fn document(outside: Vec<OutsideEnd>) -> RevocationDocument {
    RevocationDocument {
        iss: PUBLIC_URL.to_owned(),
        jti: "r.1".to_owned(),
        iat: NOW,
        revocation: "r".to_owned(),
        serial: 1,
        previous: None,
        status: RevocationStatus::of(&outside),
        subject: RevocationSubject {
            kind: "Environment".to_owned(),
            environment: None,
            name: "dev".to_owned(),
            revision: None,
        },
        requested_by: "ada".parse().unwrap(),
        requested_at: at(0),
        ended_at: at(1),
        epoch: Epoch(3),
        ended: Ended::default(),
        things: Vec::new(),
        outside,
        first_call: None,
        last_call: None,
        audit: DocumentAudit::default(),
        replicas: vec!["one".to_owned()],
    }
}

fn signed(signer: &Signer, document: &RevocationDocument) -> String {
    signer.sign_revocation(&document.claims()).unwrap()
}

/// With every key of the gateway, so that no verdict hangs on which set was read.
fn judge(signer: &Signer, documents: &[&str]) -> Result<RevocationDocument, RevocationError> {
    verify_revocation(documents, signer.jwks(None).to_string().as_bytes())
}

#[test]
fn a_document_is_verified_with_the_key_set_of_its_purpose_alone() {
    let signer = signer();
    let said = document(vec![token(ReturnState::Unanswered)]);
    let text = signed(&signer, &said);
    let own = signer.jwks(Some(Purpose::Revocation)).to_string();
    assert_eq!(verify_revocation(&[&text], own.as_bytes()), Ok(said));
    let receipts = signer.jwks(Some(Purpose::Receipt)).to_string();
    assert_eq!(verify_revocation(&[&text], receipts.as_bytes()), Err(RevocationError::UnknownKey));
    assert_eq!(verify_revocation(&[&text], b"[]"), Err(RevocationError::KeySet));
}

#[test]
fn documents_follow_one_another_or_do_not_hold() {
    let signer = signer();
    let first = document(vec![token(ReturnState::Unanswered)]);
    let before = signed(&signer, &first);
    let next = first.next(vec![token(ReturnState::Ended)], &before, at(60)).unwrap();
    let after = signed(&signer, &next);
    assert_eq!(judge(&signer, &[&before, &after]).unwrap().status, RevocationStatus::Complete);
    assert_eq!(judge(&signer, &[&after]).unwrap().serial, 2, "the newest one alone says enough");
    assert_eq!(judge(&signer, &[&after, &before]), Err(RevocationError::Previous));
    assert_eq!(judge(&signer, &[&before, &before]), Err(RevocationError::Previous));
    let stranger = first.next(vec![token(ReturnState::Ended)], "another", at(60)).unwrap();
    let stranger = signed(&signer, &stranger);
    assert_eq!(judge(&signer, &[&before, &stranger]), Err(RevocationError::Previous));
    assert_eq!(judge(&signer, &[]), Err(RevocationError::Malformed));
}

#[test]
fn what_contradicts_itself_does_not_hold_whoever_signed_it() {
    let signer = signer();
    let good = document(vec![token(ReturnState::Irrevocable)]);
    for bad in [
        RevocationDocument { status: RevocationStatus::Complete, ..good.clone() },
        RevocationDocument { serial: 2, ..good.clone() },
        RevocationDocument { serial: 0, jti: "r.0".to_owned(), ..good.clone() },
        RevocationDocument { previous: Some("00".to_owned()), ..good.clone() },
        RevocationDocument { jti: "another.1".to_owned(), ..good },
    ] {
        assert_eq!(judge(&signer, &[&signed(&signer, &bad)]), Err(RevocationError::Claims), "{bad:?}");
    }
}

#[test]
fn a_changed_or_foreign_text_is_no_document() {
    let (signer, other) = (signer(), signer());
    let text = signed(&signer, &document(Vec::new()));
    let foreign = signed(&other, &document(Vec::new()));
    assert_eq!(judge(&signer, &[&foreign]), Err(RevocationError::UnknownKey));
    let (head, _, signature) = {
        let mut parts = text.split('.');
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
    };
    let mut rosy = document(Vec::new());
    rosy.requested_by = "eve".parse().unwrap();
    let rosy = signed(&signer, &rosy);
    let payload = rosy.split('.').nth(1).unwrap();
    assert_eq!(judge(&signer, &[&format!("{head}.{payload}.{signature}")]), Err(RevocationError::Signature));
    for text in ["", "x", "a.b.c", "..", text.split_at(1).1] {
        assert!(judge(&signer, &[text]).is_err(), "{text}");
    }
    for purpose in Purpose::ALL {
        if purpose == Purpose::Revocation {
            continue;
        }
        let claims = json!({"iat": NOW, "exp": NOW + 60});
        let token =
            signer.sign(purpose, crate::signing::Algorithm::EdDsa, claims.as_object().unwrap()).unwrap();
        assert_eq!(judge(&signer, &[&plain(&token)]), Err(RevocationError::Type), "{purpose:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test judges the token")]
fn plain(token: &Secret) -> String {
    String::from_utf8(token.expose().to_vec()).unwrap()
}
