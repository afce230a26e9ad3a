mod acts;
mod apply;
mod laws;
mod locks;
mod reach;
mod reviews;
mod versions;

use super::*;
use crate::id::{OperatorName, Revision, TeamName};
use crate::manifest::Spec;
use crate::operator::{Role, RoleGrant};
use crate::ports::{SecretCache, SecretStore, StoreError, StoreErrorKind};
use crate::reference::{ResolvedReference, SecretReference};
use crate::state::{Change, Lifecycle};
use crate::stores::{PathDelegation, StoreClass, StoreEntry, Stores};
use std::sync::Arc;

/// Keeps versions, or only one.
#[derive(Debug)]
struct NoStore(bool);

#[async_trait::async_trait]
impl SecretStore for NoStore {
    async fn fetch(&self, _: &ResolvedReference) -> Result<Arc<crate::lease::SecretVersion>, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "decisions fetch nothing"))
    }
    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn keeps_versions(&self) -> bool {
        self.0
    }
}

impl SecretCache for NoStore {
    fn forget(&self, _: &ResolvedReference) -> u32 {
        0
    }
    fn forget_all(&self) -> u32 {
        0
    }
}

fn entry(class: StoreClass, environments: &[&str], paths: &[(&str, &str)]) -> StoreEntry {
    StoreEntry {
        store: Arc::new(NoStore(class == StoreClass::External)),
        uncached: Arc::new(NoStore(class == StoreClass::External)),
        cache: Arc::new(NoStore(false)),
        leasing: None,
        writer: None,
        class,
        environments: environments.iter().map(|name| name.parse().unwrap()).collect(),
        paths: paths
            .iter()
            .map(|(prefix, owner)| PathDelegation {
                prefix: (*prefix).to_owned(),
                owners: vec![owner.parse().unwrap()],
            })
            .collect(),
    }
}

fn stores() -> Stores {
    let vault = entry(
        StoreClass::External,
        &["production"],
        &[("kv/support/", "support"), ("kv/platform/", "platform")],
    );
    let bare = entry(StoreClass::External, &["production"], &[]);
    let local = entry(StoreClass::Local, &["dev", "production"], &[("s/", "support")]);
    let sealed = entry(StoreClass::Local, &["dev"], &[]);
    Stores::new([
        ("vault".parse().unwrap(), vault),
        ("bare".parse().unwrap(), bare),
        ("local".parse().unwrap(), local),
        ("sealed".parse().unwrap(), sealed),
    ])
}

fn operator(name: &str, role: Role) -> Operator {
    Operator { name: OperatorName::parse(name).unwrap(), grants: vec![RoleGrant::everywhere(role)] }
}

fn scoped(name: &str, role: Role, team: &str) -> Operator {
    let teams: Option<Vec<TeamName>> = Some(vec![team.parse().unwrap()]);
    Operator {
        name: OperatorName::parse(name).unwrap(),
        grants: vec![RoleGrant { role, teams, environments: None }],
    }
}

fn spec(json: serde_json::Value) -> Spec {
    serde_json::from_value(json).unwrap()
}

fn environment(name: &str, tier: &str) -> Spec {
    spec(serde_json::json!({"kind": "Environment", "name": name, "tier": tier}))
}

fn server(environment: &str) -> serde_json::Value {
    serde_json::json!({
        "kind": "Server", "name": "github", "environment": environment, "owner": "support",
        "route": {"url": "https://github.internal/mcp"}, "tools": {"default_risk": "write"}
    })
}

fn policy(environment: &str, cedar: &str) -> Spec {
    spec(serde_json::json!({
        "kind": "Policy", "name": "triage", "environment": environment, "owner": "support", "cedar": cedar
    }))
}

fn agent(environment: &str) -> Spec {
    spec(serde_json::json!({
        "kind": "Agent", "name": "bot", "environments": [environment], "owner": "support",
        "risk_ceiling": "write", "proofs": ["agent_token"]
    }))
}

