//! Servers, environments and mappings that end, and the document that says what became of everything.

use std::time::Duration;

use gateway_core::ports::{Revocations as _, StateWriter as _};
use gateway_core::revocation::{
    Attempt, Return, ReturnKind, ReturnState, ReturnSubject, RevocationDocument, SignedRevocation, Way,
};
use gateway_core::time::{Clock as _, Timestamp};

use super::*;

const SERVER: &str = "/v1/servers/production/github/revoke";

fn now() -> Timestamp {
    Plain::default().now()
}

/// What an outside party did about a token of the binding.
fn token(id: &str, binding: &str, state: ReturnState) -> Return {
    let subject = ReturnSubject {
        environment: "production".parse().unwrap(),
        binding: Some(binding.to_owned().try_into().unwrap()),
        agent: None,
        grant: None,
    };
    let one = Return::new(subject, ReturnKind::AccessToken, "provider notes".to_owned(), Way::Nobody, now());
    one.identified("access_token", id).tried(Attempt::new(state, "x"), now(), 0)
}

fn document(answer: &Answer) -> RevocationDocument {
    let jws = answer.body["revocation"]["document"].as_str().unwrap().to_owned();
    let signed = SignedRevocation {
        id: String::new(),
        serial: 1,
        status: gateway_core::revocation::RevocationStatus::Complete,
        requested_at: now(),
        jws,
    };
    signed.document().unwrap()
}

#[tokio::test]
async fn a_server_ends_with_its_bindings_and_the_document_says_so() {
    let office = Office::production().await;
    let answer = office.post("alice", SERVER, Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["server"], &answer.body["status"]), (&json!("github"), &json!("revoked")));
    assert_eq!(*office.live.ended.lock().unwrap(), ["bot-github"]);
    let document = document(&answer);
    assert_eq!(document.subject.to_string(), "Server/production/github");
    assert_eq!(document.requested_by.as_str(), "idp|alice");
    assert_eq!((document.things.len(), document.ended.streams), (1, 2));
    assert_eq!(document.things[0].name, "bot-github@1");
    assert_eq!(document.things[0].stored_secret.as_deref(), Some("vault://kv/support/bot#token"));
    assert_eq!(answer.body["revocation"]["status"], "complete");
    let events = office.chain.all();
    let at = |sequence: gateway_core::ports::Sequence| &events[usize::try_from(sequence.0).unwrap() - 1];
    let decided = at(document.audit.decided.unwrap());
    assert_eq!(decided.object.as_ref().unwrap().to_string(), "Server/production/github");
    assert_eq!(at(document.audit.completed.unwrap()).kind, EventKind::RevocationCompleted);
    let signed = events.last().unwrap();
    assert_eq!(signed.kind, EventKind::RevocationSigned);
    let jws = answer.body["revocation"]["document"].as_str().unwrap();
    assert_eq!(signed.content.unwrap().to_string(), SignedRevocation::hash_of(jws));
    assert_eq!(
        office.apply("alice", &[server("https://github.internal/mcp")]).await.code(),
        "binding.revoked_name"
    );
}

#[tokio::test]
async fn an_environment_is_ended_by_an_administrator_alone() {
    let office = Office::production().await;
    for who in ["alice", "bob", "carol"] {
        let answer = office.post(who, "/v1/environments/production/revoke", Value::Null).await;
        assert_eq!((answer.status, answer.code()), (403, "operator.forbidden"), "{who}");
    }
    assert_eq!(office.post("root", "/v1/environments/nowhere/revoke", Value::Null).await.status, 404);
    let answer = office.post("root", "/v1/environments/production/revoke", Value::Null).await;
    assert_eq!((answer.status, &answer.body["environment"]), (200, &json!("production")), "{}", answer.body);
    assert_eq!(document(&answer).subject.to_string(), "Environment/production");
    let back = office.apply("root", &world()).await;
    assert!(matches!(back.status, 409 | 422), "nothing comes back: {}", back.body);
}

#[tokio::test]
async fn a_rehearsal_says_what_would_end_and_ends_nothing() {
    let office = Office::production().await;
    let epoch = office.state.now().epoch;
    let answer = office.post("alice", &format!("{SERVER}?dry_run=true"), Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["would_end"]["bindings"], json!(["production/bot-github@1"]));
    assert_eq!(office.state.now().epoch, epoch);
    assert!(office.live.ended.lock().unwrap().is_empty());
    let answer = office.post("carol", &format!("{SERVER}?dry_run=true"), Value::Null).await;
    assert_eq!(answer.code(), "operator.forbidden", "who may not do it is told no more");
    assert_eq!(office.post("alice", &format!("{SERVER}?dry=1"), Value::Null).await.status, 400);
}

