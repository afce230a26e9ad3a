//! Fifth stage, the only door to a credential: a permit becomes a lease.

use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::lease::{Lease, SecretVersion};
use gateway_core::manifest::{CredentialMode, CredentialNeed, ExceptionRule, Tier};
use gateway_core::policy::Permit;
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::stores::{StoreClass, Stores};
use gateway_core::time::Timestamp;

use crate::gateway::Gateway;
use crate::live::BindingKey;
use crate::materials::Material;

/// A lease with what is made of it.
#[derive(Debug)]
pub struct Obtained {
    /// The lease; injection consumes it.
    pub lease: Lease,
    /// Where the value goes, and what must not come back.
    pub material: Arc<Material>,
}

/// Resolves the permit's own reference, in the permit's own environment. A server that takes no
/// credential gets none.
///
/// # Errors
/// A `503` of the table: nothing is ever injected in place of what the binding names.
pub async fn obtain(gateway: &Gateway, permit: &Permit, now: Timestamp) -> Result<Option<Obtained>, Refusal> {
    obtain_for(gateway, permit, permit.actor(), now).await
}

/// The same for a system's permit: the actor is whose session is cleaned up, for references that name
/// the caller.
///
/// # Errors
/// As [`obtain`].
pub async fn obtain_for(
    gateway: &Gateway,
    permit: &Permit,
    actor: Option<&Actor>,
    now: Timestamp,
) -> Result<Option<Obtained>, Refusal> {
    let binding = permit.binding();
    match binding.spec.mode {
        CredentialMode::ServiceAccount => {}
        CredentialMode::UserDelegated | CredentialMode::AgentScoped | CredentialMode::WorkloadIdentity => {
            return Err(Code::ModeUnavailable.into());
        }
    }
    let reference = match (&binding.spec.secret, binding.credential) {
        (Some(reference), CredentialNeed::Required) => reference,
        (None, CredentialNeed::None) => return Ok(None),
        _ => return Err(Refusal::new(Code::ReferenceRefused).because("reference and server's need differ")),
    };
    check_production(gateway, permit, reference)?;
    let resolved = resolve(permit, actor, reference)?;
    let version = fetch(&gateway.stores, permit, &resolved).await?;
    if version.expires_at.is_some_and(|end| end <= now) {
        return Err(Refusal::new(Code::SecretMissing).because("the version has expired"));
    }
    let key = binding_key(permit);
    let per_caller = reference.has_templates();
    let material =
        gateway.materials.ready(&key, &resolved, per_caller, &binding.spec, Arc::clone(&version), now)?;
    Ok(Some(Obtained { lease: Lease::issue(permit, version), material }))
}

/// The binding across its revisions.
pub fn binding_key(permit: &Permit) -> BindingKey {
    (permit.binding().spec.environment.clone(), permit.binding().spec.name.clone())
}

/// Fills in the reference for the actor.
///
/// # Errors
/// [`Code::ReferenceRefused`].
pub fn resolve(
    permit: &Permit,
    actor: Option<&Actor>,
    reference: &SecretReference,
) -> Result<ResolvedReference, Refusal> {
    let values = TemplateValues {
        agent: actor.and_then(|actor| actor.agent.as_ref()).map(gateway_core::id::AgentName::as_str),
        user: actor.and_then(|actor| actor.user.as_ref()).map(|user| &*user.subject),
        environment: &permit.binding().spec.environment,
    };
    reference.resolve(&values).map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))
}

async fn fetch(
    stores: &Stores,
    permit: &Permit,
    resolved: &ResolvedReference,
) -> Result<Arc<SecretVersion>, Refusal> {
    let entry = stores.open(&permit.binding().spec.environment, &resolved.store)?;
    Ok(entry.store.fetch(resolved).await?)
}

/// The production rules, checked again where the credential is used (DESIGN, section 11.5).
fn check_production(gateway: &Gateway, permit: &Permit, reference: &SecretReference) -> Result<(), Refusal> {
    let spec = &permit.binding().spec;
    let world = gateway.world.load();
    let Some(environment) = world.snapshot.environment(spec.environment.as_str()) else {
        return Err(Code::ServerUnknown.into());
    };
    if environment.spec.tier != Tier::Production {
        return Ok(());
    }
    let local = gateway.stores.entry(reference.store()).is_none_or(|entry| entry.class == StoreClass::Local);
    let broken = |rule| !spec.excepts(rule);
    if local && broken(ExceptionRule::LocalStore) {
        return Err(
            Refusal::new(Code::ReferenceRefused).because("local store in production without an exception")
        );
    }
    if gateway.settings.process_durability && broken(ExceptionRule::ProcessDurability) {
        let why = "audit durability `process` in production without an exception";
        return Err(Refusal::new(Code::AuditUnavailable).because(why));
    }
    Ok(())
}

/// Forgets the cached version and fetches again, after the upstream refused it. Says whether the
/// store had another version: only then does trying again make sense.
///
/// # Errors
/// As [`obtain`].
pub async fn obtain_again(
    gateway: &Gateway,
    permit: &Permit,
    refused: &gateway_core::lease::VersionId,
    now: Timestamp,
) -> Result<Option<Obtained>, Refusal> {
    let Some(reference) = &permit.binding().spec.secret else { return Ok(None) };
    let resolved = resolve(permit, permit.actor(), reference)?;
    gateway.stores.open(&permit.binding().spec.environment, &resolved.store)?.cache.forget(&resolved);
    let again = obtain(gateway, permit, now).await?;
    Ok(again.filter(|obtained| obtained.lease.version() != refused))
}
