//! Credential sources beyond stored secrets: what providers issue, stores lease and the gateway signs.

pub mod provider;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{CredentialIssuer, CredentialWish};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;

/// Every credential source that this gateway has, behind one door.
#[derive(Debug, Default)]
pub struct Sources {}

impl Sources {
    /// The words of the sources that are there; manifests that name another are refused.
    pub fn words(&self) -> BTreeSet<&'static str> {
        BTreeSet::new()
    }
}

#[async_trait]
impl CredentialIssuer for Sources {
    async fn issue(&self, _wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal> {
        Err(Code::ModeUnavailable.into())
    }

    fn refused(&self, _wish: &CredentialWish<'_>, _version: &VersionId) -> bool {
        false
    }

    async fn end_binding(&self, _environment: &EnvironmentName, _binding: &BindingName) -> u32 {
        0
    }

    fn sweep(&self, _now: Timestamp) {}
}
