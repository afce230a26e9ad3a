//! A real OpenBao that every caller opens as itself: its own policy lets one agent read, and not another.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::store::{CacheLimits, CallerVault, SignedLogin, VaultLogin, VaultSettings};
use gateway_core::actor::Actor;
use gateway_core::id::AgentName;
use gateway_core::ports::{CallerStore, SecretCache, SecretStore, StoreErrorKind};
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::gate::{Gate, Mode};
use gateway_testkit::openbao::OpenBao;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::actor;
use crate::openbao::{reference, settings, text, tokens};
use crate::openbao_logins::{now, signing, trust};

const AUDIENCE: &str = "https://bao.internal";

struct World {
    server: OpenBao,
    gate: Gate,
    clock: Arc<ManualClock>,
    store: CallerVault,
    _keys: Gate,
}

impl World {
    /// Each agent may read what is named after it: the store says so, by the claim that the gateway signed.
    async fn start() -> Self {
        let server = OpenBao::start().await;
        let (assertions, keys) = signing().await;
        trust(&server, &keys).await;
        let (_, mounts) = server.call(Method::GET, "sys/auth", &Value::Null).await;
        let accessor = mounts["data"]["jwt/"]["accessor"].as_str().unwrap().to_owned();
        let rules = format!(
            "path \"kv/data/agents/{{{{identity.entity.aliases.{accessor}.metadata.agent}}}}\" \
             {{ capabilities = [\"read\"] }}"
        );
        server.write("sys/policies/acl/own-agent", &json!({ "policy": rules })).await;
        let role = json!({ "role_type": "jwt", "bound_audiences": [AUDIENCE], "user_claim": "sub",
            "bound_claims": { "environment": "dev" }, "claim_mappings": { "agent": "agent" },
            "token_policies": "own-agent", "token_ttl": "10m" });
        server.write("auth/jwt/role/callers", &role).await;
        for agent in ["planner", "writer"] {
            server.put(&format!("kv/agents/{agent}"), &json!({ "token": format!("value of {agent}") })).await;
        }
        let gate = Gate::open(server.address().trim_start_matches("http://")).await;
        let login = SignedLogin {
            mount: "jwt".to_owned(),
            role: "callers".to_owned(),
            audience: AUDIENCE.to_owned(),
        };
        let settings = VaultSettings {
            addresses: vec![gate.address().parse().unwrap()],
            ..settings(&server, VaultLogin::Caller(login.clone()))
        };
        let clock = Arc::new(ManualClock::at(now()));
        let store =
            CallerVault::new(settings, login, assertions, CacheLimits::default(), clock.clone()).unwrap();
        Self { server, gate, clock, store, _keys: keys }
    }

    async fn fetch(&self, caller: &Actor, environment: &str, path: &str) -> Result<String, StoreErrorKind> {
        let environment = environment.parse().unwrap();
        let found = self.store.fetch_as(caller, &environment, &reference(path)).await;
        found.map(|version| text(&version).to_owned()).map_err(|error| error.kind)
    }
}

#[tokio::test]
async fn the_stores_own_policy_lets_each_agent_read_its_own_and_nothing_else() {
    let world = World::start().await;
    let (planner, writer) = (actor("planner"), actor("writer"));
    assert_eq!(world.fetch(&planner, "dev", "kv/agents/planner").await.unwrap(), "value of planner");
    // What one was shown is not shown to another, cached or not.
    assert_eq!(world.fetch(&writer, "dev", "kv/agents/planner").await, Err(StoreErrorKind::Denied));
    assert_eq!(world.fetch(&writer, "dev", "kv/agents/writer").await.unwrap(), "value of writer");
    assert_eq!(world.fetch(&planner, "dev", "kv/agents/writer").await, Err(StoreErrorKind::Denied));
    // The role is bound to an environment; the gateway signs the one of the call.
    assert_eq!(world.fetch(&planner, "staging", "kv/agents/planner").await, Err(StoreErrorKind::Denied));
    assert_eq!(
        world.fetch(&Actor::default(), "dev", "kv/agents/planner").await,
        Err(StoreErrorKind::Denied),
        "nobody is nobody"
    );
    let nobody = world.store.fetch(&reference("kv/agents/planner")).await.unwrap_err();
    assert_eq!(nobody.kind, StoreErrorKind::Denied);
    world.store.probe().await.expect("the store is open, whoever may enter");
}

#[tokio::test]
async fn a_login_and_a_value_serve_one_actors_calls_and_nobody_asks_meanwhile() {
    let world = Arc::new(World::start().await);
    let before = tokens(&world.server).await;
    let calls = (0..200).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.fetch(&actor("planner"), "dev", "kv/agents/planner").await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap(), "value of planner");
    }
    assert_eq!(tokens(&world.server).await, before + 1, "one login");
    assert_eq!(world.gate.count(), 2, "a login and a read");
    let requests = world.gate.take_requests();
    assert!(requests[0].starts_with("POST /v1/auth/jwt/login "), "{}", requests[0]);
    assert!(requests[1].contains("x-vault-token: "), "the token of the login");
}

#[tokio::test]
async fn an_agents_end_gives_its_token_up_and_an_actor_that_stays_away_loses_its_own() {
    let world = World::start().await;
    let before = tokens(&world.server).await;
    let (planner, writer) = (actor("planner"), actor("writer"));
    world.fetch(&planner, "dev", "kv/agents/planner").await.unwrap();
    world.fetch(&writer, "dev", "kv/agents/writer").await.unwrap();
    assert_eq!(tokens(&world.server).await, before + 2);
    let ended = AgentName::parse("planner").unwrap();
    assert_eq!(world.store.end_agent(&ended).await, 1, "one value");
    assert_eq!(tokens(&world.server).await, before + 1, "gone at the store by the time of the answer");
    assert_eq!(world.store.end_agent(&ended).await, 0);
    world.gate.set(Mode::Shut);
    assert_eq!(
        world.fetch(&writer, "dev", "kv/agents/writer").await.unwrap(),
        "value of writer",
        "the other one goes on"
    );
    assert_eq!(
        world.fetch(&planner, "dev", "kv/agents/planner").await,
        Err(StoreErrorKind::Unavailable),
        "nothing is left"
    );
    world.gate.set(Mode::Open);
    world.clock.advance(Duration::from_secs(16 * 60));
    world.store.sweep(Timestamp::from_seconds(now().seconds() + 16 * 60));
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokens(&world.server).await != before {
        assert!(tokio::time::Instant::now() < patience, "the token of an actor that is away is given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
