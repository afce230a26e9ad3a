//! Asking outside parties once more for what they did not take back.

use async_trait::async_trait;
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::TakesBack;
use gateway_core::reference::SecretReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{Attempt, Return, ReturnState, Way};

use super::Sources;
use super::ledger::attempt;
use super::provider::{Revocation, TokenHint};

impl Revocation {
    /// What this answer makes of the token.
    pub(super) fn attempt(&self) -> Attempt {
        let state = match self {
            Self::Revoked => ReturnState::Ended,
            Self::NotOffered => ReturnState::Irrevocable,
            Self::Refused(_) => ReturnState::Refused,
            Self::Unavailable(_) => ReturnState::Unanswered,
        };
        Attempt::new(state, self.answer())
    }
}

#[async_trait]
impl TakesBack for Sources {
    async fn take_back(&self, one: &Return) -> Attempt {
        match &one.way {
            Way::Lease { store, lease } => {
                let entry = match self.stores.open(&one.subject.environment, store) {
                    Ok(entry) => entry,
                    Err(error) => return attempt(&error.into()),
                };
                let Some(leasing) = &entry.leasing else { return gone() };
                match leasing.revoke(lease).await {
                    Ok(()) => Attempt::new(ReturnState::Ended, "revoked"),
                    Err(error) => attempt(&error.into()),
                }
            }
            Way::Token { provider, place } => {
                let token = match self.ledger.waiting(provider, place).await {
                    Ok(token) => token,
                    Err(refusal) => return unreadable(&refusal),
                };
                let answer = self.providers.revoke(provider, &token.secret, TokenHint::AccessToken).await;
                self.discarding(answer.attempt(), provider, place).await
            }
            Way::Installation { provider, place } => {
                let token = match self.ledger.waiting(provider, place).await {
                    Ok(token) => token,
                    Err(refusal) => return unreadable(&refusal),
                };
                let attempt = match self.providers.end_installation_token(provider, &token.secret).await {
                    Ok(()) => Attempt::new(ReturnState::Ended, "revoked"),
                    Err(error) => attempt(&error.into()),
                };
                self.discarding(attempt, provider, place).await
            }
            Way::Grant { provider, grant } => self.grants.ask_back(grant, Some(provider.as_ref())).await.1,
            Way::Delete { grant } => self.grants.delete_ended(grant).await,
            Way::Nobody => Attempt::new(ReturnState::Irrevocable, "not_offered"),
        }
    }

    async fn let_go(&self, one: &Return) {
        match &one.way {
            Way::Token { provider, place } | Way::Installation { provider, place } => {
                self.ledger.discard(provider, place).await;
            }
            Way::Lease { .. } | Way::Grant { .. } | Way::Delete { .. } | Way::Nobody => {}
        }
    }

    async fn settle(&self) {
        if self.ledger.has_unfiled() {
            self.ledger.file(Vec::new()).await;
        }
    }
}

impl Sources {
    /// A token that is over waits no longer.
    async fn discarding(
        &self,
        attempt: Attempt,
        provider: &ProviderSpec,
        place: &SecretReference,
    ) -> Attempt {
        if !attempt.state.is_open() {
            self.ledger.discard(provider, place).await;
        }
        attempt
    }
}

/// The store makes no leases any more: it took its leases with it, or nobody can ask it.
fn gone() -> Attempt {
    Attempt::new(ReturnState::Refused, "store.not_leasing")
}

/// A waiting token that is not there cannot be given back by anybody.
fn unreadable(refusal: &Refusal) -> Attempt {
    match refusal.code() {
        Code::SecretMissing | Code::SecretEmpty => Attempt::new(ReturnState::Irrevocable, "secret.missing"),
        Code::StoreUnavailable => Attempt::new(ReturnState::Unanswered, refusal.code().as_str()),
        _ => attempt(refusal),
    }
}
