//! Credential sources beyond stored secrets: what providers issue, stores lease and the gateway signs.

#[cfg(test)]
mod fixture;
mod leased;
mod minted;
pub mod provider;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::id::{AgentName, BindingName, EnvironmentName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::CredentialSource;
use gateway_core::ports::{AuditSink, CredentialIssuer, CredentialWish, Random};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};

use self::leased::Leases;
use self::minted::Minted;
use crate::signing::Signer;

/// What the sources need.
#[derive(Debug)]
pub struct SourceParts {
    /// Signs minted tokens.
    pub signer: Arc<Signer>,
    /// The URL that agents know: who minted tokens are from.
    pub public_url: String,
    /// The stores that make secrets on demand.
    pub stores: Arc<Stores>,
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
    minted: Minted,
    leased: Arc<Leases>,
}

impl Sources {
    /// Puts the sources together.
    pub fn new(parts: SourceParts) -> Self {
        let SourceParts { signer, public_url, stores, audit, clock, random } = parts;
        Self {
            minted: Minted::new(signer, random, &public_url),
            leased: Arc::new(Leases::new(stores, audit, clock)),
        }
    }

    /// The words of the sources that are there; manifests that name another are refused.
    pub fn words(&self) -> BTreeSet<&'static str> {
        BTreeSet::from(["leased", "minted"])
    }
}

#[async_trait]
impl CredentialIssuer for Sources {
    async fn issue(&self, wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal> {
        match &wish.permit.binding().spec.source {
            Some(CredentialSource::Minted(minted)) => self.minted.issue(wish, minted),
            Some(CredentialSource::Leased(leased)) => self.leased.issue(wish, leased).await,
            Some(
                CredentialSource::ClientCredentials(_)
                | CredentialSource::TokenExchange(_)
                | CredentialSource::JwtBearer(_)
                | CredentialSource::IdentityAssertion(_)
                | CredentialSource::Grant(_)
                | CredentialSource::AppInstallation(_),
            )
            | None => Err(Code::ModeUnavailable.into()),
        }
    }

    fn refused(&self, wish: &CredentialWish<'_>, version: &VersionId) -> bool {
        match &wish.permit.binding().spec.source {
            Some(CredentialSource::Minted(_)) => {
                self.minted.refused(version);
                false
            }
            Some(CredentialSource::Leased(_)) => self.leased.refused(version),
            _ => false,
        }
    }

    async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32 {
        let leases = self.leased.end_binding(environment, binding).await;
        leases.saturating_add(self.minted.end_binding(environment, binding))
    }

    async fn end_agent(&self, agent: &AgentName) -> u32 {
        let leases = self.leased.end_agent(agent).await;
        leases.saturating_add(self.minted.end_agent(agent))
    }

    fn sweep(&self, now: Timestamp) {
        self.minted.sweep(now);
        self.leased.sweep(now);
    }
}
