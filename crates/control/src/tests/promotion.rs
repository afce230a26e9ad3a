//! Promotion: nothing of the source's own crosses over, and what is promoted waits for the target's signatures.

use super::*;

const PROMOTE: &str = "/v1/promote";
const ROUTE: &str = "https://github.dev.internal/mcp";

fn here(kind: &str, name: &str, environment: &str, more: Value) -> Value {
    let mut object = json!({"kind": kind, "name": name, "environment": environment, "owner": "support"});
    for (field, value) in more.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

fn dev(field: &str, value: Value) -> Value {
    let mut binding = here(
        "Binding",
        "notes",
        "dev",
        json!({
            "server": "notes", "actor": {"agents": ["bot"]}, "mode": "service_account",
            "secret": "sealed://notes#token", "inject": {"header": "Authorization", "format": "Bearer {secret}"},
            "policy": "calls", "risk": "write"
        }),
    );
    binding[field] = value;
    binding
}

fn source() -> Vec<Value> {
    vec![
        json!({"kind": "Environment", "name": "dev"}),
        json!({"kind": "Agent", "name": "bot", "environments": ["dev", "production"], "owner": "support",
            "risk_ceiling": "write", "proofs": ["agent_token"]}),
        here("Server", "notes", "dev", json!({"route": {"url": ROUTE}, "tools": {"default_risk": "write"}})),
        here("Policy", "calls", "dev", json!({"cedar": PERMIT})),
        dev("risk", json!("write")),
    ]
}

/// Production, promoted from `from`, and a dev that decides.
async fn office(from: Option<&str>) -> Office {
    let office = Office::new();
    let mut environment = json!({"kind": "Environment", "name": "production", "tier": "production"});
    if let Some(from) = from {
        environment["promotes_from"] = json!(from);
    }
    let mut specs = source();
    specs.push(environment);
    let answer = office.apply("alice", &specs).await;
    assert!(answer.status < 300, "{}", answer.body);
    // The agent enters production too, so that somebody signs it first, and then what rests on it.
    let signed = office.post("bob", "/v1/objects/agent/-/bot/approve", json!({"revision": 1})).await;
    assert_eq!(signed.status, 200, "{}", signed.body);
    office
}

fn mapped() -> Value {
    json!({
        "references": {"sealed://notes#token": "vault://kv/support/notes#token"},
        "routes": {ROUTE: "https://github.internal/mcp"},
    })
}

fn question(map: Value) -> Value {
    json!({"from": "dev", "to": "production", "map": map})
}

fn codes(answer: &Answer) -> Vec<(String, String)> {
    let findings = answer.body["findings"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings.map(|one| (text(&one["code"]), text(&one["object"]))).collect()
}

#[tokio::test]
async fn what_is_mapped_becomes_manifests_of_the_target_and_waits_there() {
    let office = office(Some("dev")).await;
    let epoch = office.state.now().epoch;
    let told = office.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(office.state.now().epoch, epoch, "nothing was written");
    let specs = told.body["specs"].as_array().unwrap();
    assert!(specs.iter().all(|spec| spec["environment"] == "production"), "{specs:?}");
    let binding = specs.iter().find(|spec| spec["kind"] == "Binding").unwrap();
    assert_eq!(binding["secret"], "vault://kv/support/notes#token");
    let server = specs.iter().find(|spec| spec["kind"] == "Server").unwrap();
    assert_eq!(server["route"]["url"], "https://github.internal/mcp");
    assert_eq!((&told.body["pending"], &told.body["unused"]), (&json!(3), &json!([])));
    assert!(told.body["effect"]["access"]["gains"].is_array());
    let applied = office.apply("alice", specs).await;
    assert_eq!(applied.status, 202, "{}", applied.body);
    let own = office.post("alice", "/v1/bindings/production/notes/approve", json!({"revision": 1})).await;
    assert_eq!(own.status, 403, "its author signs nothing: {}", own.body);
}

#[tokio::test]
async fn a_place_of_the_source_never_crosses_over() {
    let office = office(Some("dev")).await;
    let bare = office.post("alice", PROMOTE, question(json!({}))).await;
    assert_eq!(bare.status, 422, "{}", bare.body);
    let found = codes(&bare);
    for (code, object) in
        [("promotion.reference", "Binding/dev/notes"), ("promotion.route", "Server/dev/notes")]
    {
        assert!(found.contains(&(code.to_owned(), object.to_owned())), "{code} in {found:?}");
    }
    for (reference, code) in [
        ("sealed://other#token", "promotion.reference"),
        ("sealed://notes#token", "promotion.reference"),
        ("nowhere://notes#token", "store.unknown"),
    ] {
        let mut map = mapped();
        map["references"]["sealed://notes#token"] = json!(reference);
        let told = office.post("alice", PROMOTE, question(map)).await;
        assert_eq!(codes(&told)[0].0, code, "{reference}: {}", told.body);
    }
    let mut map = mapped();
    map["routes"][ROUTE] = json!(ROUTE);
    let told = office.post("alice", PROMOTE, question(map)).await;
    assert_eq!(codes(&told)[0].0, "promotion.route", "the same server for both: {}", told.body);
    assert!(office.chain.all().iter().any(|event| event.reason.as_deref() == Some("promotion.reference")));
}

#[tokio::test]
async fn providers_workloads_and_agents_must_be_the_targets_own() {
    let office = office(Some("dev")).await;
    let sources = |binding: Value, more: Value| {
        let mut specs = source();
        specs.pop();
        specs.push(binding);
        specs.push(more);
        let mut asked = question(mapped());
        asked["specs"] = json!(specs);
        asked
    };
    let workload = json!({"kind": "Workload", "name": "ci", "environments": ["dev"], "owner": "support",
        "identities": [{"issuer": "https://ci", "subject": "x"}]});
    let told =
        office.post("alice", PROMOTE, sources(dev("actor", json!({"workloads": ["ci"]})), workload)).await;
    assert_eq!(codes(&told)[0].0, "promotion.workload", "{}", told.body);
    let told = office
        .post("alice", PROMOTE, sources(dev("actor", json!({"agents": ["other"]})), source()[0].clone()))
        .await;
    assert!(codes(&told).iter().any(|(code, _)| code == "promotion.agent"), "{}", told.body);
    let mut sourced = dev("source", json!({"client_credentials": {"provider": "idp"}}));
    sourced.as_object_mut().unwrap().remove("secret");
    let provider = here(
        "Provider",
        "idp",
        "dev",
        json!({"issuer": "https://idp", "client": {"id": "x",
        "authentication": {"client_secret_basic": {"secret": "sealed://idp#secret"}}}}),
    );
    let mut asked = sources(sourced, provider);
    asked["specs"].as_array_mut().unwrap().remove(0);
    let told = office.post("alice", PROMOTE, asked).await;
    assert_eq!(codes(&told)[0].0, "promotion.provider", "{}", told.body);
}

#[tokio::test]
async fn production_is_not_reached_from_dev_unless_the_order_says_so() {
    let office = office(None).await;
    let told = office.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!((told.status, told.code()), (422, "promotion.order"), "{}", told.body);
    for (from, to) in [("dev", "dev"), ("production", "dev"), ("elsewhere", "production")] {
        let told = office.post("alice", PROMOTE, json!({"from": from, "to": to, "specs": source()})).await;
        assert_eq!((told.status, told.code()), (422, "promotion.order"), "{from} {to}: {}", told.body);
    }
    let other = self::office(Some("staging")).await;
    let told = other.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!(told.code(), "promotion.order", "{}", told.body);
    let own = json!({"kind": "Environment", "name": "loop", "promotes_from": "loop"});
    assert_eq!(other.apply("alice", &[own]).await.code(), "promotion.order");
}

#[tokio::test]
async fn only_what_is_asked_for_is_promoted_and_only_what_decides() {
    let office = office(Some("dev")).await;
    let with = |select: Value| {
        let mut asked = question(mapped());
        asked["select"] = select;
        asked
    };
    let told = office.post("alice", PROMOTE, with(json!(["Policy/calls"]))).await;
    assert_eq!((told.status, told.body["specs"].as_array().map(Vec::len)), (200, Some(1)), "{}", told.body);
    assert_eq!(told.body["unused"].as_array().map(Vec::len), Some(2), "{}", told.body);
    for select in [json!(["Binding/none"]), json!(["Agent/bot"]), json!(["spoon"]), json!(["Binding/"])] {
        let told = office.post("alice", PROMOTE, with(select.clone())).await;
        assert_eq!((told.status, told.code()), (422, "promotion.selection"), "{select}: {}", told.body);
    }
    let told = office.post("alice", PROMOTE, with(json!(["Binding/notes"]))).await;
    assert_eq!(told.status, 422, "its server and policy are not there: {}", told.body);
}

#[tokio::test]
async fn whoever_may_not_write_the_target_or_see_the_places_promotes_nothing() {
    let office = office(Some("dev")).await;
    let told = office.post("carol", PROMOTE, question(mapped())).await;
    assert_eq!((told.status, told.code()), (403, "operator.forbidden"), "{}", told.body);
    let told = office.post("nobody", PROMOTE, question(mapped())).await;
    assert_eq!((told.status, told.code()), (422, "promotion.selection"), "what it may not see is not there");
    let presentation = Presentation { masked: [Role::Editor].into(), ..Presentation::default() };
    let veiled = Office::showing(office.state.now(), presentation);
    let told = veiled.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!((told.status, told.code()), (403, "operator.forbidden"), "{}", told.body);
    assert!(!told.body.to_string().contains("notes#token"), "{}", told.body);
}

#[tokio::test]
async fn one_place_under_two_names_of_its_store_does_not_cross_over_either() {
    let origin = office(Some("dev")).await;
    let elsewhere = "vault://kv/support/notes#token";
    assert_eq!(
        origin.apply("alice", &[dev("secret", json!("sealed://kv/support/notes#token"))]).await.status,
        200
    );
    let mut map = mapped();
    map["references"] = json!({"sealed://kv/support/notes#token": elsewhere});
    assert_eq!(origin.post("alice", PROMOTE, question(map.clone())).await.status, 200, "two places");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let whereabouts = [
        ("sealed".parse().unwrap(), words(&["vault https://one", "vault https://two"])),
        ("vault".parse().unwrap(), words(&["vault https://two"])),
    ];
    let facts = Facts { whereabouts: whereabouts.into(), ..Facts::default() };
    let alike = Office::configured(origin.state.now(), Presentation::default(), facts);
    let told = alike.post("alice", PROMOTE, question(map)).await;
    assert_eq!((told.status, told.code()), (422, "promotion.reference"), "{}", told.body);
}

#[tokio::test]
async fn a_policy_that_names_the_source_is_flagged() {
    let office = office(Some("dev")).await;
    let plain = office.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!(plain.body["flagged"], Value::Null, "{}", plain.body);
    let cedar = "permit (principal, action, resource) when { context.environment == \"dev\" };";
    assert_eq!(
        office.apply("alice", &[here("Policy", "calls", "dev", json!({ "cedar": cedar }))]).await.status,
        200
    );
    let told = office.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let flagged = &told.body["flagged"][0];
    assert_eq!((&flagged["object"], &flagged["field"]), (&json!("Policy/production/calls"), &json!("cedar")));
    assert_eq!(flagged["statements"][0]["text"], cedar);
}

#[tokio::test]
async fn what_stands_in_the_target_is_not_told_to_who_may_not_see_it() {
    let office = office(Some("dev")).await;
    let told = office.post("alice", PROMOTE, question(mapped())).await;
    let specs = told.body["specs"].as_array().unwrap();
    assert_eq!(office.apply("alice", specs).await.status, 202);
    for path in [
        "/v1/objects/server/production/notes/approve",
        "/v1/objects/policy/production/calls/approve",
        "/v1/bindings/production/notes/approve",
    ] {
        assert_eq!(office.post("bob", path, json!({"revision": 1})).await.status, 200, "{path}");
    }
    let scoped = |role, environment: &str| RoleGrant {
        environments: Some(vec![environment.parse().unwrap()]),
        ..RoleGrant::everywhere(role)
    };
    let presentation = Presentation { masked: [Role::Editor].into(), ..Presentation::default() };
    let veiled = Office::showing(office.state.now(), presentation);
    veiled.people.add("eve", vec![scoped(Role::Approver, "dev"), scoped(Role::Editor, "production")]);
    let told = veiled.post("eve", PROMOTE, question(json!({}))).await;
    assert_eq!((told.status, told.code()), (403, "operator.forbidden"), "{}", told.body);
    assert!(!told.body.to_string().contains("kv/support"), "{}", told.body);
}

#[tokio::test]
async fn who_sees_a_part_of_the_source_is_told_so() {
    let office = office(Some("dev")).await;
    let whole = office.post("alice", PROMOTE, question(mapped())).await;
    assert_eq!(whole.body["limited"], Value::Null, "{}", whole.body);
    let team = Some(vec!["support".parse().unwrap()]);
    office.people.add("partly", vec![RoleGrant { teams: team, ..RoleGrant::everywhere(Role::Editor) }]);
    let told = office.post("partly", PROMOTE, question(mapped())).await;
    assert_eq!(told.status, 200, "{}", told.body);
    assert!(told.body["limited"].is_string(), "{}", told.body);
}
