//! Credential sources beyond stored secrets: what providers issue, stores lease and the gateway signs.

mod asked;
pub mod grant;
mod installation;
mod kept;
mod leases;
mod ledger;
mod minted;
pub mod provider;
mod role;
mod taking_back;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::id::{AgentName, BindingName, EnvironmentName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{CredentialSource, Registration};
use gateway_core::ports::{
    AuditSink, CredentialIssuer, CredentialWish, Random, Revocations, StateWriter, Tickets,
};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{Attempt, Return, ReturnKind, ReturnState, ReturnSubject, Way};
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};

use self::asked::Asked;
use self::grant::{GrantParts, Grants};
use self::leases::Leases;
use self::ledger::Ledger;
use self::minted::{Forgotten, Minted};
use self::provider::{OwnClient, ProviderClient, ProviderSettings};
use crate::signing::Signer;

/// What the sources need.
#[derive(Debug)]
pub struct SourceParts {
    /// Signs minted tokens, and those that name who acts.
    pub signer: Arc<Signer>,
    /// The URL that agents know: who signed tokens are from.
    pub public_url: String,
    /// The stores that make secrets on demand, and keep those of the gateway's clients at providers.
    pub stores: Arc<Stores>,
    /// The state, where grants end.
    pub state: Arc<dyn StateWriter>,
    /// The locks that all replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// Where what goes back to outside parties is filed.
    pub revocations: Arc<dyn Revocations>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Every credential source that this gateway has, behind one door.
#[derive(Debug)]
pub struct Sources {
    providers: Arc<ProviderClient>,
    asked: Asked,
    grants: Grants,
    minted: Minted,
    leases: Arc<Leases>,
    stores: Arc<Stores>,
    ledger: Arc<Ledger>,
    /// Whether providers can read what the gateway says of itself as a client.
    has_documents: bool,
}

impl Sources {
    /// Puts the sources together.
    pub fn new(parts: SourceParts) -> Self {
        let SourceParts { signer, public_url, stores, state, tickets, revocations, audit, clock, random } =
            parts;
        let ledger = Ledger::new(revocations, stores.clone(), clock.clone(), random.clone());
        let ledger = Arc::new(ledger);
        let settings = ProviderSettings::default();
        let own = OwnClient {
            public_url: public_url.clone(),
            signer: signer.clone(),
            tickets: tickets.clone(),
            audit: audit.clone(),
        };
        let providers = ProviderClient::new(stores.clone(), clock.clone(), random.clone(), settings);
        let providers = Arc::new(providers.with_own(own));
        let grants = GrantParts {
            providers: Arc::clone(&providers),
            stores: stores.clone(),
            state,
            tickets,
            audit: audit.clone(),
            clock: clock.clone(),
            random: random.clone(),
            ledger: ledger.clone(),
        };
        Self {
            grants: Grants::new(grants),
            asked: Asked::new(
                providers.clone(),
                signer.clone(),
                &public_url,
                audit.clone(),
                clock.clone(),
                random.clone(),
                ledger.clone(),
            ),
            providers,
            minted: Minted::new(signer, random, &public_url),
            leases: Arc::new(Leases::new(audit, clock, ledger.clone())),
            stores,
            ledger,
            has_documents: gateway_core::client::has_documents(&public_url),
        }
    }

    /// The words of the sources, and of the registrations at providers, that are there; manifests that name
    /// another are refused.
    pub fn words(&self) -> BTreeSet<&'static str> {
        let mut words = BTreeSet::from([
            Registration::Dynamic.word(),
            "app_installation",
            "client_credentials",
            "grant",
            "identity_assertion",
            "jwt_bearer",
            "leased",
            "minted",
            "token_exchange",
        ]);
        words.extend(self.has_documents.then_some(Registration::MetadataDocument.word()));
        words
    }

    /// Who asks providers.
    pub const fn providers(&self) -> &Arc<ProviderClient> {
        &self.providers
    }

