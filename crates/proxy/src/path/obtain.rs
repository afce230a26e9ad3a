//! Fifth stage, the only door to a credential: a permit becomes a lease.

use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::consent::Consent;
use gateway_core::id::{AgentName, RequestId};
use gateway_core::lease::{Lease, SecretVersion};
use gateway_core::manifest::{CredentialNeed, CredentialSource, ExceptionRule, Tier};
use gateway_core::policy::Permit;
use gateway_core::ports::CredentialWish;
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::Snapshot;
use gateway_core::state::GrantRecord;
use gateway_core::stores::{StoreClass, Stores};
use gateway_core::time::Timestamp;

use crate::gateway::Gateway;
use crate::live::{BindingKey, Pass};
use crate::materials::{Material, Place};

/// A lease with what is made of it.
#[derive(Debug)]
pub struct Obtained {
    /// The lease; injection consumes it.
    pub lease: Lease,
    /// Where the value goes, and what must not come back.
    pub material: Arc<Material>,
    /// The user's grant that it comes from.
    pub grant: Option<Arc<GrantRecord>>,
}

impl Obtained {
    /// Marks the use with the grant and looks once more whether it lives: whoever ends the grant afterwards
    /// finds the use by the mark, and whoever ended it before is seen here.
    ///
    /// # Errors
    /// [`Code::GrantMissing`].
    pub(crate) fn enter_grant(&self, gateway: &Gateway, permit: &Permit, pass: &Pass) -> Result<(), Refusal> {
        let Some(grant) = &self.grant else { return Ok(()) };
        pass.uses_grant(&grant.id);
        let lives = gateway.world.current().snapshot.grant_lives(grant);
        if lives { Ok(()) } else { Err(mendable(Code::GrantMissing.into(), permit, None)) }
    }
}

/// Resolves the permit's own reference, in the permit's own environment. A server that takes no
/// credential gets none.
///
/// # Errors
/// A `503` of the table: nothing is ever injected in place of what the binding names.
pub async fn obtain(
    gateway: &Gateway,
    permit: &Permit,
    request_id: &RequestId,
    now: Timestamp,
) -> Result<Option<Obtained>, Refusal> {
    obtain_for(gateway, permit, permit.actor(), request_id, now).await
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
    request_id: &RequestId,
    now: Timestamp,
) -> Result<Option<Obtained>, Refusal> {
    let binding = permit.binding();
    if binding.credential == CredentialNeed::None && !binding.spec.names_material() {
        return Ok(None);
    }
    check_production(gateway, permit)?;
    let mut from_grant = None;
    let (version, place) = match (&binding.spec.secret, &binding.spec.source, binding.credential) {
        (Some(reference), None, CredentialNeed::Required) => {
            let resolved = resolve(permit, actor, reference)?;
            let (version, of_caller) = fetch(&gateway.stores, permit, actor, &resolved).await?;
            let slot = of_caller.or_else(|| per_caller(reference, &resolved));
            let agent = slot.as_ref().and_then(|_| agent_name(actor)).cloned();
            let place = Place { slot, agent, reference: Some(resolved) };
            (version, place)
        }
        (None, Some(source), CredentialNeed::Required) => {
            let world = gateway.world.current();
            let grant = grant_of(&world.snapshot, permit, actor, source)?;
            let agent = agent_name(actor).and_then(|name| world.snapshot.agent(name));
            let wish = CredentialWish { permit, actor, agent, grant, request_id, now };
            let issued = gateway.issuer.issue(&wish).await;
            let version = issued.map_err(|refusal| match refusal.code() {
                Code::GrantMissing => mendable(refusal, permit, None),
                _ => refusal,
            })?;
            from_grant = grant.cloned();
            let slot = source.is_per_caller().then(|| actor.map(Actor::stable_id)).flatten();
            let agent = slot.as_ref().and_then(|_| agent_name(actor)).cloned();
            (version, Place { slot, agent, reference: None })
        }
        _ => return Err(Refusal::new(Code::ReferenceRefused).because("material and server's need differ")),
    };
    if version.expires_at.is_some_and(|end| end <= now) {
        return Err(Refusal::new(Code::SecretMissing).because("the version has expired"));
    }
    let key = binding_key(permit);
    let material = gateway.materials.ready(&key, place, &binding.spec, Arc::clone(&version), now)?;
    Ok(Some(Obtained { lease: Lease::issue(permit, version), material, grant: from_grant }))
}

