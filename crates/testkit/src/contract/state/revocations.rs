//! What revocations leave behind: kept by every backend alike, and by no replica alone.

#![allow(clippy::indexing_slicing, reason = "a failed expectation is the result")]

use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, Revision};
use gateway_core::lifecycle::{Reach, ReachedBinding};
use gateway_core::ports::Revocations;
use gateway_core::revocation::{
    Attempt, Return, ReturnKind, ReturnState, ReturnSubject, RevocationRequest, RevocationStatus,
    RevocationSubject, SignedRevocation, Way,
};
use gateway_core::state::{Change, Operation};

use super::{NOW, StateDatabase, write};

fn lease(number: u32, seconds: u64) -> Return {
    let subject = ReturnSubject {
        environment: "dev".parse().unwrap(),
        binding: Some("triage@3".to_owned().try_into().unwrap()),
        agent: None,
        grant: None,
    };
    let lease = format!("database/creds/{number}");
    let way = Way::Lease { store: "bao".parse().unwrap(), lease: lease.clone() };
    let filed = NOW.plus(Duration::from_secs(seconds));
    Return::new(subject, ReturnKind::Lease, "store bao".to_owned(), way, filed).identified("lease", &lease)
}

fn signed(id: &str, serial: u32, seconds: u64) -> SignedRevocation {
    SignedRevocation {
        id: id.to_owned(),
        serial,
        status: if serial == 1 { RevocationStatus::Outstanding } else { RevocationStatus::Complete },
        requested_at: NOW.plus(Duration::from_secs(seconds)),
        jws: format!("{id}.{serial}.ü"),
    }
}

/// Plays the whole battery over two handles of one empty place.
pub async fn run(one: Arc<dyn Revocations>, other: Arc<dyn Revocations>) {
    what_is_filed_is_due_in_its_order_until_it_is_settled(&*one, &*other).await;
    what_went_back_belongs_to_one_revocation(&*one, &*other).await;
    documents_are_kept_once_and_listed_by_their_newest(&*one, &*other).await;
    what_is_done_with_is_forgotten_unless_it_is_evidence(&*one, &*other).await;
}

