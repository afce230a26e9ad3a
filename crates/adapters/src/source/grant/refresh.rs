//! The refresh itself, step by step: look, lock, look again, mark, ask, store, unmark, unlock.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::audit::{Event, EventKind};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::state::GrantEndReason;
use gateway_core::time::Timestamp;

use super::lock::Lock;
use super::place::{Stored, WRITING};
use super::tokens::GrantTokens;
use super::{Access, Errand, Inner, RESPITE};
use crate::source::provider::{ProviderError, TokenHint, Tokens};

/// How long the provider may take, its metadata included.
const ASKING: Duration = Duration::from_secs(20);
/// How long somebody else's refresh is waited for, and how often it is looked for.
const WAITING: Duration = Duration::from_secs(15);
const LOOKING: Duration = Duration::from_millis(100);
/// How often new tokens are offered to the store before they wait in memory.
const OFFERS: u32 = 3;

impl Inner {
    /// Brings an access token that holds: the stored one, or a new one.
    pub(super) async fn bring(&self, errand: &Errand) -> Result<Arc<SecretVersion>, Refusal> {
        let outcome = self.renew(errand).await;
        if let Err(refusal) = &outcome {
            let now = self.parts.clock.now();
            let id = &errand.grant.id;
            tracing::info!(grant = %id, %refusal, inside = refusal.inside().unwrap_or(""), "no new token");
            self.note(id, |held| held.trouble = Some((now.plus(RESPITE), refusal.clone())));
        }
        outcome
    }

    async fn renew(&self, errand: &Errand) -> Result<Arc<SecretVersion>, Refusal> {
        let deadline = tokio::time::Instant::now() + WAITING;
        loop {
            let forced = self.note(&errand.grant.id, |held| held.refused_at);
            let stored = self.read_fresh(&errand.grant).await?;
            if self.rests(&stored, forced) && !self.has_unstored(errand) {
                return Ok(self.hold(errand, &stored));
            }
            if let Some(lock) = self.lock(&errand.grant.id).await? {
                let outcome = self.renew_locked(errand, &lock, forced).await;
                self.unlock(lock).await;
                return outcome;
            }
            // Somebody else is at it.
            if self.parts.clock.now() < stored.tokens.expires_at && forced.is_none() {
                return Ok(self.hold(errand, &stored));
            }
            if tokio::time::Instant::now() >= deadline {
                let why = "another replica's refresh does not end";
                return Err(Refusal::new(Code::ProviderUnavailable).because(why));
            }
            tokio::time::sleep(LOOKING).await;
        }
    }

    /// Whether the stored tokens need nothing: not due, and not those that an upstream refused.
    fn rests(&self, stored: &Stored, refused_at: Option<Timestamp>) -> bool {
        let newer = refused_at.is_none_or(|at| stored.tokens.issued_at > at);
        newer && self.parts.clock.now() < stored.tokens.due()
    }

    fn has_unstored(&self, errand: &Errand) -> bool {
        self.note(&errand.grant.id, |held| held.unstored.is_some())
    }

    async fn renew_locked(
        &self,
        errand: &Errand,
        lock: &Lock,
        forced: Option<Timestamp>,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let grant = &errand.grant;
        let stored = self.read_fresh(grant).await?;
        let unstored = self.note(&grant.id, |held| held.unstored.take());
        if let Some(unstored) = unstored
            && unstored.1 == stored.version.version
        {
            return self.keep(errand, unstored).await;
        }
        if self.rests(&stored, forced) {
            return Ok(self.hold(errand, &stored));
        }
        let Some(refresh_token) = &stored.tokens.refresh_token else {
            return self.without_refresh_token(errand, &stored).await;
        };
        let version = &stored.version.version;
        let marked = self.mark(&grant.id, version).await?;
        self.announce(errand, version).await?;
        // Storing must still fit: past its end, another replica would ask with the same token.
        if self.parts.clock.now().plus(ASKING + WRITING * OFFERS) > lock.until {
            return Err(Refusal::new(Code::ProviderUnavailable).because("the lock would end too early"));
        }
        let resource = stored.tokens.resource.as_deref();
        let asking = self.parts.providers.refresh(&errand.provider, refresh_token, &[], resource);
        let answer = tokio::time::timeout(ASKING, asking).await.unwrap_or_else(|_| {
            Err(Refusal::new(Code::ProviderUnavailable).because("the provider took too long").into())
        });
        match answer {
            Ok(tokens) if self.is_same_account(errand, &tokens) => self.accept(errand, &stored, tokens).await,
            Ok(tokens) => self.another_account(errand, &tokens).await,
            Err(error) if error.ends_grant() => self.over(errand, &stored, &error, marked).await,
            Err(error) => self.trouble(errand, &stored, error, forced).await,
        }
    }

    /// Sources that make something outside write their own record first (DESIGN, section 12.1).
    async fn announce(&self, errand: &Errand, version: &VersionId) -> Result<(), Refusal> {
        let mut event = self.event(errand, EventKind::CredentialRequested);
        event.secret_version = Some(version.clone());
        let written = self.parts.audit.record(event).await;
        written.map(|_| ()).map_err(|error| Refusal::new(Code::AuditUnavailable).because(error))
    }

    async fn accept(
        &self,
        errand: &Errand,
        stored: &Stored,
        tokens: Tokens,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let tokens = stored.tokens.refreshed(tokens, self.parts.clock.now());
        self.keep(errand, Arc::new((tokens, stored.version.version.clone()))).await
    }

