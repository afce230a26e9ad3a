//! A session at a store: one login at a time, made anew before its end and after a refusal.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gateway_core::ports::StoreError;
use gateway_core::time::{Clock, Timestamp};

/// What a login brings.
pub(super) trait Session: Send + Sync {
    /// Whether it is to be replaced.
    fn is_due(&self, now: Timestamp) -> bool;

    /// Whether it serves on where no other can be had.
    fn still_serves(&self, now: Timestamp) -> bool;
}

/// How a session is got.
#[async_trait]
pub(super) trait Login: Send + Sync + fmt::Debug {
    /// What it brings.
    type Session: Session;

    /// Gets one. `now` is when it was asked for.
    async fn log_in(&self, now: Timestamp) -> Result<Self::Session, StoreError>;
}

/// The current session, and how others are got.
pub(super) struct Sessions<S> {
    login: Box<dyn Login<Session = S>>,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Arc<S>>>,
    /// One login at a time.
    turn: tokio::sync::Mutex<()>,
}

impl<S> fmt::Debug for Sessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("login", &self.login).finish_non_exhaustive()
    }
}

impl<S: Session> Sessions<S> {
    pub(super) fn new(login: Box<dyn Login<Session = S>>, clock: Arc<dyn Clock>) -> Self {
        Self { login, clock, current: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The session to use now; logs in where there is none, or it is about to end.
    pub(super) async fn current(&self) -> Result<Arc<S>, StoreError> {
        let held = self.held();
        if let Some(good) = held.clone().filter(|held| !held.is_due(self.clock.now())) {
            return Ok(good);
        }
        match (self.replace_held(held.as_ref()).await, held) {
            (Ok(new), _) => Ok(new),
            // It is about to end, and has not yet.
            (Err(error), Some(held)) if held.still_serves(self.clock.now()) => {
                tracing::warn!(kind = ?error.kind, inside = %error.inside, "a login at a store was not renewed");
                Ok(held)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Another session than this one, which the store does not take any more.
    pub(super) async fn replace(&self, dead: &Arc<S>) -> Result<Arc<S>, StoreError> {
        self.replace_held(Some(dead)).await
    }

    async fn replace_held(&self, dead: Option<&Arc<S>>) -> Result<Arc<S>, StoreError> {
        let _turn = self.turn.lock().await;
        // Somebody who was in front of us may have replaced it already.
        let other = |held: &Arc<S>| dead.is_none_or(|dead| !Arc::ptr_eq(held, dead));
        let now = self.clock.now();
        if let Some(held) = self.held().filter(|held| other(held) && !held.is_due(now)) {
            return Ok(held);
        }
        let made = Arc::new(self.login.log_in(now).await?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }

    fn held(&self) -> Option<Arc<S>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
