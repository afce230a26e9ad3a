//! What every backend of the state must do. A fixture hands out empty databases; [`run`] plays the
//! whole battery, each part on a database of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is the result"
)]

mod concurrency;
pub mod grants;
pub mod locks;
mod records;
pub mod reviews;
pub mod revocations;
mod rules;
pub mod tickets;
mod upgrade;
pub mod versions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gateway_core::audit::{Event, EventKind};
use gateway_core::ports::{Random, Revocations, StateError, StateWriter, Tickets};
use gateway_core::state::{Change, Operation};
use gateway_core::time::{Clock, Timestamp};

pub use records::{NOW, sample};
pub use upgrade::{first_version, upgraded};

/// Makes empty databases.
#[async_trait]
pub trait StateFixtures: Send + Sync {
    /// A database that nobody has used.
    async fn fresh(&self) -> Box<dyn StateDatabase>;
}

/// One database, to be opened any number of times.
#[async_trait]
pub trait StateDatabase: Send + Sync {
    /// Opens another handle on it, with [`StoppedClock`] and [`CountingRandom`].
    async fn open(&self) -> Arc<dyn StateWriter>;

    /// Opens another handle on its tickets.
    async fn tickets(&self) -> Arc<dyn Tickets>;

    /// Opens another handle on what revocations leave behind.
    async fn revocations(&self) -> Arc<dyn Revocations>;

    /// Runs SQL behind the back of the adapter.
    ///
    /// # Errors
    /// The database's own message.
    async fn raw(&self, sql: &str) -> Result<(), String>;

    /// Whether a waiting handle hears of another handle's commit before its floor has passed.
    fn pushes(&self) -> bool;
}

/// A clock that stands at [`NOW`].
#[derive(Clone, Copy, Debug, Default)]
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Bytes that never repeat within a process, and are nothing more than that.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingRandom;

static DRAWN: AtomicU64 = AtomicU64::new(1);

impl Random for CountingRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.iter_mut().rev().zip(drawn.iter().rev().chain(std::iter::repeat(&0))).for_each(|(to, from)| {
            *to = *from;
        });
    }
}

/// Plays the whole battery.
///
/// # Panics
/// Where the backend breaks the contract.
pub async fn run(fixtures: &dyn StateFixtures) {
    records::everything_written_is_read_back(&*fixtures.fresh().await).await;
    records::expired_and_ended_tokens_are_not_loaded(&*fixtures.fresh().await).await;
    records::tokens_end_once(&*fixtures.fresh().await).await;
    records::the_outbox_keeps_its_order_and_drains_twice(&*fixtures.fresh().await).await;
    rules::only_the_steps_of_the_lifecycle_exist(&*fixtures.fresh().await).await;
    rules::a_second_standing_revision_is_refused(&*fixtures.fresh().await).await;
    rules::a_revoked_name_stays_refused(&*fixtures.fresh().await).await;
    rules::another_environments_server_is_refused_by_the_database(&*fixtures.fresh().await).await;
    rules::an_author_never_approves(&*fixtures.fresh().await).await;
    rules::written_content_stays(&*fixtures.fresh().await).await;
    rules::a_revision_is_what_it_says(&*fixtures.fresh().await).await;
    let database = fixtures.fresh().await;
    grants::grants_are_kept_and_end_once(&*database.open().await).await;
    grants::long_ended_grants_are_not_loaded(&*fixtures.fresh().await).await;
    grants::the_database_keeps_the_rules_of_grants(&*fixtures.fresh().await).await;
    reviews::reviews_survive_a_restart(&*fixtures.fresh().await).await;
    versions::versions_survive_a_restart(&*fixtures.fresh().await).await;
    let database = fixtures.fresh().await;
    locks::locks_are_kept_and_end_once(&*database.open().await).await;
    locks::long_ended_locks_are_not_loaded(&*fixtures.fresh().await).await;
    locks::the_database_keeps_the_rules_of_locks(&*fixtures.fresh().await).await;
    let database = fixtures.fresh().await;
    tickets::run(database.tickets().await, database.tickets().await).await;
    let database = fixtures.fresh().await;
    revocations::run(database.revocations().await, database.revocations().await).await;
    revocations::what_is_settled_and_its_evidence_are_one_step(&*fixtures.fresh().await).await;
    revocations::a_revocation_without_a_document_is_left_to_the_next(&*fixtures.fresh().await).await;
    revocations::documents_stay_as_they_are(&*fixtures.fresh().await).await;
    concurrency::a_stale_epoch_is_a_conflict(&*fixtures.fresh().await).await;
    concurrency::one_of_two_racing_writers_wins(&*fixtures.fresh().await).await;
    concurrency::a_failing_step_leaves_nothing(&*fixtures.fresh().await).await;
    concurrency::a_load_is_one_snapshot(&*fixtures.fresh().await).await;
    concurrency::a_load_that_knows_an_earlier_state_is_a_load(&*fixtures.fresh().await).await;
    concurrency::a_waiting_handle_hears_of_a_commit(&*fixtures.fresh().await).await;
}

/// Commits the steps on top of whatever the state is.
async fn write(state: &dyn StateWriter, operations: Vec<Operation>) -> Result<(), StateError> {
    let expected = state.epoch().await.unwrap();
    let events = operations.iter().map(|_| Event::new(EventKind::ObjectWritten, NOW)).collect();
    let epoch = state.commit(Change { expected, operations, events }).await?;
    assert_eq!(epoch.0, expected.0 + 1, "a commit moves the epoch by one");
    Ok(())
}

/// The steps are refused by a rule, and nothing has changed.
async fn refuse(state: &dyn StateWriter, what: &str, operations: Vec<Operation>) {
    let before = state.load().await.unwrap();
    let outcome = write(state, operations).await;
    assert!(matches!(outcome, Err(StateError::Constraint(_))), "{what}: {outcome:?}");
    let after = state.load().await.unwrap();
    assert_eq!(after.epoch, before.epoch, "{what}");
    assert_eq!(after.revisions, before.revisions, "{what}");
    assert_eq!(after.grants, before.grants, "{what}");
    assert_eq!(after.locks, before.locks, "{what}");
}
