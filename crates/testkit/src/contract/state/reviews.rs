//! Reviews of bindings: written over, one row a binding.

use gateway_core::id::Revision;
use gateway_core::review::{ReviewRecord, ReviewSignature, ReviewStage, ReviewTold, Reviewed};
use gateway_core::state::Operation;

use super::{NOW, StateDatabase, write};

fn review(environment: &str, binding: &str) -> ReviewRecord {
    ReviewRecord::new(environment.parse().unwrap(), binding.parse().unwrap())
}

fn put(record: &ReviewRecord) -> Operation {
    Operation::PutReview(Box::new(record.clone()))
}

/// What is written is read back whole, in order, and over a restart.
pub(super) async fn reviews_survive_a_restart(database: &dyn StateDatabase) {
    let state = database.open().await;
    let (other, first) = (review("production", "a"), review("dev", "b"));
    write(&*state, [&other, &first].map(put).to_vec()).await.unwrap();
    assert_eq!(state.load().await.unwrap().reviews, [first.clone(), other.clone()]);
    let full = ReviewRecord {
        last: Some(Reviewed {
            at: NOW,
            revision: Revision(3),
            by: vec!["https://idp|bob".parse().unwrap()],
            until: Some("2027-03-01".to_owned()),
            answers: Some("2026-12-01".to_owned()),
        }),
        signatures: vec![ReviewSignature {
            by: "https://idp|dan".parse().unwrap(),
            at: NOW,
            revision: Revision(4),
            until: None,
        }],
        told: Some(ReviewTold { end: NOW, stage: ReviewStage::Overdue, at: NOW, disables: true }),
        disabled_at: Some(NOW),
        ..first
    };
    write(&*state, vec![put(&full)]).await.unwrap();
    drop(state);
    let read = database.open().await.load().await.unwrap();
    assert_eq!(read.reviews, [full.clone(), other]);
    assert_eq!(read.review_of(&full.environment, "b"), Some(&full));
    assert_eq!(read.review_of(&full.environment, "a"), None, "another environment's is not this one's");
}