    /// Takes back what was leased: nobody uses it any more, for the gateway stops. Says how many there were.
    pub async fn give_back(&self) -> u32 {
        self.leases.end_all().await
    }

    /// Users' grants.
    pub const fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Files that minted tokens outlive their end, for servers verify them without asking anybody; says how many.
    async fn outlive(&self, minted: Forgotten, agent: Option<&AgentName>) -> u32 {
        let Some((environment, binding)) = minted.of else { return 0 };
        let subject =
            ReturnSubject { environment, binding: Some(binding), agent: agent.cloned(), grant: None };
        let now = self.ledger.clock.now();
        let one = Return::new(subject, ReturnKind::MintedToken, "gateway".to_owned(), Way::Nobody, now);
        let id = self.ledger.fresh_id();
        let one = Return { id, count: minted.count, expires_at: minted.last_expires_at, ..one };
        let attempt = Attempt::new(ReturnState::Irrevocable, "self_contained");
        self.ledger.file(vec![self.ledger.tried(one, attempt)]).await;
        minted.count
    }
}

#[async_trait]
impl CredentialIssuer for Sources {
    async fn issue(&self, wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal> {
        let source = wish.permit.binding().spec.source.as_ref().ok_or(Code::ModeUnavailable)?;
        match source {
            CredentialSource::ClientCredentials(request) => self.asked.issue(wish, source, request).await,
            CredentialSource::TokenExchange(exchange) => {
                self.asked.issue(wish, source, &exchange.token).await
            }
            CredentialSource::JwtBearer(bearer) => self.asked.issue(wish, source, &bearer.token).await,
            CredentialSource::IdentityAssertion(assertion) => {
                self.asked.issue(wish, source, &assertion.token).await
            }
            CredentialSource::Minted(minted) => self.minted.issue(wish, minted),
            CredentialSource::Leased(leased) => {
                self.leases.issue(wish, role::ask(&self.stores, wish, leased)?).await
            }
            CredentialSource::AppInstallation(app) => {
                self.leases.issue(wish, installation::ask(&self.providers, &self.ledger, wish, app)?).await
            }
            CredentialSource::Grant(request) => self.grants.issue(wish, request).await,
        }
    }

    fn refused(&self, wish: &CredentialWish<'_>, version: &VersionId) -> bool {
        match &wish.permit.binding().spec.source {
            Some(CredentialSource::Minted(_)) => {
                self.minted.refused(version);
                false
            }
            Some(CredentialSource::Leased(_) | CredentialSource::AppInstallation(_)) => {
                self.leases.refused(version)
            }
            Some(
                CredentialSource::ClientCredentials(_)
                | CredentialSource::TokenExchange(_)
                | CredentialSource::JwtBearer(_)
                | CredentialSource::IdentityAssertion(_),
            ) => self.asked.refused(version),
            Some(CredentialSource::Grant(_)) => self.grants.refused(version, wish.now),
            None => false,
        }
    }

    async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32 {
        let minted = self.minted.end_binding(environment, binding);
        let minted = self.outlive(minted, None).await;
        let leases = self.leases.end_binding(environment, binding);
        let (leases, asked) = tokio::join!(leases, self.asked.end_binding(environment, binding));
        let grants = self.grants.end_binding(environment, binding);
        minted.saturating_add(leases).saturating_add(asked).saturating_add(grants)
    }

    async fn end_agent(&self, agent: &AgentName) -> u32 {
        let minted = self.outlive(self.minted.end_agent(agent), Some(agent)).await;
        let (leases, asked) = tokio::join!(self.leases.end_agent(agent), self.asked.end_agent(agent));
        minted.saturating_add(leases).saturating_add(asked)
    }

    fn sweep(&self, now: Timestamp) {
        self.asked.sweep(now);
        self.grants.sweep(now);
        self.minted.sweep(now);
        self.leases.sweep(now);
    }
}