fn binding(environment: &str, secret: &str) -> serde_json::Value {
    serde_json::json!({
        "kind": "Binding", "name": "bot-github", "environment": environment, "server": "github",
        "tools": ["list", "comment"], "actor": {"agents": ["bot"]}, "mode": "service_account",
        "secret": secret, "inject": {"header": "Authorization", "format": "Bearer {secret}"},
        "policy": "triage", "risk": "write", "owner": "support"
    })
}

fn with(mut json: serde_json::Value, field: &str, value: serde_json::Value) -> serde_json::Value {
    json.as_object_mut().unwrap().insert(field.to_owned(), value);
    json
}

const PERMIT: &str = "permit (principal, action, resource);";
const SECRET: &str = "vault://kv/support/bot#token";

fn world(name: &str) -> Vec<Spec> {
    let (tier, secret) = if name == "dev" { ("dev", "sealed://bot#token") } else { ("production", SECRET) };
    vec![
        environment(name, tier),
        spec(server(name)),
        policy(name, PERMIT),
        agent(name),
        spec(binding(name, secret)),
    ]
}

/// A state under test: acts are decided and carried out, refusals come back as codes.
struct Bench {
    state: State,
    stores: Stores,
    facts: Facts,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let now = Timestamp::from_seconds(1_795_000_000);
        Self { state: State::default(), stores: stores(), facts: Facts::default(), now }
    }

    fn context<'a>(&'a self, operator: &'a Operator) -> Context<'a> {
        Context { state: &self.state, stores: &self.stores, facts: &self.facts, operator, now: self.now }
    }

    fn commit(&mut self, change: &Change) {
        commit(&mut self.state, change).unwrap();
    }

    fn apply(&mut self, who: &Operator, specs: &[Spec]) -> Result<Vec<Written>, Vec<&'static str>> {
        let applied = apply(&self.context(who), &Manifests { specs, prune: &[] }).map_err(codes)?;
        if let Some(change) = &applied.change {
            self.commit(change);
        }
        Ok(applied.written)
    }

    fn approve(&mut self, who: &Operator, key: &str, revision: u32) -> Result<Lifecycle, Vec<&'static str>> {
        let signed = approve(&self.context(who), &self.key(key), Revision(revision)).map_err(codes)?;
        self.commit(&signed.change);
        Ok(signed.status)
    }

    fn rotate(
        &mut self,
        who: &Operator,
        key: &str,
        to: Option<&str>,
    ) -> Result<RotationStep, Vec<&'static str>> {
        let to = to.map(|text| SecretReference::parse(text).unwrap());
        let rotation = rotate(&self.context(who), &self.key(key), to.as_ref()).map_err(codes)?;
        self.commit(&rotation.change);
        Ok(rotation.step)
    }

    fn key(&self, text: &str) -> crate::manifest::ObjectKey {
        let parts: Vec<&str> = text.split('/').collect();
        let kind = crate::manifest::Kind::from_word(parts[0]).unwrap();
        let environment = (parts.len() == 3).then(|| parts[1].parse().unwrap());
        crate::manifest::ObjectKey { kind, environment, name: (*parts.last().unwrap()).to_owned() }
    }

    fn status(&self, key: &str, revision: u32) -> Lifecycle {
        self.state.exact(&self.key(key), Revision(revision)).unwrap().status
    }

    /// A production environment in which everything is approved: `alice` wrote, `bob` signed.
    fn production() -> Self {
        let mut bench = Self::new();
        let (alice, bob) = (operator("i|alice", Role::Editor), operator("i|bob", Role::Approver));
        bench.apply(&alice, &world("production")).unwrap();
        for key in ["Server/production/github", "Policy/production/triage", "Agent/bot", BINDING] {
            assert_eq!(bench.approve(&bob, key, 1), Ok(Lifecycle::Active), "{key}");
        }
        bench
    }

    fn dev() -> Self {
        let mut bench = Self::new();
        bench.apply(&operator("i|alice", Role::Editor), &world("dev")).unwrap();
        bench
    }
}

const BINDING: &str = "Binding/production/bot-github";
const DEV_BINDING: &str = "Binding/dev/bot-github";

fn codes(findings: Vec<Finding>) -> Vec<&'static str> {
    findings.into_iter().map(|finding| finding.rule.code).collect()
}