#[tokio::test]
async fn nothing_is_complete_while_a_party_has_not_answered_and_a_later_answer_completes_it() {
    let office = Office::production().await;
    let silent = token("one", "bot-github@1", ReturnState::Unanswered);
    let (other, over) = (
        token("two", "another@1", ReturnState::Unanswered),
        token("three", "bot-github@1", ReturnState::Ended),
    );
    office.state.file(&[silent.clone(), other.clone(), over]).await.unwrap();
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    let told = &answer.body["revocation"];
    assert_eq!((&told["status"], &told["outstanding"]), (&json!("outstanding"), &json!(1)), "{told}");
    let first = document(&answer);
    assert_eq!(first.outside.len(), 2, "what belongs to others is theirs");
    assert_eq!(office.state.unassigned().await.unwrap(), [other]);
    let id = told["id"].as_str().unwrap();
    let settled = silent.tried(Attempt::new(ReturnState::Ended, "revoked"), now(), 0);
    office.state.file(&[settled]).await.unwrap();
    office.documents.advance(id).await.unwrap();
    office.documents.advance(id).await.unwrap();
    let whole = office.get("dora", &format!("/v1/revocations/{id}")).await;
    assert_eq!((&whole.body["status"], &whole.body["serial"]), (&json!("complete"), &json!(2)));
    let documents = whole.body["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 2, "nothing new, no new document");
    let before = SignedRevocation::hash_of(documents[0].as_str().unwrap());
    assert_eq!(whole.body["claims"]["previous"], json!(before));
    let signed = office.chain.all();
    let signed = signed.iter().filter(|event| event.kind == EventKind::RevocationSigned);
    assert_eq!(
        signed.map(|event| event.status.clone().unwrap()).collect::<Vec<_>>(),
        ["outstanding", "complete"]
    );
}

#[tokio::test]
async fn a_lease_that_a_dead_process_had_made_is_in_the_document_and_goes_back() {
    let office = Office::production().await;
    let way = Way::Lease { store: "bao".parse().unwrap(), lease: "creds/1".to_owned() };
    let one = token("lease", "bot-github@1", ReturnState::Unanswered);
    let standing =
        Return { way, tries: 0, answer: None, ..one }.standing(now().plus(Duration::from_secs(60)));
    let other = Return { id: "other".to_owned(), ..standing.clone() };
    let elsewhere =
        ReturnSubject { binding: "another@1".to_owned().try_into().ok(), ..other.subject.clone() };
    let other = Return { subject: elsewhere, ..other };
    office.state.file(&[standing.clone(), other.clone()]).await.unwrap();
    let answer = office.post("alice", &format!("{BINDING}/revoke"), Value::Null).await;
    assert_eq!(answer.body["revocation"]["status"], "outstanding", "{}", answer.body);
    assert_eq!(document(&answer).outside.len(), 1);
    let filed = office.state.filed(&standing.id).await.unwrap().unwrap();
    assert!(filed.due_at <= Some(now()), "{filed:?}");
    assert_eq!(office.state.filed(&other.id).await.unwrap(), Some(other), "it may be in use");
}

#[tokio::test]
async fn documents_are_for_those_who_may_read_evidence() {
    let office = Office::production().await;
    let answer = office.post("alice", SERVER, Value::Null).await;
    let id = answer.body["revocation"]["id"].as_str().unwrap().to_owned();
    for (who, seen) in [("dora", true), ("root", true), ("alice", false), ("carol", false), ("nobody", false)]
    {
        let listed = office.get(who, "/v1/revocations").await;
        assert_eq!(
            (listed.status, listed.body["items"].as_array().unwrap().len()),
            (200, usize::from(seen)),
            "{who}"
        );
        let shown = office.get(who, &format!("/v1/revocations/{id}")).await;
        assert_eq!(shown.status, if seen { 200 } else { 404 }, "{who}");
    }
    assert_eq!(office.get("dora", "/v1/revocations?outstanding=true").await.body["items"], json!([]));
    assert_eq!(office.get("dora", "/v1/revocations/unknown").await.status, 404);
}

#[tokio::test]
async fn a_revocation_holds_where_its_document_cannot_be_kept() {
    let office = Office::production().await;
    let taken: Vec<_> = (0..64_u64)
        .map(|number| SignedRevocation {
            id: hex::encode(number.to_le_bytes()),
            serial: 1,
            status: gateway_core::revocation::RevocationStatus::Complete,
            requested_at: now(),
            jws: "taken".to_owned(),
        })
        .collect();
    for one in &taken {
        office.state.keep(one, Event::new(EventKind::RevocationSigned, now())).await.unwrap();
    }
    let answer = office.post("alice", SERVER, Value::Null).await;
    assert_eq!((answer.status, &answer.body["revocation"]), (200, &Value::Null), "{}", answer.body);
    assert!(office.saw(EventKind::RevocationCompleted));
    let signed = |event: &Event| event.kind == EventKind::RevocationSigned && event.revocation.is_some();
    assert!(!office.chain.all().iter().any(signed), "only what the test kept is told");
    assert!(office.state.outbox(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_evidence_of_a_document_waits_while_the_chain_cannot_be_written() {
    let office = Office::production().await;
    let answer = office.post("alice", SERVER, Value::Null).await;
    assert_eq!((answer.status, office.state.outbox(10).await.unwrap().len()), (200, 0));
    office.chain.down.store(true, Ordering::SeqCst);
    let mut next = document(&answer);
    next.serial = 2;
    office.documents.write(&next).await.unwrap();
    let waiting = office.state.outbox(10).await.unwrap();
    let waiting: Vec<_> = waiting.iter().map(|one| (one.event.kind, one.event.revocation.clone())).collect();
    assert_eq!(waiting, [(EventKind::RevocationSigned, Some(format!("{}.2", next.revocation)))]);
}

#[tokio::test]
async fn a_grant_that_is_given_back_again_goes_on_with_its_document() {
    let office = grants::office().await;
    let subject = ReturnSubject {
        environment: "dev".parse().unwrap(),
        binding: None,
        agent: None,
        grant: Some("00aa".to_owned()),
    };
    let one = Return::new(subject, ReturnKind::GrantTokens, "provider notes".to_owned(), Way::Nobody, now());
    let one = one.identified("grant", "00aa").tried(Attempt::new(ReturnState::Unanswered, "x"), now(), 0);
    office.state.file(std::slice::from_ref(&one)).await.unwrap();
    let answer = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    assert_eq!(answer.body["revocation"]["status"], "outstanding", "{}", answer.body);
    office.state.file(&[one.tried(Attempt::new(ReturnState::Ended, "revoked"), now(), 0)]).await.unwrap();
    let again = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    let told = &again.body["revocation"];
    assert_eq!((&told["status"], &told["serial"]), (&json!("complete"), &json!(2)), "{told}");
    assert_eq!(told["id"], answer.body["revocation"]["id"]);
}

#[tokio::test]
async fn a_mapping_that_is_revoked_never_comes_back() {
    let office = Office::production().await;
    let mapping = json!({"kind": "Workload", "name": "deploy", "environments": ["production"], "owner": "support",
        "identities": [{"issuer": "https://ci.example", "subject": "repo:acme/api:*"}]});
    assert_eq!(office.apply("alice", std::slice::from_ref(&mapping)).await.status, 202);
    let answer = office.post("alice", "/v1/workloads/deploy/revoke", Value::Null).await;
    assert_eq!((answer.status, &answer.body["workload"]), (200, &json!("deploy")), "{}", answer.body);
    assert_eq!(document(&answer).subject.to_string(), "Workload/deploy");
    assert_eq!(office.apply("alice", &[mapping]).await.code(), "binding.revoked_name");
}

/// Another process on the same records.
fn next_process(office: &Office, alone: bool) -> crate::RevocationFinisher {
    crate::RevocationFinisher::new(Arc::clone(&office.context), alone)
}

async fn newest(office: &Office) -> Vec<RevocationDocument> {
    let kept = office.state.newest(None, 100).await.unwrap();
    kept.iter().map(|signed| signed.document().unwrap()).collect()
}

#[tokio::test]
async fn a_revocation_whose_process_died_after_its_decision_gets_its_document_from_the_next_one() {
    let office = Office::production().await;
    // Killed while it waits for what runs.
    office.live.hangs.store(true, Ordering::SeqCst);
    let dying = office.post("alice", SERVER, Value::Null);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), dying).await.is_err(), "it hangs");
    office.live.hangs.store(false, Ordering::SeqCst);
    office.context.revoking.is_another_process();
    assert!(newest(&office).await.is_empty());
    let asked = office.state.asked(10).await.unwrap();
    assert_eq!((asked.len(), asked[0].subject.to_string()), (1, "Server/production/github".to_owned()));
    next_process(&office, true).round().await;
    let documents = newest(&office).await;
    assert_eq!((documents.len(), &documents[0].revocation), (1, &asked[0].id));
    assert_eq!(documents[0].requested_by.as_str(), "idp|alice");
    assert_eq!(documents[0].requested_at, asked[0].requested_at, "when it was decided, not when it was told");
    assert_eq!((documents[0].things[0].name.as_str(), documents[0].epoch), ("bot-github@1", asked[0].epoch));
    assert!(documents[0].audit.decided.is_some() && documents[0].audit.completed.is_some());
    assert!(office.live.ended.lock().unwrap().contains(&"bot-github".to_owned()));
    assert!(office.saw(EventKind::RevocationCompleted) && office.saw(EventKind::RevocationSigned));
    next_process(&office, true).round().await;
    assert_eq!((newest(&office).await.len(), office.state.asked(10).await.unwrap().len()), (1, 0), "once");
}

#[tokio::test]
async fn what_did_not_end_in_time_is_carried_to_its_end_by_itself() {
    let office = Office::production().await;
    office.world.others_lag.store(true, Ordering::SeqCst);
    assert_eq!(office.post("alice", SERVER, Value::Null).await.status, 503);
    let finisher = next_process(&office, true);
    finisher.round().await;
    assert!(newest(&office).await.is_empty(), "a replica still lags");
    office.world.others_lag.store(false, Ordering::SeqCst);
    office.plain.1.fetch_add(3, Ordering::SeqCst);
    finisher.round().await;
    assert_eq!(newest(&office).await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_carried_to_its_end_is_tried_ever_more_seldom_and_hides_no_other() {
    let office = grants::office().await;
    office.plain.2.store(true, Ordering::SeqCst);
    assert_eq!(office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await.status, 200);
    let given_back = || {
        let asked = office.keeper.asked.lock().unwrap();
        asked.iter().filter(|one| one.starts_with("give back 00aa")).count()
    };
    assert_eq!(given_back(), 1);
    let finisher = next_process(&office, true);
    // A second a round, for an hour.
    for _ in 0..3_600 {
        office.plain.1.fetch_add(1, Ordering::SeqCst);
        finisher.round().await;
    }
    let tries = given_back() - 1;
    assert!((10..30).contains(&tries), "each asks the provider again and leaves evidence: {tries}");
    office.plain.2.store(false, Ordering::SeqCst);
    assert_eq!(office.post("alice", "/v1/grants/00bb/revoke", Value::Null).await.status, 200);
    office.plain.1.fetch_add(301, Ordering::SeqCst);
    finisher.round().await;
    assert!(office.state.asked(10).await.unwrap().is_empty(), "and then it comes to its end");
}

#[tokio::test]
async fn another_replica_has_its_time_before_anybody_takes_over() {
    let office = Office::production().await;
    office.world.others_lag.store(true, Ordering::SeqCst);
    assert_eq!(office.post("alice", SERVER, Value::Null).await.status, 503);
    office.world.others_lag.store(false, Ordering::SeqCst);
    let finisher = next_process(&office, false);
    finisher.round().await;
    assert!(newest(&office).await.is_empty());
    office.plain.1.fetch_add(181, Ordering::SeqCst);
    finisher.round().await;
    assert_eq!(newest(&office).await.len(), 1);
}

#[tokio::test]
async fn a_document_that_was_kept_is_not_written_again() {
    let office = Office::production().await;
    let answer = office.post("alice", SERVER, Value::Null).await;
    assert_eq!(answer.status, 200);
    assert!(office.state.asked(10).await.unwrap().is_empty(), "what is told is struck out");
    // Died between keeping and striking out.
    let document = document(&answer);
    let left = gateway_core::revocation::RevocationRequest {
        id: document.revocation.clone(),
        subject: document.subject.clone(),
        requested_by: document.requested_by.clone(),
        requested_at: document.requested_at,
        epoch: document.epoch,
        reach: gateway_core::lifecycle::Reach::default(),
        tokens: 0,
    };
    let expected = office.state.now().epoch;
    let operations = vec![gateway_core::state::Operation::AskRevocation(Box::new(left))];
    office
        .state
        .commit(gateway_core::state::Change { expected, operations, events: Vec::new() })
        .await
        .unwrap();
    next_process(&office, true).round().await;
    assert_eq!((newest(&office).await.len(), office.state.asked(10).await.unwrap().len()), (1, 0));
}
