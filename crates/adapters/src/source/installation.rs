//! Tokens of an application's installation: the provider is the lessor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::manifest::{AppInstallation, ContentHash, ProviderSpec};
use gateway_core::ports::{CredentialWish, StoreLease};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::Way;

use super::leases::{Ask, Kept, Lessor, Subject};
use super::ledger::Ledger;
use super::provider::ProviderClient;

struct Installation {
    providers: Arc<ProviderClient>,
    provider: Arc<ProviderSpec>,
    app: AppInstallation,
    ledger: Arc<Ledger>,
}

/// What the binding asks the application's provider for.
///
/// # Errors
/// [`Code::ModeUnavailable`] where the binding pins no provider.
pub(super) fn ask(
    providers: &Arc<ProviderClient>,
    ledger: &Arc<Ledger>,
    wish: &CredentialWish<'_>,
    app: &AppInstallation,
) -> Result<Ask, Refusal> {
    let provider = wish.permit.binding().providers.first().ok_or(Code::ModeUnavailable)?;
    // An approval may pin another revision of the provider under the same revision of the binding.
    let pinned = serde_json::to_vec(provider).map_err(|error| Refusal::new(Code::Internal).because(error))?;
    let permissions = app.permissions.iter().map(|(name, level)| format!("{name}:{level}"));
    let subject = Subject {
        source: "app_installation",
        reference: None,
        provider: Some(app.provider.clone()),
        scopes: permissions.collect(),
    };
    let (providers, ledger) = (Arc::clone(providers), Arc::clone(ledger));
    let lessor = Installation { providers, provider: Arc::clone(provider), app: app.clone(), ledger };
    Ok(Ask { place: ContentHash::of(&pinned).to_string(), agent: None, subject, lessor: Arc::new(lessor) })
}

#[async_trait]
impl Lessor for Installation {
    async fn lease(&self) -> Result<StoreLease, Refusal> {
        Ok(self.providers.installation_token(&self.provider, &self.app).await?)
    }

    async fn renew(&self, _: &Kept) -> Result<Duration, Refusal> {
        // Such a token is never renewed: another one is made.
        Err(Code::ProviderRefused.into())
    }

    async fn take_back(&self, kept: &Kept) -> Result<(), Refusal> {
        Ok(self.providers.end_installation_token(&self.provider, &kept.material.secret).await?)
    }

    async fn way_back(&self, id: &str, kept: &Kept) -> Result<Way, Refusal> {
        let place = self.ledger.keep(&self.provider, id, &kept.material.secret).await?;
        Ok(Way::Installation { provider: Box::new((*self.provider).clone()), place })
    }
}

#[cfg(test)]
mod tests;