fn agent_name(actor: Option<&Actor>) -> Option<&AgentName> {
    actor.and_then(|actor| actor.agent.as_ref())
}

/// A reference with templates has one value per caller.
fn per_caller(reference: &SecretReference, resolved: &ResolvedReference) -> Option<String> {
    reference.has_templates().then(|| format!("{}/{}", resolved.store, resolved.path))
}

/// The user's living grant, for the source that needs one.
fn grant_of<'a>(
    snapshot: &'a Snapshot,
    permit: &Permit,
    actor: Option<&Actor>,
    source: &CredentialSource,
) -> Result<Option<&'a Arc<GrantRecord>>, Refusal> {
    let CredentialSource::Grant(request) = source else { return Ok(None) };
    let user = actor.and_then(|actor| actor.user.as_ref()).ok_or(Code::GrantWithoutUser)?;
    let grant = snapshot.grant(&permit.binding().spec.environment, &request.provider, user);
    let grant = grant.ok_or_else(|| mendable(Code::GrantMissing.into(), permit, None))?;
    let covers = |scope: &&str| grant.scopes.iter().any(|granted| granted == scope);
    if request.scopes_for(permit.tool()).iter().all(covers) {
        Ok(Some(grant))
    } else {
        Err(mendable(Code::GrantScopeMissing.into(), permit, Some(grant)))
    }
}

/// Adds what the user would have to agree to, besides what the grant covers already.
fn mendable(refusal: Refusal, permit: &Permit, grant: Option<&GrantRecord>) -> Refusal {
    match &permit.binding().spec.source {
        Some(CredentialSource::Grant(request)) => {
            refusal.wanting(Consent::lacking(request, permit.tool(), grant))
        }
        _ => refusal,
    }
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
        agent: agent_name(actor).map(AgentName::as_str),
        user: actor.and_then(|actor| actor.user.as_ref()).map(|user| &*user.subject),
        environment: &permit.binding().spec.environment,
    };
    reference.resolve(&values).map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))
}

/// Fetches the version, in the caller's own name where the store is opened so; says whose it is then.
async fn fetch(
    stores: &Stores,
    permit: &Permit,
    actor: Option<&Actor>,
    resolved: &ResolvedReference,
) -> Result<(Arc<SecretVersion>, Option<String>), Refusal> {
    let environment = &permit.binding().spec.environment;
    let entry = stores.open(environment, &resolved.store)?;
    let Some(callers) = entry.store.for_callers() else {
        return Ok((entry.store.fetch(resolved).await?, None));
    };
    let nobody =
        || Refusal::new(Code::StoreDenied).because("the store is opened as the caller: nobody calls");
    let actor = actor.ok_or_else(nobody)?;
    let version = callers.fetch_as(actor, environment, resolved).await?;
    Ok((version, Some(format!("{};{}/{}", actor.stable_id(), resolved.store, resolved.path))))
}

/// The production rules, checked again where the credential is used (DESIGN, section 11.5).
fn check_production(gateway: &Gateway, permit: &Permit) -> Result<(), Refusal> {
    let spec = &permit.binding().spec;
    let world = gateway.world.load();
    let Some(environment) = world.snapshot.environment(spec.environment.as_str()) else {
        return Err(Code::ServerUnknown.into());
    };
    if environment.spec.tier != Tier::Production {
        return Ok(());
    }
    let of_store = |reference: &SecretReference| gateway.stores.entry(reference.store());
    let local = spec
        .place()
        .is_some_and(|place| of_store(place).is_none_or(|entry| entry.class == StoreClass::Local));
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
    request_id: &RequestId,
    now: Timestamp,
) -> Result<Option<Obtained>, Refusal> {
    if let Some(reference) = &permit.binding().spec.secret {
        let resolved = resolve(permit, permit.actor(), reference)?;
        gateway.stores.open(&permit.binding().spec.environment, &resolved.store)?.cache.forget(&resolved);
    } else {
        let actor = permit.actor();
        let wish = CredentialWish { permit, actor, agent: None, grant: None, request_id, now };
        if !gateway.issuer.refused(&wish, refused) {
            return Ok(None);
        }
    }
    let again = obtain(gateway, permit, request_id, now).await?;
    Ok(again.filter(|obtained| obtained.lease.version() != refused))
}
