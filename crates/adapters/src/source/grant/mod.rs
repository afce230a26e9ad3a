//! Users' grants: access tokens of what somebody granted the gateway at a provider.
//!
//! The tokens of a grant are one secret in the store that the provider's manifest names. A gateway holds the
//! access token in memory until it is due; whoever finds it due refreshes it, one at a time in this process
//! (a flight) and among all of them (a lock), and stores the new tokens before anybody uses them.

mod connecting;
mod creating;
mod ending;
mod flight;
mod lock;
mod place;
mod refresh;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{ProviderSpec, TokenRequest};
use gateway_core::ports::{AuditSink, CredentialWish, Random, StateWriter, Tickets};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::state::GrantRecord;
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};

use self::flight::Flights;
use self::tokens::GrantTokens;
use super::ledger::Ledger;
use super::provider::ProviderClient;

/// An access token that holds at least so long is used while it is being renewed.
const ENOUGH: Duration = Duration::from_secs(10);
/// After trouble that passes, nobody asks again for so long.
const RESPITE: Duration = Duration::from_secs(5);
/// How often an upstream's refusal of a token may lead to a refresh.
const REFUSALS: Duration = Duration::from_secs(60);

/// What the source needs.
#[derive(Clone, Debug)]
pub struct GrantParts {
    /// Who asks providers.
    pub providers: Arc<ProviderClient>,
    /// The stores that keep the tokens.
    pub stores: Arc<Stores>,
    /// The state, where grants end.
    pub state: Arc<dyn StateWriter>,
    /// The locks that all replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Names locks and grants.
    pub random: Arc<dyn Random>,
    /// Files what goes back to providers.
    pub(in crate::source) ledger: Arc<Ledger>,
}

/// Users' grants.
#[derive(Clone)]
pub struct Grants(Arc<Inner>);

struct Inner {
    parts: GrantParts,
    held: Mutex<HashMap<String, Held>>,
    flights: Flights,
}

/// What is known of one grant.
#[derive(Default)]
struct Held {
    /// The access token in use.
    access: Option<Access>,
    /// The bindings that used it.
    bindings: HashSet<BindingName>,
    /// Trouble that passes: nobody asks before this.
    trouble: Option<(Timestamp, Refusal)>,
    /// When an upstream's refusal last led to a refresh.
    refused_at: Option<Timestamp>,
    /// New tokens that the store did not take yet, with the version that they follow.
    unstored: Option<Arc<(GrantTokens, VersionId)>>,
    /// It is over, whatever a snapshot still says.
    ended: bool,
}

struct Access {
    environment: EnvironmentName,
    version: Arc<SecretVersion>,
    due: Timestamp,
    expires_at: Timestamp,
}

/// The grant and what surrounds it, for a refresh that outlives its caller.
#[derive(Clone)]
struct Errand {
    grant: Arc<GrantRecord>,
    provider: Arc<ProviderSpec>,
    event: Event,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grants(..)")
    }
}

impl Grants {
    /// Holds nothing yet.
    pub fn new(parts: GrantParts) -> Self {
        Self(Arc::new(Inner { parts, held: Mutex::default(), flights: Flights::default() }))
    }

    /// The access token of the user's grant.
    ///
    /// # Errors
    /// `grant.missing` where it is over, what the store or the provider says where no token that holds is at
    /// hand.
    pub async fn issue(
        &self,
        wish: &CredentialWish<'_>,
        request: &TokenRequest,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let grant = wish.grant.ok_or(Code::GrantMissing)?;
        let binding = wish.permit.binding();
        let provider = binding.providers.iter().find(|provider| provider.name == request.provider);
        let provider =
            provider.ok_or_else(|| Refusal::new(Code::ProviderMalformed).because("it is not pinned"))?;
        if grant.environment != binding.spec.environment {
            return Err(Refusal::new(Code::ReferenceRefused).because("a grant of another environment"));
        }
        let mut event = Event::new(EventKind::GrantRefreshed, wish.now);
        event.request_id = Some(wish.request_id.clone());
        event.binding = Some(binding.name_at_revision());
        event.server = Some(binding.spec.server.clone());
        self.access(grant, provider, event).await
    }

