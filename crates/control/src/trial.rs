//! Trying a candidate: fetched past the cache, judged, and shown to the server that it is for.

use std::sync::Arc;

use gateway_core::lease::SecretVersion;
use gateway_core::manifest::{BindingSpec, ExceptionRule};
use gateway_core::policy::{Permit, SystemUse};
use gateway_core::ports::{Candidate, CredentialProbe};
use gateway_core::reference::ResolvedReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::stores::Stores;

use crate::ports::SnapshotSource;

/// Below this many bytes the scrubber cannot tell a value from ordinary text.
const SHORT: usize = 16;

/// What a trial works with.
#[derive(Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) snapshots: &'a dyn SnapshotSource,
    pub(crate) stores: &'a Stores,
    pub(crate) probe: &'a dyn CredentialProbe,
}

impl Trial<'_> {
    /// Fetches past the cache and not into it, so that calls go on with the present value until the server has
    /// taken this one.
    pub(crate) async fn of(
        &self,
        spec: &BindingSpec,
        reference: &ResolvedReference,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        let snapshot = self.snapshots.current();
        let view = snapshot.environment(spec.environment.as_str());
        let binding = view
            .and_then(|view| view.server(spec.server.as_str()))
            .and_then(|server| server.binding(&spec.name))
            .ok_or_else(|| Refusal::new(Code::StateStale).because("the binding is not in the snapshot"))?;
        let injection = spec.inject.as_ref().ok_or_else(|| Refusal::new(Code::ReferenceRefused))?;
        let entry = self.stores.open(&spec.environment, &reference.store)?;
        let material = entry.uncached.fetch(reference).await?;
        check_usable(&material.secret, spec.excepts(ExceptionRule::ShortSecret))?;
        let permit = Permit::for_system(SystemUse::Probe, Arc::clone(binding), snapshot.epoch);
        let (environment, route) = (&spec.environment, &binding.route);
        let candidate = Candidate { environment, route, injection, material: Arc::clone(&material) };
        self.probe.probe(&permit, candidate).await?;
        Ok(material)
    }
}

/// The rules of the data path, asked before the upstream is: wherever a value goes, it is visible
/// ASCII and long enough for the scrubber.
fn check_usable(secret: &Secret, short_allowed: bool) -> Result<(), Refusal> {
    if secret.is_empty() {
        return Err(Code::SecretEmpty.into());
    }
    if secret.len() < SHORT && !short_allowed {
        return Err(Refusal::new(Code::SecretUnusable).because("the value is shorter than 16 bytes"));
    }
    if !secret.is_header_safe() {
        return Err(
            Refusal::new(Code::SecretUnusable).because("the value holds characters no header may hold")
        );
    }
    Ok(())
}