async fn what_is_filed_is_due_in_its_order_until_it_is_settled(
    one: &dyn Revocations,
    other: &dyn Revocations,
) {
    let (first, second) = (lease(1, 0), lease(2, 5));
    one.file(&[second.clone(), first.clone()]).await.unwrap();
    assert_eq!(other.due(NOW, 10).await.unwrap(), std::slice::from_ref(&first), "the other is not due yet");
    let later = NOW.plus(Duration::from_secs(5));
    assert_eq!(other.due(later, 10).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(other.due(later, 1).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(other.filed(&first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(other.filed("nobody").await.unwrap(), None);
    let settled = first.tried(Attempt::new(ReturnState::Ended, "revoked"), later, 7);
    other.file(std::slice::from_ref(&settled)).await.unwrap();
    assert_eq!(one.due(later, 10).await.unwrap(), [second]);
    assert_eq!(one.filed(&settled.id).await.unwrap(), Some(settled));
}

/// What goes back, what does not any more, and what is told of it: whole or not at all.
pub async fn what_is_settled_and_its_evidence_are_one_step(database: &dyn StateDatabase) {
    let (one, state) = (database.revocations().await, database.open().await);
    let state = &*state;
    let (kept, dropped) = (lease(7, 0), lease(8, 0));
    one.file(std::slice::from_ref(&dropped)).await.unwrap();
    let before = state.outbox(100).await.unwrap().len();
    let ids = [dropped.id.clone(), "nobody".to_owned()];
    one.settle(std::slice::from_ref(&kept), &ids, vec![evidence()]).await.unwrap();
    assert_eq!(one.filed(&kept.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(one.filed(&dropped.id).await.unwrap(), None);
    let waiting = state.outbox(100).await.unwrap();
    assert_eq!((waiting.len(), waiting[before].event.kind), (before + 1, EventKind::RevocationSigned));
    // What is evidence of a revocation is not struck out, by a change of the state either.
    one.assign(std::slice::from_ref(&kept.id), "r-9").await.unwrap();
    one.settle(&[], std::slice::from_ref(&kept.id), Vec::new()).await.unwrap();
    let drop = |id: &str| Operation::DropReturn { id: id.to_owned() };
    write(state, vec![drop(&kept.id), Operation::FileReturn(Box::new(dropped.clone()))]).await.unwrap();
    assert_eq!(one.returns_of("r-9").await.unwrap().len(), 1);
    assert_eq!(one.filed(&dropped.id).await.unwrap(), Some(dropped.clone()));
    write(state, vec![drop(&dropped.id)]).await.unwrap();
    assert_eq!(one.filed(&dropped.id).await.unwrap(), None);
    // A change that is refused files nothing.
    let ask = Operation::EndOperatorToken { id: "nobody".to_owned(), at: NOW };
    let refused = write(state, vec![Operation::FileReturn(Box::new(dropped.clone())), ask]).await;
    assert!(refused.is_err());
    assert_eq!(one.filed(&dropped.id).await.unwrap(), None);
}

async fn what_went_back_belongs_to_one_revocation(one: &dyn Revocations, other: &dyn Revocations) {
    let ids: Vec<String> = one.unassigned().await.unwrap().into_iter().map(|filed| filed.id).collect();
    assert_eq!(ids, [lease(1, 0).id, lease(2, 5).id]);
    one.assign(&ids[..1], "r-1").await.unwrap();
    other.assign(&ids, "r-2").await.unwrap();
    let of = async |revocation: &str| -> Vec<String> {
        one.returns_of(revocation).await.unwrap().into_iter().map(|filed| filed.id).collect()
    };
    assert_eq!((of("r-1").await, of("r-2").await), (vec![ids[0].clone()], vec![ids[1].clone()]));
    assert!(other.unassigned().await.unwrap().is_empty());
    // What is filed anew stays where it belongs.
    other.file(&[lease(1, 9)]).await.unwrap();
    let filed = one.filed(&ids[0]).await.unwrap().unwrap();
    assert_eq!((filed.revocation.as_deref(), filed.state), (Some("r-1"), ReturnState::Unanswered));
}

async fn documents_are_kept_once_and_listed_by_their_newest(one: &dyn Revocations, other: &dyn Revocations) {
    for (document, kept) in [
        (signed("r-1", 1, 0), true),
        (signed("r-1", 1, 0), false),
        (signed("r-2", 1, 9), true),
        (signed("r-1", 2, 0), true),
    ] {
        assert_eq!(one.keep(&document, evidence()).await.unwrap(), kept, "{document:?}");
    }
    assert_eq!(other.documents("r-1").await.unwrap(), [signed("r-1", 1, 0), signed("r-1", 2, 0)]);
    assert!(other.documents("r-3").await.unwrap().is_empty());
    assert_eq!(other.newest(None, 10).await.unwrap(), [signed("r-2", 1, 9), signed("r-1", 2, 0)]);
    let first = other.newest(None, 1).await.unwrap();
    assert_eq!(first, [signed("r-2", 1, 9)]);
    let place = (first[0].requested_at, first[0].id.as_str());
    assert_eq!(other.newest(Some(place), 1).await.unwrap(), [signed("r-1", 2, 0)]);
    let place = (signed("r-1", 2, 0).requested_at, "r-1");
    assert_eq!(other.newest(Some(place), 10).await.unwrap(), []);
}

async fn what_is_done_with_is_forgotten_unless_it_is_evidence(
    one: &dyn Revocations,
    other: &dyn Revocations,
) {
    let over = |number| lease(number, 0).tried(Attempt::new(ReturnState::Ended, "revoked"), NOW, 0);
    let (evidence, owed, done) = (over(11), lease(12, 0), over(13));
    one.file(&[evidence.clone(), owed.clone(), done.clone()]).await.unwrap();
    one.assign(std::slice::from_ref(&evidence.id), "r-9").await.unwrap();
    assert_eq!(other.forget_returns(NOW).await.unwrap(), 0, "it is not older");
    assert_eq!(other.forget_returns(NOW.plus(Duration::from_secs(1))).await.unwrap(), 1);
    assert_eq!(one.filed(&done.id).await.unwrap(), None);
    for kept in [evidence.id, owed.id] {
        assert!(one.filed(&kept).await.unwrap().is_some());
    }
}

/// What the database itself sees to.
pub(super) async fn documents_stay_as_they_are(database: &dyn StateDatabase) {
    let revocations = database.revocations().await;
    assert!(revocations.keep(&signed("r-1", 1, 0), evidence()).await.unwrap());
    for sql in ["DELETE FROM revocations", "UPDATE revocations SET document = 'another'"] {
        assert!(database.raw(sql).await.is_err(), "{sql}");
    }
    assert_eq!(revocations.documents("r-1").await.unwrap(), [signed("r-1", 1, 0)]);
}

fn evidence() -> Event {
    Event::new(EventKind::RevocationSigned, NOW)
}

fn request(id: &str, seconds: u64) -> RevocationRequest {
    RevocationRequest {
        id: id.to_owned(),
        subject: RevocationSubject {
            kind: "Server".to_owned(),
            environment: Some("dev".parse().unwrap()),
            name: "github".to_owned(),
            revision: Some(Revision(2)),
        },
        requested_by: "https://idp|alice".parse().unwrap(),
        requested_at: NOW.plus(Duration::from_secs(seconds)),
        epoch: Epoch(1),
        reach: Reach {
            bindings: vec![ReachedBinding {
                environment: "dev".parse().unwrap(),
                binding: "triage@3".to_owned().try_into().unwrap(),
                stored_secret: Some("vault://kv/a#b".to_owned()),
            }],
            ..Reach::default()
        },
        tokens: 4,
    }
}

/// What is asked for is written with the change or not at all, found by every handle after a restart, and struck out once.
pub async fn a_revocation_without_a_document_is_left_to_the_next(database: &dyn StateDatabase) {
    let state = database.open().await;
    let ask = |request: &RevocationRequest| vec![Operation::AskRevocation(Box::new(request.clone()))];
    let (late, early) = (request("late", 5), request("early", 0));
    write(&*state, ask(&late)).await.unwrap();
    write(&*state, ask(&early)).await.unwrap();
    let stale = Change { expected: Epoch(0), operations: ask(&request("never", 1)), events: Vec::new() };
    assert!(state.commit(stale).await.is_err(), "another epoch");
    drop(state);
    let records = database.revocations().await;
    assert_eq!(records.asked(10).await.unwrap(), [early.clone(), late.clone()]);
    assert_eq!(records.asked(1).await.unwrap(), std::slice::from_ref(&early));
    records.answered("early").await.unwrap();
    records.answered("early").await.unwrap();
    assert_eq!(database.revocations().await.asked(10).await.unwrap(), std::slice::from_ref(&late));
    // Its document strikes it out, and its evidence waits from then on, once.
    let state = database.open().await;
    let waiting = async || state.outbox(10).await.unwrap().into_iter().map(|entry| entry.event.kind);
    let before = waiting().await.count();
    for kept in [true, false] {
        assert_eq!(records.keep(&signed(&late.id, 1, 5), evidence()).await.unwrap(), kept);
        assert!(database.revocations().await.asked(10).await.unwrap().is_empty());
        assert_eq!(waiting().await.skip(before).collect::<Vec<_>>(), [EventKind::RevocationSigned]);
    }
}