    /// Whether the new tokens are of the account that was connected, as far as the provider tells (OpenID Connect
    /// Core 1.0, section 12.2).
    fn is_same_account(&self, errand: &Errand, tokens: &Tokens) -> bool {
        let Some(connected) = &errand.grant.account else { return true };
        match self.parts.providers.account(&errand.provider, tokens) {
            Ok(told) => told.is_none_or(|told| told == *connected),
            Err(_) => false,
        }
    }

    /// Nobody agreed to the use of another account: it is given back, and the grant is over.
    async fn another_account(&self, errand: &Errand, tokens: &Tokens) -> Result<Arc<SecretVersion>, Refusal> {
        let token = tokens.refresh_token.as_ref().map(|token| (token, TokenHint::RefreshToken));
        let (token, hint) = token.unwrap_or((&tokens.access_token, TokenHint::AccessToken));
        let answer = self.parts.providers.revoke(&errand.provider, token, hint).await;
        tracing::warn!(grant = %errand.grant.id, answer = answer.answer(), "a refresh brought another account's tokens");
        self.end(errand, GrantEndReason::Refused, Some("another_account")).await
    }

    /// Stores new tokens before anybody uses them. Where the store does not take them they wait in memory:
    /// they are all there is of the grant now.
    async fn keep(
        &self,
        errand: &Errand,
        unstored: Arc<(GrantTokens, VersionId)>,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let (grant, (tokens, follows)) = (&errand.grant, &*unstored);
        let mut outcome = self.replace(grant, tokens, follows).await;
        for offer in 1..OFFERS {
            if outcome.is_ok() {
                break;
            }
            tokio::time::sleep(LOOKING * offer).await;
            outcome = self.replace(grant, tokens, follows).await;
        }
        match outcome {
            // `None` may be our own write whose answer was lost: what is stored decides.
            Ok(_) => {
                self.unmark(&grant.id).await;
                let stored = self.read_fresh(grant).await?;
                let mut event = self.event(errand, EventKind::GrantRefreshed);
                event.secret_version = Some(stored.version.version.clone());
                event.scopes.clone_from(&stored.tokens.scopes);
                if let Err(error) = self.parts.audit.record(event).await {
                    return Err(Refusal::new(Code::AuditUnavailable).because(error));
                }
                Ok(self.hold(errand, &stored))
            }
            Err(refusal) => {
                self.note(&grant.id, |held| held.unstored = Some(Arc::clone(&unstored)));
                Err(refusal)
            }
        }
    }

    /// The provider says that the grant is over. Another replica's tokens may be there all the same.
    async fn over(
        &self,
        errand: &Errand,
        asked_with: &Stored,
        error: &ProviderError,
        marked: bool,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let stored = self.read_fresh(&errand.grant).await?;
        if stored.version.version != asked_with.version.version && self.rests(&stored, None) {
            return Ok(self.hold(errand, &stored));
        }
        let reason = if marked { GrantEndReason::Interrupted } else { GrantEndReason::Refused };
        self.end(errand, reason, error.answer()).await
    }

    async fn without_refresh_token(
        &self,
        errand: &Errand,
        stored: &Stored,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        if self.parts.clock.now() < stored.tokens.expires_at {
            return Ok(self.hold(errand, stored));
        }
        self.end(errand, GrantEndReason::Refused, Some("no_refresh_token")).await
    }

    /// Trouble that is not the grant's: it stays, and its token serves for as long as it holds. The mark
    /// stays too: nobody knows whether the provider took the refresh token.
    async fn trouble(
        &self,
        errand: &Errand,
        stored: &Stored,
        error: ProviderError,
        forced: Option<Timestamp>,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let mut event = self.event(errand, EventKind::CredentialIssued);
        event.reason = Some(error.refusal().code().to_string());
        event.answer = error.answer().map(str::to_owned);
        if let Err(error) = self.parts.audit.record(event).await {
            return Err(Refusal::new(Code::AuditUnavailable).because(error));
        }
        let now = self.parts.clock.now();
        if now < stored.tokens.expires_at && forced.is_none() {
            let held = self.hold(errand, stored);
            let refusal = Refusal::from(error);
            self.note(&errand.grant.id, |held| held.trouble = Some((now.plus(RESPITE), refusal)));
            return Ok(held);
        }
        Err(error.into())
    }

    /// Takes the stored access token into use.
    fn hold(&self, errand: &Errand, stored: &Stored) -> Arc<SecretVersion> {
        let version = Arc::new(stored.tokens.access(&errand.grant.id, &stored.version));
        self.note(&errand.grant.id, |held| {
            // The same version again is no new one to those who tell them apart by it.
            if let Some(access) =
                held.access.as_ref().filter(|access| access.version.version == version.version)
            {
                return Arc::clone(&access.version);
            }
            held.trouble = None;
            held.access = Some(Access {
                environment: errand.grant.environment.clone(),
                version: Arc::clone(&version),
                due: stored.tokens.due(),
                expires_at: stored.tokens.expires_at,
            });
            version
        })
    }

    pub(super) fn event(&self, errand: &Errand, kind: EventKind) -> Event {
        let mut event = errand.event.clone();
        (event.kind, event.time) = (kind, self.parts.clock.now());
        event.environment = Some(errand.grant.environment.clone());
        event.provider = Some(errand.grant.provider.clone());
        event.grant = Some(errand.grant.id.clone());
        event.user = Some(errand.grant.user.clone());
        event.source = Some("grant".to_owned());
        event
    }
}
