//! Fifth stage, the only door to a credential: a permit becomes a lease.

use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::consent::Consent;
use gateway_core::id::{AgentName, RequestId};
use gateway_core::lease::{Lease, SecretVersion};
use gateway_core::manifest::{CredentialNeed, CredentialSource, ExceptionRule, Route, Tier};
use gateway_core::policy::Permit;
use gateway_core::ports::CredentialWish;
use gateway_core::reference::{ResolvedReference, SecretReference, TemplateValues, VersionSelector};
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
        if lives { Ok(()) } else { Err(mendable(Code::GrantMissing.into(), permit, None).under(permit)) }
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
    let obtained = obtain_for(gateway, permit, permit.actor(), request_id, now).await;
    obtained.map_err(|refusal| refusal.under(permit))
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
    let mut trial = false;
    let (version, place) = match (binding.reference(), &binding.spec.source, binding.credential) {
        (Some(reference), None, CredentialNeed::Required) => {
            let (version, place, untried) = from_store(gateway, permit, actor, reference).await?;
            trial = untried;
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
    let material = gateway.materials.ready(&key, place, &binding.spec, version, trial, now)?;
    // Another one than was fetched, where somebody else is trying that.
    let lease = Lease::issue(permit, Arc::clone(material.version()));
    Ok(Some(Obtained { lease, material, grant: from_grant }))
}

/// The version in the store that the permit's binding may use now; and whether nobody has tried it yet.
async fn from_store(
    gateway: &Gateway,
    permit: &Permit,
    actor: Option<&Actor>,
    reference: &SecretReference,
) -> Result<(Arc<SecretVersion>, Place, bool), Refusal> {
    let binding = permit.binding();
    let resolved = resolve(permit, actor, reference)?;
    let (mut version, of_caller) = fetch(&gateway.stores, permit, actor, &resolved).await?;
    let slot = of_caller.or_else(|| per_caller(reference, &resolved));
    let proven = binding.active_version.as_ref().map(|known| &known.version);
    // A process says nothing about its credential that could be told from any other trouble.
    let mut trial = resolved.version.is_none()
        && matches!(binding.route, Route::Http(_))
        && proven != Some(&version.version);
    if trial {
        (version, trial) =
            standing_version(gateway, permit, (actor, &resolved), slot.as_deref(), version).await;
    }
    let agent = slot.as_ref().and_then(|_| agent_name(actor)).cloned();
    Ok((version, Place { slot, agent, reference: Some(resolved) }, trial))
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

/// The version before, where the server has refused this one and the store still gives out the other; and whether
/// what is used may still be on trial.
async fn standing_version(
    gateway: &Gateway,
    permit: &Permit,
    (actor, resolved): (Option<&Actor>, &ResolvedReference),
    slot: Option<&str>,
    version: Arc<SecretVersion>,
) -> (Arc<SecretVersion>, bool) {
    let kept = gateway.materials.in_place_of(&binding_key(permit), slot, &version.version);
    let Some(kept) = kept else { return (version, true) };
    let selector = Some(VersionSelector::Version(kept.to_string()));
    let pinned = ResolvedReference { version: selector, ..resolved.clone() };
    match fetch(&gateway.stores, permit, actor, &pinned).await {
        Ok((found, _)) if found.version == kept => (found, false),
        // Without it there is nothing to go back to, and the server's refusal stands.
        Ok(_) | Err(_) => (version, false),
    }
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
    if let Some(reference) = permit.binding().reference() {
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
