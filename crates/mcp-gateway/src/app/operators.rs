//! Who operates: tokens that the state holds, and people of the configured identity providers.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_adapters::identity::{OidcOperators, TokenKind};
use gateway_control::{OperatorVerifier, StoredOperators};
use gateway_core::identity::{IdentityError, Presented};
use gateway_core::operator::Operator;
use gateway_core::time::Timestamp;

/// Picks the verifier by the token's own kind; there is no falling back from one to the other.
#[derive(Debug)]
pub(super) struct Operators {
    pub(super) stored: StoredOperators,
    pub(super) people: Arc<OidcOperators>,
}

#[async_trait]
impl OperatorVerifier for Operators {
    async fn verify(&self, presented: &Presented, now: Timestamp) -> Result<Operator, IdentityError> {
        match TokenKind::of(presented.token()) {
            Ok(TokenKind::Operator | TokenKind::Bootstrap) => self.stored.verify(presented, now).await,
            // An agent's token opens the other door.
            Ok(TokenKind::Agent) => Err(IdentityError::Audience),
            Err(_) => self.people.authenticate(presented, now).await,
        }
    }
}
