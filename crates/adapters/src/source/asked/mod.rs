//! Sources that ask a provider for a token at each need: client credentials, token exchange, JWT bearer and
//! identity assertions. One cache for what was issued, one request for all who come at the same time, and
//! evidence before and after.

mod cache;
mod ending;
mod evidence;
mod flow;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::Actor;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, RequestId};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{CredentialSource, ProviderSpec, TokenRequest};
use gateway_core::policy::Permit;
use gateway_core::ports::{AuditSink, CredentialWish, Random};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::{Clock, Timestamp};

use self::cache::{Cache, Held, Key, Place, Seat};
use super::ledger::Ledger;
use super::provider::{ProviderClient, Tokens};
use crate::signing::Signer;

/// A refusal of the provider serves so long at most.
const REFUSAL_SERVES: Duration = Duration::from_secs(5);

/// A failure to reach it serves so long: just enough to stop a stampede.
const OUTAGE_SERVES: Duration = Duration::from_secs(1);

/// A token is replaced so long before its end, or a tenth of its life where that is less.
const AHEAD: Duration = Duration::from_secs(30);

/// What is asked for on behalf of whom: everything that a load needs, so that it outlives its caller.
struct Order {
    permit: Permit,
    actor: Option<Actor>,
    request_id: RequestId,
    key: Key,
}

/// Asks providers, and remembers what they issued.
pub(super) struct Asked {
    shared: Arc<Shared>,
}

struct Shared {
    client: Arc<ProviderClient>,
    signer: Arc<Signer>,
    /// Who signed actor tokens are from.
    public_url: String,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    ledger: Arc<Ledger>,
    cache: Cache,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

impl Asked {
    pub(super) fn new(
        client: Arc<ProviderClient>,
        signer: Arc<Signer>,
        public_url: &str,
        audit: Arc<dyn AuditSink>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let cache = Cache::default();
        let shared = Shared { client, signer, public_url, audit, clock, random, ledger, cache };
        Self { shared: Arc::new(shared) }
    }

    /// The token for the wish, from memory or from the provider.
    pub(super) async fn issue(
        &self,
        wish: &CredentialWish<'_>,
        source: &CredentialSource,
        request: &TokenRequest,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let key = key(wish, source, request)?;
        let agent = wish.actor.and_then(|actor| actor.agent.as_ref());
        let now = self.shared.clock.now();
        let ticket = match self.shared.cache.seat(&key, agent, wish.permit.epoch(), now)? {
            Seat::Ready(version) => return Ok(version),
            Seat::Refused(refusal) => return Err(refusal),
            Seat::Waiting(place) => return finished(place).await,
            Seat::Loading(ticket) => ticket,
        };
        let place = ticket.place();
        let order = Order {
            permit: wish.permit.clone(),
            actor: wish.actor.cloned(),
            request_id: wish.request_id.clone(),
            key,
        };
        let shared = Arc::clone(&self.shared);
        // A task of its own: a caller that goes away fails nobody else.
        tokio::spawn(async move {
            let outcome = shared.load(&order).await;
            let until = shared.serves_until(&outcome);
            if let Some(orphan) = shared.cache.keep(ticket, &order.key, outcome, until) {
                shared.give_back(&order.key, vec![orphan]).await;
            }
        });
        finished(place).await
    }

    /// The upstream refused the version. True once: then another is asked for.
    pub(super) fn refused(&self, version: &VersionId) -> bool {
        self.shared.cache.drop_version(version)
    }

    pub(super) async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32 {
        let ended = self.shared.cache.end_binding(environment, binding);
        self.shared.end(ended).await
    }

    pub(super) async fn end_agent(&self, agent: &AgentName) -> u32 {
        let ended = self.shared.cache.end_agent(agent);
        self.shared.end(ended).await
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.shared.cache.sweep(now);
    }
}

async fn finished(mut place: Place) -> Result<Arc<SecretVersion>, Refusal> {
    let outcome = place.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
    outcome
        .unwrap_or_else(|| Err(Refusal::new(Code::Internal).because("a request to a provider was cut off")))
}

/// Whose token, for what.
fn key(wish: &CredentialWish<'_>, source: &CredentialSource, request: &TokenRequest) -> Result<Key, Refusal> {
    let presented = match (source.presents_caller(), wish.permit.presented()) {
        (true, None) => return Err(Code::SubjectTokenMissing.into()),
        (true, Some(presented)) => Some(presented.digest()),
        (false, _) => None,
    };
    let binding = wish.permit.binding();
    let caller = source.is_per_caller().then(|| wish.actor.map(Actor::stable_id)).flatten();
    Ok(Key {
        environment: binding.spec.environment.clone(),
        binding: binding.spec.name.clone(),
        revision: binding.revision,
        provider: request.provider.clone(),
        scopes: request.scopes_for(wish.permit.tool()).into_iter().map(str::to_owned).collect(),
        caller,
        presented,
    })
}

impl Shared {
    async fn load(&self, order: &Order) -> Result<Held, Refusal> {
        let asked_at = self.clock.now();
        let (tokens, provider) = self.obtain(order).await?;
        let Tokens { access_token, lifetime, .. } = tokens.tokens;
        let version = SecretVersion {
            secret: access_token,
            version: tokens.version,
            created_at: Some(asked_at),
            // From before the request: the provider's answer took its time.
            expires_at: Some(asked_at.plus(lifetime)),
            store_request_id: None,
        };
        Ok(Held {
            version: Arc::new(version),
            provider,
            agent: order.actor.as_ref().and_then(|actor| actor.agent.clone()),
            source: tokens.source,
            until: asked_at.plus(lifetime.saturating_sub(AHEAD.min(lifetime / 10))),
        })
    }

    fn serves_until(&self, outcome: &Result<Held, Refusal>) -> Timestamp {
        let now = self.clock.now();
        match outcome {
            Ok(held) => held.until,
            Err(refusal) => match refusal.code() {
                Code::ProviderRefused | Code::ProviderMalformed => now.plus(REFUSAL_SERVES),
                Code::ProviderUnavailable => {
                    now.plus(refusal.retry().unwrap_or(OUTAGE_SERVES).min(REFUSAL_SERVES))
                }
                // Whoever says the others (a store, the audit log) remembers by itself.
                _ => now,
            },
        }
    }

    /// An id that says nothing about the token.
    fn new_version(&self) -> VersionId {
        let mut id = [0_u8; 12];
        self.random.fill(&mut id);
        VersionId::new(&URL_SAFE_NO_PAD.encode(id))
    }
}

/// The approved specification of a provider.
fn provider<'a>(
    permit: &'a Permit,
    name: &gateway_core::id::ProviderName,
) -> Result<&'a Arc<ProviderSpec>, Refusal> {
    let providers = &permit.binding().providers;
    let found = providers.iter().find(|provider| provider.name == *name);
    found.ok_or_else(|| Refusal::new(Code::ProviderRefused).because("the provider is not pinned"))
}

#[cfg(test)]
mod tests;
