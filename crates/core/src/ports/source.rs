//! Credential sources: material that no store simply holds, and the trial of a candidate.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::actor::Actor;
use crate::id::{AgentName, BindingName, EnvironmentName, RequestId};
use crate::lease::{SecretVersion, VersionId};
use crate::manifest::{AgentSpec, Injection, Route};
use crate::policy::Permit;
use crate::refusal::Refusal;
use crate::state::GrantRecord;
use crate::time::Timestamp;

/// Obtains material from credential sources other than a stored secret: asks providers, signs, leases.
/// Caches what may be used again, asks once for callers that come at the same time, and writes a record
/// before it asks for anything that exists outside afterwards (DESIGN, section 12.1).
#[async_trait]
pub trait CredentialIssuer: Send + Sync + fmt::Debug {
    /// Material for the one use that the permit allows, in the permit's own environment.
    ///
    /// # Errors
    /// A code of the table: a provider that does not answer, one that refuses, a grant that is missing.
    async fn issue(&self, wish: &CredentialWish<'_>) -> Result<Arc<SecretVersion>, Refusal>;

    /// The upstream refused this version: it is not handed out again. Says whether trying again makes
    /// sense.
    fn refused(&self, wish: &CredentialWish<'_>, version: &VersionId) -> bool;

    /// Ends everything issued under a binding as far as this replica holds it, at the provider where
    /// that is possible, and forgets it; says how many values it held.
    async fn end_binding(&self, environment: &EnvironmentName, binding: &BindingName) -> u32;

    /// Ends everything issued for an agent, as [`end_binding`](Self::end_binding) does for a binding.
    async fn end_agent(&self, agent: &AgentName) -> u32;

    /// Drops what has expired.
    fn sweep(&self, now: Timestamp);
}

/// One use of a credential source.
#[derive(Clone, Copy, Debug)]
pub struct CredentialWish<'a> {
    /// The decision behind it: binding, actor, tool.
    pub permit: &'a Permit,
    /// On whose account, where that is not the permit's own actor: the one whose session is cleaned up.
    pub actor: Option<&'a Actor>,
    /// The registered agent of that actor.
    pub agent: Option<&'a Arc<AgentSpec>>,
    /// The user's grant, for the sources that need one.
    pub grant: Option<&'a Arc<GrantRecord>>,
    /// The request, for evidence.
    pub request_id: &'a RequestId,
    /// When.
    pub now: Timestamp,
}

/// What a candidate credential is tried with.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The approved route.
    pub route: &'a Route,
    /// The injection point.
    pub injection: &'a Injection,
    /// The material.
    pub material: Arc<SecretVersion>,
}

/// Tries a credential at the real upstream before it decides (DESIGN, section 12.1: `Use::Probe`).
#[async_trait]
pub trait CredentialProbe: Send + Sync + fmt::Debug {
    /// Makes one handshake with the candidate. Refused credentials are [`Code::UpstreamUnauthorized`](crate::refusal::Code::UpstreamUnauthorized).
    ///
    /// # Errors
    /// Why the upstream would not take it.
    async fn probe(&self, permit: &Permit, candidate: Candidate<'_>) -> Result<(), Refusal>;
}
