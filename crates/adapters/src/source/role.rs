//! Secrets that a store makes on demand: a role of it is the lessor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::account::Account;
use gateway_core::id::{AgentName, EnvironmentName};
use gateway_core::manifest::{Injection, LeasedSecret};
use gateway_core::ports::{CredentialWish, LeasingStore, StoreError, StoreErrorKind, StoreLease};
use gateway_core::reference::{ResolvedReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::Way;
use gateway_core::stores::Stores;

use super::leases::{Ask, Kept, Lessor, Subject};

struct Role {
    stores: Arc<Stores>,
    environment: EnvironmentName,
    place: ResolvedReference,
    /// Whether the account goes upstream too.
    with_account: bool,
}

/// What the binding asks its store for, on this actor's account.
///
/// # Errors
/// [`Code::ReferenceRefused`] where the actor lacks what the place names.
pub(super) fn ask(
    stores: &Arc<Stores>,
    wish: &CredentialWish<'_>,
    leased: &LeasedSecret,
) -> Result<Ask, Refusal> {
    let environment = &wish.permit.binding().spec.environment;
    let agent = wish.actor.and_then(|actor| actor.agent.as_ref());
    let values = TemplateValues {
        agent: agent.map(AgentName::as_str),
        user: wish.actor.and_then(|actor| actor.user.as_ref()).map(|user| &*user.subject),
        environment,
    };
    let place = leased.role.resolve(&values);
    let place = place.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
    let subject = Subject {
        source: "leased",
        reference: Some(leased.role.clone()),
        provider: None,
        scopes: Vec::new(),
    };
    let with_account = wish.permit.binding().spec.inject.as_ref().is_some_and(Injection::names_account);
    let (stores, environment) = (Arc::clone(stores), environment.clone());
    Ok(Ask {
        place: format!("{}/{}", place.store, place.path),
        agent: agent.filter(|_| leased.role.has_templates()).cloned(),
        subject,
        lessor: Arc::new(Role { stores, environment, place, with_account }),
    })
}

impl Role {
    fn store(&self) -> Result<Arc<dyn LeasingStore>, StoreError> {
        let entry = self.stores.open(&self.environment, &self.place.store)?;
        entry
            .leasing
            .clone()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Malformed, "the store makes no secrets on demand"))
    }
}

#[async_trait]
impl Lessor for Role {
    async fn lease(&self) -> Result<StoreLease, Refusal> {
        let store = self.store()?;
        let mut lease = store.lease(&self.place).await?;
        if !self.with_account {
            return Ok(lease);
        }
        let account = lease.account.as_deref();
        if let Some(both) = account.and_then(|account| Account::join(account, &lease.material.secret)) {
            lease.material.secret = both;
            return Ok(lease);
        }
        // Nobody will use it: it goes back at once, and where that fails it ends by itself.
        if let Err(error) = store.revoke(&lease.id).await {
            tracing::warn!(%error, "a lease without a usable user name was not taken back");
        }
        Err(Refusal::new(Code::SecretUnusable).because("the store made no account with a usable user name"))
    }

    async fn renew(&self, kept: &Kept) -> Result<Duration, Refusal> {
        Ok(self.store()?.renew(&kept.id, kept.duration).await?)
    }

    async fn take_back(&self, kept: &Kept) -> Result<(), Refusal> {
        Ok(self.store()?.revoke(&kept.id).await?)
    }

    fn known_way(&self, kept: &Kept) -> Option<Way> {
        Some(Way::Lease { store: self.place.store.clone(), lease: kept.id.clone() })
    }

    async fn way_back(&self, _: &str, kept: &Kept) -> Result<Way, Refusal> {
        Ok(Way::Lease { store: self.place.store.clone(), lease: kept.id.clone() })
    }
}
