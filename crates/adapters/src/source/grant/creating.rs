//! The beginning of a grant: tokens into the store first, then the record into the state.

use gateway_core::actor::UserIdentity;
use gateway_core::audit::Event;
use gateway_core::lifecycle::create_grant;
use gateway_core::manifest::ProviderSpec;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::Return;
use gateway_core::state::GrantRecord;

use super::Grants;
use super::tokens::{FIELD, GrantTokens};
use crate::source::provider::{Revocation, TokenHint, Tokens};

impl Grants {
    /// Keeps what the user granted. An older grant of theirs at the provider is replaced; its tokens are
    /// deleted, and not given back: at many providers that would end the new ones with them.
    ///
    /// # Errors
    /// The store or the state did not take it; then the provider is asked to take the tokens back.
    pub async fn create(
        &self,
        provider: &ProviderSpec,
        user: &UserIdentity,
        account: Option<String>,
        tokens: Tokens,
        resource: Option<&str>,
        event: &Event,
    ) -> Result<GrantRecord, Refusal> {
        let inner = &self.0;
        let now = inner.parts.clock.now();
        let mut id = [0_u8; 16];
        inner.parts.random.fill(&mut id);
        let id = hex::encode(id);
        let place = provider.grants.as_ref().ok_or_else(|| {
            Refusal::new(Code::ReferenceRefused).because("the provider does not say where grants are kept")
        })?;
        let reference = place.below(&id, FIELD);
        let tokens = GrantTokens::first(tokens, resource, now);
        let grant = GrantRecord {
            id,
            environment: provider.environment.clone(),
            provider: provider.name.clone(),
            user: user.to_string(),
            account,
            scopes: tokens.scopes.clone(),
            reference: reference.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?,
            created_at: now,
            ended: None,
        };
        let owed = Return::of_grant(&grant, Some(provider), now);
        if let Err(refusal) = self.record(&grant, &tokens, &owed, event).await {
            let token = tokens.refresh_token.as_ref().map(|token| (token, TokenHint::RefreshToken));
            let (token, hint) = token.unwrap_or((&tokens.access_token, TokenHint::AccessToken));
            let answer = inner.parts.providers.revoke(provider, token, hint).await;
            tracing::warn!(answer = answer.answer(), "a grant could not be kept; its tokens were given back");
            // A silent provider is asked again, with what the store holds.
            if !matches!(answer, Revocation::Unavailable(_)) && inner.delete(&grant).await.is_ok() {
                inner.parts.ledger.settle(Vec::new(), vec![owed.id]).await;
            }
            return Err(refusal);
        }
        Ok(grant)
    }

    async fn record(
        &self,
        grant: &GrantRecord,
        tokens: &GrantTokens,
        owed: &Return,
        event: &Event,
    ) -> Result<(), Refusal> {
        let inner = &self.0;
        // Should this gateway die before the state knows of the tokens, they go back. The grant's own beginning strikes
        // that out.
        let filed = inner.parts.ledger.records.file(std::slice::from_ref(owed)).await;
        filed.map_err(|error| Refusal::new(Code::StateStale).because(error))?;
        inner.store_first(grant, tokens).await?;
        let replaced = std::sync::Mutex::new(Vec::new());
        let decide = |state: &gateway_core::state::State| {
            let same = |old: &&GrantRecord| {
                old.ended.is_none()
                    && (&old.environment, &old.provider, &old.user)
                        == (&grant.environment, &grant.provider, &grant.user)
            };
            let old: Vec<GrantRecord> = state.grants.iter().filter(same).cloned().collect();
            *replaced.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = old;
            Some(create_grant(state, grant.clone(), event))
        };
        inner.change(decide).await?;
        for old in replaced.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            inner.note(&old.id, |held| {
                held.ended = true;
                held.access = None;
            });
            inner.delete_filed(&old).await;
        }
        Ok(())
    }
}
