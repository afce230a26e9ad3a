//! People's accounts at providers, wired: what can be connected is in the snapshot, what was granted goes through
//! the source of grants, and both are published before the person is told.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use gateway_adapters::source::grant::Grants;
use gateway_core::actor::UserIdentity;
use gateway_core::audit::{Event, EventKind};
use gateway_core::connect::{self, ConnectArrival, ConnectDeparture, Connections, Offer};
use gateway_core::grant::{GivenBack, GrantTokenKeeper as _};
use gateway_core::id::Epoch;
use gateway_core::lifecycle::{about_grant, end_grant};
use gateway_core::lock::{LockFacts, LockWatch};
use gateway_core::login::{Fault, Person};
use gateway_core::manifest::{Kind, ObjectKey, ProviderSpec, Spec};
use gateway_core::ports::{AuditSink, LiveTraffic as _, Publisher as _, StateError, StateWriter};
use gateway_core::refusal::Refusal;
use gateway_core::snapshot::Snapshot;
use gateway_core::state::{GrantEnd, GrantEndReason, GrantRecord, State};
use gateway_core::time::Clock as _;
use gateway_proxy::gateway::Gateway;
use url::Url;

use super::publish::StatePublisher;
use super::system::SystemClock;

/// How long what runs on a grant may take to end.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// How often an end is written where others change the state at the same time.
const TRIES: usize = 8;

/// The wired accounts. The pages are there before the gateway that shows them, so the latter is given later.
#[derive(Debug)]
pub(super) struct Accounts {
    grants: Grants,
    state: Arc<dyn StateWriter>,
    audit: Arc<dyn AuditSink>,
    standing: OnceLock<Standing>,
}

/// What comes later; weak, for it holds the pages.
#[derive(Debug)]
struct Standing {
    gateway: Weak<Gateway>,
    publisher: Weak<StatePublisher>,
}

impl Accounts {
    pub(super) const fn new(grants: Grants, state: Arc<dyn StateWriter>, audit: Arc<dyn AuditSink>) -> Self {
        Self { grants, state, audit, standing: OnceLock::new() }
    }

    /// From now on they answer.
    pub(super) fn stand(&self, gateway: &Arc<Gateway>, publisher: &Arc<StatePublisher>) {
        let standing = Standing { gateway: Arc::downgrade(gateway), publisher: Arc::downgrade(publisher) };
        // Once, at the start.
        drop(self.standing.set(standing));
    }

    fn gateway(&self) -> Result<Arc<Gateway>, Fault> {
        self.standing.get().and_then(|standing| standing.gateway.upgrade()).ok_or(Fault::Unavailable)
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, Fault> {
        Ok(Arc::clone(&self.gateway()?.world.current().snapshot))
    }

    fn publisher(&self) -> Result<Arc<StatePublisher>, Fault> {
        self.standing.get().and_then(|standing| standing.publisher.upgrade()).ok_or(Fault::Unavailable)
    }

    /// Brings the state as it is now to the data plane.
    async fn publish(&self) -> Result<Epoch, Fault> {
        let epoch = self.state.epoch().await.map_err(|error| unavailable(&error))?;
        let published = self.publisher()?.publish(epoch).await;
        published.map(|_| epoch).map_err(|refusal| pending(&refusal))
    }

    /// Writes the end of the person's own grant; gives it with its provider. One that ended before is taken again:
    /// its tokens may still be there.
    async fn write_end(
        &self,
        user: &UserIdentity,
        id: &str,
        event: &Event,
    ) -> Result<(GrantRecord, Option<ProviderSpec>), Fault> {
        let end = GrantEnd { at: SystemClock.now(), reason: GrantEndReason::Revoked };
        for _ in 0..TRIES {
            let state = self.state.load().await.map_err(|error| unavailable(&error))?;
            let own = |grant: &&GrantRecord| grant.id == id && grant.user == user.to_string();
            let grant = state.grants.iter().find(own).ok_or(Fault::ConnectGrantUnknown)?.clone();
            let provider = provider_of(&state, &grant);
            let Some(change) = end_grant(&state, id, end, event) else { return Ok((grant, provider)) };
            match self.state.commit(change).await {
                Ok(_) => return Ok((grant, provider)),
                Err(StateError::Conflict) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Err(unavailable(&StateError::Conflict))
    }
}

fn provider_of(state: &State, grant: &GrantRecord) -> Option<ProviderSpec> {
    let environment = Some(grant.environment.clone());
    let key = ObjectKey { kind: Kind::Provider, environment, name: grant.provider.to_string() };
    match &state.active(&key)?.spec {
        Spec::Provider(provider) => Some(provider.clone()),
        _ => None,
    }
}

fn pending(refusal: &Refusal) -> Fault {
    tracing::error!(
        inside = refusal.inside().unwrap_or(""),
        "a change of grants does not hold everywhere yet"
    );
    Fault::Unavailable
}

fn unavailable(error: &StateError) -> Fault {
    tracing::warn!(%error, "the state of grants does not answer");
    Fault::Unavailable
}

impl LockWatch for Accounts {
    fn stopping(&self, facts: &LockFacts<'_>) -> Result<Option<String>, Fault> {
        let snapshot = self.snapshot()?;
        Ok(snapshot.locks().stopping(facts, SystemClock.now()).map(|lock| lock.id.clone()))
    }
}

#[async_trait]
impl Connections for Accounts {
    fn offers(&self, person: &Person) -> Result<Vec<Offer>, Fault> {
        Ok(connect::offers(&*self.snapshot()?, person, SystemClock.now()))
    }

    fn grants(&self, user: &UserIdentity) -> Result<Vec<Arc<GrantRecord>>, Fault> {
        Ok(self.snapshot()?.grants_of(user).to_vec())
    }

    async fn depart(&self, offer: &Offer, departure: &ConnectDeparture<'_>) -> Result<Url, Fault> {
        self.grants.depart(offer, departure).await
    }

    async fn arrive(&self, offer: &Offer, arrival: &ConnectArrival<'_>) -> Result<GrantRecord, Fault> {
        let grant = self.grants.arrive(offer, arrival).await?;
        // It is kept, whatever comes now: the replicas find it by themselves within a second.
        let _found_within_a_second = self.publish().await;
        Ok(grant)
    }

    async fn end(&self, user: &UserIdentity, id: &str, event: &Event) -> Result<GivenBack, Fault> {
        let (grant, provider) = self.write_end(user, id, event).await?;
        let epoch = self.publish().await?;
        self.grants.forget(&grant);
        let ended = self.gateway()?.end_grant(&grant, END_DEADLINE).await;
        let ended = ended.map_err(|refusal| pending(&refusal))?;
        let everywhere = self.publisher()?.everywhere(epoch, END_DEADLINE).await;
        everywhere.map_err(|refusal| pending(&refusal))?;
        let given_back = self.grants.give_back(&grant, provider.as_ref()).await;
        let mut returned = about_grant(event, EventKind::CredentialReturned, &grant);
        returned.time = SystemClock.now();
        returned.answer = Some(given_back.answer());
        returned.reason.clone_from(&given_back.trouble);
        returned.ended = Some(ended);
        self.audit.record(returned).await.map_err(|error| {
            tracing::error!(%error, "the provider's answer about a grant could not be recorded");
            Fault::Unavailable
        })?;
        Ok(given_back)
    }
}