    /// The access token of a living grant. The event tells for which use; it becomes the evidence of a refresh.
    ///
    /// # Errors
    /// As [`Grants::issue`].
    pub async fn access(
        &self,
        grant: &Arc<GrantRecord>,
        provider: &Arc<ProviderSpec>,
        event: Event,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let known = {
            let mut held = self.0.held();
            let entry = held.entry(grant.id.clone()).or_default();
            entry.bindings.extend(event.binding.as_ref().map(|binding| binding.name.clone()));
            entry.usable(self.0.parts.clock.now())?
        };
        match known {
            Some(known) if known.rests => Ok(known.version),
            known => {
                let errand = Errand { grant: Arc::clone(grant), provider: Arc::clone(provider), event };
                let flight = self.0.flights.join(&self.0, errand);
                match known {
                    // It holds for a while: nobody waits for the renewal.
                    Some(known) => Ok(known.version),
                    None => flight.await,
                }
            }
        }
    }

    /// The upstream refused this version: says whether it is one of a grant that can be renewed now.
    pub fn refused(&self, version: &VersionId, now: Timestamp) -> bool {
        let Some((grant, _)) = version.as_str().split_once('.') else { return false };
        let mut held = self.0.held();
        let Some(entry) = held.get_mut(grant) else { return false };
        let is_it = entry.access.as_ref().is_some_and(|access| access.version.version == *version);
        let lately = entry.refused_at.is_some_and(|at| now < at.plus(REFUSALS));
        if !is_it || lately {
            return false;
        }
        entry.refused_at = Some(now);
        entry.access = None;
        true
    }

    /// Forgets the tokens that were used under the binding; says how many it held.
    pub fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32 {
        let mut forgotten = 0_u32;
        for entry in self.0.held().values_mut() {
            let there = entry.access.as_ref().is_some_and(|access| access.environment == *environment);
            if there && entry.bindings.remove(binding) {
                entry.access = None;
                forgotten = forgotten.saturating_add(1);
            }
        }
        forgotten
    }

    /// Drops what has expired.
    pub fn sweep(&self, now: Timestamp) {
        self.0.held().retain(|_, entry| {
            if entry.access.as_ref().is_some_and(|access| access.expires_at <= now) {
                entry.access = None;
            }
            let waits = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
            entry.access.is_some()
                || entry.unstored.is_some()
                || waits(entry.trouble.as_ref().map(|(until, _)| *until))
                || waits(entry.refused_at.map(|at| at.plus(REFUSALS)))
        });
    }
}

/// A token that may be used.
struct Known {
    version: Arc<SecretVersion>,
    /// Nothing is to be done about it.
    rests: bool,
}

impl Held {
    /// The access token that may be used at once.
    fn usable(&self, now: Timestamp) -> Result<Option<Known>, Refusal> {
        if self.ended {
            return Err(Code::GrantMissing.into());
        }
        let trouble = self.trouble.as_ref().filter(|(until, _)| until.holds_at(now, RESPITE));
        let Some(access) = self.access.as_ref().filter(|access| now < access.expires_at) else {
            return trouble.map_or(Ok(None), |(_, refusal)| Err(refusal.clone()));
        };
        let rests = now < access.due || trouble.is_some();
        let enough = now.plus(ENOUGH) < access.expires_at;
        Ok((rests || enough).then(|| Known { version: Arc::clone(&access.version), rests }))
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of the grant.
    fn note<T>(&self, grant: &str, change: impl FnOnce(&mut Held) -> T) -> T {
        change(self.held().entry(grant.to_owned()).or_default())
    }
}
