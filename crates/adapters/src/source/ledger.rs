//! What goes back to outside parties, filed so that it outlives the process (ADR 16).
//!
//! A token that a party did not take back waits in the place that its provider's manifest names for grants; the
//! records hold that place and never the token. Without such a place it is said to be irrevocable.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::lease::SecretVersion;
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::{Random, Revocations};
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{Attempt, Return, ReturnState};
use gateway_core::secret::Secret;
use gateway_core::stores::{StoreEntry, Stores};
use gateway_core::time::{Clock, Timestamp};

/// The field that a waiting token is kept in.
const FIELD: &str = "token";

/// How long one write or delete may take.
const WRITING: Duration = Duration::from_secs(5);

/// How often filing is tried before it is left for the next turn of the house.
const TRIES: usize = 3;

/// Files what goes back.
pub(super) struct Ledger {
    pub(super) records: Arc<dyn Revocations>,
    pub(super) stores: Arc<Stores>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// What the records did not take yet.
    unfiled: Mutex<Unfiled>,
}

/// What is to be filed, and what is to be struck out.
#[derive(Default)]
struct Unfiled {
    returns: Vec<Return>,
    dropped: Vec<String>,
}

impl Unfiled {
    fn add(&mut self, more: Self) {
        self.returns.extend(more.returns);
        self.dropped.extend(more.dropped);
    }

    const fn is_empty(&self) -> bool {
        self.returns.is_empty() && self.dropped.is_empty()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger(..)")
    }
}

impl Ledger {
    pub(super) fn new(
        records: Arc<dyn Revocations>,
        stores: Arc<Stores>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { records, stores, clock, random, unfiled: Mutex::default() }
    }

    /// Files; what the records do not take now is filed later.
    pub(super) async fn file(&self, returns: Vec<Return>) {
        self.settle(returns, Vec::new()).await;
    }

    /// Files what goes back, and strikes out what needs to go back no more, in one step.
    pub(super) async fn settle(&self, returns: Vec<Return>, dropped: Vec<String>) {
        let mut waiting = std::mem::take(&mut *self.unfiled());
        waiting.add(Unfiled { returns, dropped });
        if waiting.is_empty() {
            return;
        }
        for _ in 0..TRIES {
            match self.records.settle(&waiting.returns, &waiting.dropped, Vec::new()).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "what goes back to outside parties could not be filed"),
            }
        }
        self.unfiled().add(waiting);
    }

    /// Whether something waits to be filed.
    pub(super) fn has_unfiled(&self) -> bool {
        !self.unfiled().is_empty()
    }

    fn unfiled(&self) -> MutexGuard<'_, Unfiled> {
        self.unfiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A return after its first try.
    pub(super) fn tried(&self, one: Return, attempt: Attempt) -> Return {
        one.tried(attempt, self.clock.now(), self.jitter())
    }

    /// An id for what stands for several things.
    pub(super) fn fresh_id(&self) -> String {
        let mut id = [0_u8; 16];
        self.random.fill(&mut id);
        hex::encode(id)
    }

    fn jitter(&self) -> u8 {
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        let [byte] = byte;
        byte
    }

    /// Puts a token where it waits for its provider.
    ///
    /// # Errors
    /// The provider's manifest names no place, or the store does not take it.
    pub(super) async fn keep(
        &self,
        provider: &ProviderSpec,
        id: &str,
        token: &Secret,
    ) -> Result<SecretReference, Refusal> {
        let none = || Refusal::new(Code::ReferenceRefused).because("the provider names no place for tokens");
        let place = provider.grants.as_ref().ok_or_else(none)?;
        let place = place.below(&format!("owed-{id}"), FIELD);
        let place = place.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
        let (resolved, entry) = self.open(provider, &place)?;
        let writer = entry.writer.as_ref().ok_or(Code::StoreDenied)?;
        let writing = writer.put(&resolved.path, FIELD, token.duplicate(), self.clock.now());
        tokio::time::timeout(WRITING, writing).await.map_err(|_| Code::StoreUnavailable)??;
        Ok(place)
    }

    /// The token that waits, past the cache.
    pub(super) async fn waiting(
        &self,
        provider: &ProviderSpec,
        place: &SecretReference,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let (resolved, entry) = self.open(provider, place)?;
        Ok(entry.uncached.fetch(&resolved).await?)
    }

    /// Deletes a token that waits for nothing any more.
    pub(super) async fn discard(&self, provider: &ProviderSpec, place: &SecretReference) {
        let deleted = async {
            let (resolved, entry) = self.open(provider, place)?;
            let writer = entry.writer.as_ref().ok_or(Code::StoreDenied)?;
            let deleting = tokio::time::timeout(WRITING, writer.delete(&resolved.path));
            deleting.await.map_err(|_| Code::StoreUnavailable)??;
            Ok::<(), Refusal>(())
        };
        if let Err(refusal) = deleted.await {
            tracing::warn!(%place, inside = refusal.inside().unwrap_or(""), "a token that is over is still in the store");
        }
    }

    fn open(
        &self,
        provider: &ProviderSpec,
        place: &SecretReference,
    ) -> Result<(ResolvedReference, &StoreEntry), Refusal> {
        let environment = &provider.environment;
        let values = TemplateValues { agent: None, user: None, environment };
        let resolved = place.resolve(&values);
        let resolved = resolved.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
        let entry = self.stores.open(environment, &resolved.store)?;
        Ok((resolved, entry))
    }
}

/// What a refusal of a party means for what it was asked to take back.
pub(super) fn attempt(refusal: &Refusal) -> Attempt {
    let state = match refusal.code() {
        Code::StoreUnavailable | Code::ProviderUnavailable => ReturnState::Unanswered,
        _ => ReturnState::Refused,
    };
    Attempt::new(state, refusal.code().as_str())
}

/// The latest of these ends; absent where one of them is not known.
pub(super) fn latest(ends: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    ends.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()
}
