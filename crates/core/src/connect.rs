//! Connecting accounts: what a person can grant the gateway at which provider, and the port between the pages
//! that ask them and the source that keeps what they grant.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use crate::actor::UserIdentity;
use crate::audit::Event;
use crate::grant::GivenBack;
use crate::id::{EnvironmentName, ProviderName, ServerName};
use crate::login::{Fault, Person};
use crate::manifest::{CredentialSource, ProviderSpec, TokenRequest};
use crate::secret::Secret;
use crate::snapshot::{ActiveBinding, Snapshot};
use crate::state::GrantRecord;
use crate::time::Timestamp;

/// What a call lacks: somebody's grant at a provider, or scopes of it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectWish<'a> {
    /// Whose grant is missing; nobody else can use the address.
    pub user: &'a UserIdentity,
    /// The environment of the call.
    pub environment: &'a EnvironmentName,
    /// The server that was called.
    pub server: &'a ServerName,
    /// The provider that the person is sent to.
    pub provider: &'a ProviderName,
    /// The scopes that the call needs, sorted (RFC 6749, section 3.3).
    pub scopes: &'a [&'a str],
    /// The resource that tokens are for (RFC 8707).
    pub resource: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// The connect pages, where the gateway has them.
pub trait ConnectPages: Send + Sync + fmt::Debug {
    /// The address that the person opens. It is sealed: what it asks for cannot be changed, and it ends.
    fn address(&self, wish: &ConnectWish<'_>) -> Option<Url>;
}

/// What a person can connect: one provider, for one resource.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The approved provider.
    pub provider: Arc<ProviderSpec>,
    /// The servers that it opens, sorted.
    pub servers: Vec<ServerName>,
    /// The scopes that every use asks for, sorted.
    pub scopes: Vec<String>,
    /// Every scope that some use may ask for, sorted.
    pub all_scopes: Vec<String>,
    /// The resource that tokens are for (RFC 8707).
    pub resource: Option<String>,
    /// The audience, for providers that know no `resource`.
    pub audience: Option<String>,
}

/// Everything that this person can connect, by environment, provider and resource: what the active bindings that
/// may serve them ask for.
pub fn offers(snapshot: &Snapshot, person: &Person, now: Timestamp) -> Vec<Offer> {
    let mut found: BTreeMap<_, Offer> = BTreeMap::new();
    for environment in snapshot.environments() {
        let bindings = environment.servers().flat_map(|server| &server.bindings);
        for binding in bindings.filter(|binding| serves(binding, person, now)) {
            let Some((request, provider)) = asked(binding) else { continue };
            let environment = environment.spec.name.clone();
            let key =
                (environment, provider.name.clone(), request.resource.clone(), request.audience.clone());
            let offer = found.entry(key).or_insert_with(|| Offer {
                provider: Arc::clone(provider),
                servers: Vec::new(),
                scopes: Vec::new(),
                all_scopes: Vec::new(),
                resource: request.resource.clone(),
                audience: request.audience.clone(),
            });
            offer.servers.push(binding.spec.server.clone());
            offer.scopes.extend(request.scopes.iter().cloned());
            let of_tools = request.tool_scopes.iter().flat_map(|entry| &entry.scopes);
            offer.all_scopes.extend(request.scopes.iter().chain(of_tools).cloned());
        }
    }
    let mut offers: Vec<Offer> = found.into_values().collect();
    for offer in &mut offers {
        offer.servers.sort_unstable();
        offer.servers.dedup();
        for scopes in [&mut offer.scopes, &mut offer.all_scopes] {
            scopes.sort_unstable();
            scopes.dedup();
        }
    }
    offers
}

/// Whether the binding may serve this person: which agent they will call with nobody knows yet.
fn serves(binding: &ActiveBinding, person: &Person, now: Timestamp) -> bool {
    binding.holds_at(now) && binding.spec.actor.admits_person(&person.user, &person.groups)
}

fn asked(binding: &ActiveBinding) -> Option<(&TokenRequest, &Arc<ProviderSpec>)> {
    let Some(CredentialSource::Grant(request)) = &binding.spec.source else { return None };
    let provider = binding.providers.iter().find(|provider| provider.name == request.provider)?;
    Some((request, provider))
}

/// What the browser takes to the provider.
#[derive(Clone, Copy, Debug)]
pub struct ConnectDeparture<'a> {
    /// Where the provider sends the browser back to, compared exactly (RFC 6749, section 3.1.2.3).
    pub redirect_uri: &'a str,
    /// Single use.
    pub state: &'a Secret,
    /// The PKCE verifier, of which the provider is told the S256 challenge alone (RFC 7636).
    pub verifier: &'a Secret,
    /// The scopes asked for.
    pub scopes: &'a [String],
}

/// What the browser brings back.
#[derive(Clone, Copy, Debug)]
pub struct ConnectArrival<'a> {
    /// The person who is logged in with the browser, and who began this.
    pub user: &'a UserIdentity,
    /// As in the departure.
    pub redirect_uri: &'a str,
    /// As in the departure.
    pub verifier: &'a Secret,
    /// As in the departure.
    pub scopes: &'a [String],
    /// The code; absent where the provider refuses.
    pub code: Option<&'a Secret>,
    /// The `iss` parameter (RFC 9207).
    pub issuer: Option<&'a str>,
    /// The `error` parameter.
    pub error: Option<&'a str>,
    /// On whose request; it becomes the evidence of the grant.
    pub event: &'a Event,
}

/// A person's accounts at providers.
#[async_trait]
pub trait Connections: Send + Sync + fmt::Debug {
    /// What this person can connect now.
    ///
    /// # Errors
    /// [`Fault::Unavailable`].
    fn offers(&self, person: &Person) -> Result<Vec<Offer>, Fault>;

    /// The person's living grants, the oldest first.
    ///
    /// # Errors
    /// [`Fault::Unavailable`].
    fn grants(&self, user: &UserIdentity) -> Result<Vec<Arc<GrantRecord>>, Fault>;

    /// The address at the provider that the browser goes to.
    ///
    /// # Errors
    /// [`Fault::ConnectProviderUnavailable`] or [`Fault::ConnectProviderRefused`].
    async fn depart(&self, offer: &Offer, departure: &ConnectDeparture<'_>) -> Result<Url, Fault>;

    /// Judges what came back, redeems the code, and keeps what was granted; the next call finds it.
    ///
    /// # Errors
    /// What is wrong with it; nothing is kept then.
    async fn arrive(&self, offer: &Offer, arrival: &ConnectArrival<'_>) -> Result<GrantRecord, Fault>;

    /// Ends the person's own grant, here and at the provider; what ran on it was cut when this answers.
    ///
    /// # Errors
    /// [`Fault::ConnectGrantUnknown`] where they have no such grant, [`Fault::Unavailable`] where the end could not be
    /// made complete.
    async fn end(&self, user: &UserIdentity, grant: &str, event: &Event) -> Result<GivenBack, Fault>;
}

#[cfg(test)]
mod tests;
