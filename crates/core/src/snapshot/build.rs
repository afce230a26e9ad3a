//! From a state to one environment's view: only what is approved, pinned and whole decides.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{ActiveBinding, EnvironmentView, ServerView, SnapshotError};
use crate::id::{EnvironmentName, PolicyName, Revision, ServerName};
use crate::manifest::{
    BindingSpec, ContentHash, CredentialSource, EnvironmentSpec, Kind, ObjectKey, ProviderSpec, ServerSpec,
    Spec,
};
use crate::policy::{PolicyCompiler, PolicySource};
use crate::rotation::{active_version, held_reference, is_held};
use crate::state::{Lifecycle, Pins, RevisionRecord, State};

pub(super) fn environment_view(
    state: &State,
    spec: &EnvironmentSpec,
    compiler: &dyn PolicyCompiler,
    beside: Option<&EnvironmentView>,
) -> Result<EnvironmentView, SnapshotError> {
    let mut servers: HashMap<ServerName, ServerView> = HashMap::new();
    for record in state.all_active(Kind::Server) {
        if let Spec::Server(server) = &record.spec
            && server.environment == spec.name
        {
            let view = ServerView { spec: server.clone(), revision: record.revision, bindings: Vec::new() };
            servers.insert(server.name.clone(), view);
        }
    }
    let (mut pinned, mut doors) = (HashSet::new(), Doors::default());
    let bindings = state.within(Kind::Binding, &spec.name).iter();
    for record in bindings.filter(|record| record.status == Lifecycle::Active) {
        if let Spec::Binding(binding) = &record.spec
            && let Some(server) = servers.get_mut(&binding.server)
            && let known = beside.and_then(|view| known_binding(view, binding))
            && let Some(active) = active_binding(state, record, binding, &mut doors, known)
        {
            pinned.insert((binding.policy.clone(), active.pins.policy));
            server.bindings.push(active);
        }
    }
    let sources = policy_sources(state, &spec.name, &pinned);
    let engine = compiler
        .compile(&sources)
        .map_err(|issues| SnapshotError { environment: spec.name.clone(), issues })?;
    let servers = servers.into_iter().map(|(name, view)| (name, Arc::new(view))).collect();
    Ok(EnvironmentView { spec: spec.clone(), engine, servers })
}

/// The pinned revisions of one environment's servers, each looked up once: many bindings pin the same.
type Doors = HashMap<(ServerName, Revision), Option<Door>>;

/// A pinned revision of a server with the hash of its route.
#[derive(Clone)]
struct Door {
    server: Arc<ServerSpec>,
    route_id: ContentHash,
}

fn door(state: &State, spec: &BindingSpec, revision: Revision) -> Option<Door> {
    let environment = Some(spec.environment.clone());
    let key = ObjectKey { kind: Kind::Server, environment, name: spec.server.to_string() };
    let Spec::Server(server) = &state.exact(&key, revision)?.spec else { return None };
    let route_id = ContentHash::of(&serde_json::to_vec(&server.route).ok()?);
    Some(Door { server: Arc::new(server.clone()), route_id })
}

/// A binding decides only with everything its approval pinned still at hand; anything missing means
/// that it does not decide at all.
fn active_binding(
    state: &State,
    record: &RevisionRecord,
    spec: &BindingSpec,
    doors: &mut Doors,
    known: Option<&Arc<ActiveBinding>>,
) -> Option<Arc<ActiveBinding>> {
    let pins = record.pins.as_ref()?;
    let pinned = doors.entry((spec.server.clone(), pins.server));
    let Door { server, route_id } = pinned.or_insert_with(|| door(state, spec, pins.server)).clone()?;
    let providers = pinned_providers(state, spec, pins)?;
    let (held, active_version) = (held_reference(state, spec), active_version(state, spec));
    let is_held_back = is_held(state, spec);
    let same = known.filter(|known| {
        known.revision == record.revision
            && known.spec == *spec
            && known.pins == *pins
            && known.pinned_server == server
            && known.providers == providers
            && known.held == held
            && known.active_version.as_ref() == active_version
            && known.is_held_back == is_held_back
    });
    if let Some(known) = same {
        return Some(Arc::clone(known));
    }
    Some(Arc::new(ActiveBinding {
        spec: spec.clone(),
        revision: record.revision,
        route: server.route.clone(),
        route_id,
        credential: server.credential,
        pinned_server: server,
        pins: pins.clone(),
        providers,
        held,
        active_version: active_version.cloned(),
        is_held_back,
    }))
}

/// The binding of this name in another view: both are in the order of names.
fn known_binding<'a>(view: &'a EnvironmentView, spec: &BindingSpec) -> Option<&'a Arc<ActiveBinding>> {
    let bindings = &view.servers.get(&spec.server)?.bindings;
    let place = bindings.binary_search_by(|known| known.spec.name.cmp(&spec.name)).ok()?;
    bindings.get(place)
}

fn pinned_providers(state: &State, spec: &BindingSpec, pins: &Pins) -> Option<Vec<Arc<ProviderSpec>>> {
    let wanted = spec.source.iter().flat_map(CredentialSource::providers);
    let found = wanted.map(|name| {
        let revision = pins.provider(name)?;
        let key = ObjectKey {
            kind: Kind::Provider,
            environment: Some(spec.environment.clone()),
            name: name.to_string(),
        };
        match &state.exact(&key, revision)?.spec {
            Spec::Provider(provider) => Some(Arc::new(provider.clone())),
            _ => None,
        }
    });
    found.collect()
}

fn policy_sources(
    state: &State,
    environment: &EnvironmentName,
    pinned: &HashSet<(PolicyName, Revision)>,
) -> Vec<PolicySource> {
    let in_environment = |record: &&RevisionRecord| record.key.environment.as_ref() == Some(environment);
    let source = |record: &RevisionRecord| {
        let Spec::Policy(policy) = &record.spec else { return None };
        let current = record.status == Lifecycle::Active;
        let wanted = current || pinned.contains(&(policy.name.clone(), record.revision));
        wanted.then(|| PolicySource {
            name: policy.name.clone(),
            revision: record.revision,
            cedar: policy.cedar.clone(),
            hash: record.content,
            current,
        })
    };
    state.of_kind(Kind::Policy).iter().filter(in_environment).filter_map(source).collect()
}
