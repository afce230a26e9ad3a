//! Which revocations this process is carrying to their end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::ControlContext;

/// The revocations that are under way in this process, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Revoking(Arc<Mutex<BTreeSet<String>>>);

/// One that is under way, until this is dropped: answered, refused, or given up.
#[derive(Debug)]
pub(crate) struct Underway {
    all: Revoking,
    id: String,
}

impl Revoking {
    fn ids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As in another process, where none of them is under way.
    #[cfg(test)]
    pub(crate) fn is_another_process(&self) {
        self.ids().clear();
    }

    /// Whether it is under way here.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids().contains(id)
    }
}

impl Underway {
    /// The public id that its documents will have.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.all.ids().remove(&self.id);
    }
}

impl ControlContext {
    /// Begins a revocation, under an id that nobody has.
    pub(crate) fn begin_revocation(&self) -> Underway {
        let (all, id) = (self.revoking.clone(), self.token_id());
        all.ids().insert(id.clone());
        Underway { all, id }
    }
}
