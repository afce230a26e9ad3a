//! On a stub: no real Connect server was available (`gateway_testkit::stubs`).

use gateway_core::time::Timestamp;
use gateway_testkit::contract::store::battery;
use gateway_testkit::gate::Mode;
use gateway_testkit::stubs::{CloudStub, OnePasswordStub};
use serde_json::{Value, json};

use super::*;
use crate::store::cloud::tests::world::{World, pinned, reach, real_clock, reference, staged};

async fn world_in(root: &'static str) -> World<OnePasswordStub> {
    let (stub, clock) = (OnePasswordStub::start().await, real_clock());
    let settings = OnePasswordSettings {
        server: stub.gate().address().parse().unwrap(),
        token_file: stub.token_file(),
        vaults: vec![OnePasswordStub::VAULT.to_owned(), OnePasswordStub::VAULT_ID.to_owned()],
        reach: reach(),
    };
    let store = Arc::new(OnePasswordConnect::new(settings, clock.clone()).unwrap());
    World { stub, store, clock, root, keeps_versions: false }
}

async fn world() -> World<OnePasswordStub> {
    world_in(OnePasswordStub::VAULT).await
}

/// An item with these fields and sections.
fn item(world: &World<OnePasswordStub>, title: &str, sections: Value, fields: Value) -> String {
    world.stub.add(title, |item| {
        item["sections"] = sections;
        item["fields"] = fields;
    })
}

fn at(path: &str, field: &str) -> ResolvedReference {
    reference(&format!("{}/{path}", OnePasswordStub::VAULT), Some(field))
}

#[tokio::test]
async fn onepassword_connect_keeps_the_contract_on_a_stub() {
    battery(&world().await).await;
    battery(&world_in(OnePasswordStub::VAULT_ID).await).await;
}

#[tokio::test]
async fn connect_misbehaving_is_a_refusal() {
    world().await.survives_misbehaviour().await;
}

#[tokio::test]
async fn a_thousand_callers_make_one_round_of_requests_to_connect() {
    // The vault, the item's id, the item.
    world().await.shares_what_it_fetches(3, 0).await;
    world_in(OnePasswordStub::VAULT_ID).await.shares_what_it_fetches(2, 0).await;
}

#[tokio::test]
async fn items_are_found_by_id_or_by_exact_title_alone() {
    let world = world().await;
    let field = |value: &str| json!([{ "id": "credential", "label": "token", "value": value }]);
    let first = item(&world, "Bot", json!([]), field("canary-first"));
    assert_eq!(world.value(&at("Bot", "token")).await, "canary-first");
    assert_eq!(world.value(&at(&first, "token")).await, "canary-first");
    assert_eq!(
        world.kind(&at("bot", "token")).await,
        StoreErrorKind::NotFound,
        "the stub's filter is looser"
    );
    let second = item(&world, "Bot", json!([]), field("canary-second"));
    let error = world.refused(&at("Bot", "token")).await;
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert!(error.inside.contains("write the id"), "{error}");
    assert_eq!(world.value(&at(&second, "token")).await, "canary-second");
    world.stub.change(&first, |item| item["state"] = "ARCHIVED".into());
    assert_eq!(world.value(&at("Bot", "token")).await, "canary-second", "an archived one is out of the way");
    assert_eq!(world.kind(&at(&first, "token")).await, StoreErrorKind::NotFound, "and cannot be named");
}

#[tokio::test]
async fn fields_are_found_by_id_or_label_within_a_section_and_never_guessed() {
    let world = world().await;
    let sections =
        json!([{ "id": "s1", "label": "GitHub" }, { "id": "s2", "label": "GitLab" }, { "id": "s3" }]);
    let fields = json!([
        { "id": "f1", "label": "token", "section": { "id": "s1" }, "value": "canary-github" },
        { "id": "f2", "label": "token", "section": { "id": "s2" }, "value": "canary-gitlab" },
        { "id": "f3", "label": "only", "value": "canary-only" },
        { "id": "only-2", "label": "f3", "value": "canary-twin" },
        { "id": "f4", "type": "OTP", "label": "one-time password", "value": "otpauth://canary" },
        { "id": "f5", "label": "empty", "value": "" },
        { "id": "f6", "label": "unset" },
    ]);
    item(&world, "Bot", sections, fields);
    for (path, field, value) in [
        ("Bot/GitHub", "token", "canary-github"),
        ("Bot/s2", "token", "canary-gitlab"),
        ("Bot/GitHub", "f1", "canary-github"),
        ("Bot", "f2", "canary-gitlab"),
        ("Bot", "only", "canary-only"),
    ] {
        assert_eq!(world.value(&at(path, field)).await, value, "{path}#{field}");
    }
    for (path, field, expected) in [
        ("Bot", "token", StoreErrorKind::Malformed),
        ("Bot", "f3", StoreErrorKind::Malformed),
        ("Bot", "one-time password", StoreErrorKind::Malformed),
        ("Bot", "f4", StoreErrorKind::Malformed),
        ("Bot/GitHub", "only", StoreErrorKind::NotFound),
        ("Bot/Nowhere", "token", StoreErrorKind::NotFound),
        ("Bot", "Token", StoreErrorKind::NotFound),
        ("Bot", "empty", StoreErrorKind::Empty),
        ("Bot", "unset", StoreErrorKind::Empty),
    ] {
        assert_eq!(world.kind(&at(path, field)).await, expected, "{path}#{field}");
    }
}

#[tokio::test]
async fn the_version_is_the_items_and_tells_its_age() {
    let world = world().await;
    let wanted = world.there("bot", "canary-first").await;
    let found = world.store.fetch(&wanted).await.unwrap();
    assert_eq!(found.version.as_str(), "1");
    assert_eq!(found.created_at, Some(Timestamp::parse("2026-11-26T10:00:00Z").unwrap()));
    world.there("bot", "canary-second").await;
    assert_eq!(world.value(&pinned(&wanted, "2")).await, "canary-second");
    assert_eq!(world.kind(&pinned(&wanted, "1")).await, StoreErrorKind::NotFound);
    assert_eq!(world.kind(&staged(&wanted, "latest")).await, StoreErrorKind::Malformed);
}

#[tokio::test]
async fn an_item_of_another_vault_or_id_is_refused() {
    let world = world_in(OnePasswordStub::VAULT_ID).await;
    let id = item(&world, "Bot", json!([]), json!([{ "id": "token", "value": "canary-value" }]));
    let wanted = reference(&format!("{}/{id}", OnePasswordStub::VAULT_ID), Some("token"));
    assert_eq!(world.value(&wanted).await, "canary-value");
    let good = json!({ "id": id, "vault": { "id": OnePasswordStub::VAULT_ID }, "version": 1,
        "fields": [{ "id": "token", "value": "canary-value" }] });
    for (name, odd) in
        [("id", json!("other")), ("vault", json!({ "id": "other" })), ("version", json!("one"))]
    {
        let mut document = good.clone();
        document[name] = odd;
        let error = world.answered(&wanted, 200, "", &document.to_string()).await;
        assert_eq!(error.kind, StoreErrorKind::Malformed, "{name}");
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_without_a_request() {
    let world = world().await;
    for path in ["Other Vault/bot", "tool credentials/bot", "Tool Credentials", "Tool Credentials/", "/bot"] {
        assert_eq!(world.kind(&reference(path, Some("token"))).await, StoreErrorKind::Malformed, "{path}");
    }
    assert_eq!(world.kind(&at("a/b/c", "token")).await, StoreErrorKind::Malformed);
    assert_eq!(world.kind(&reference("Tool Credentials/bot", None)).await, StoreErrorKind::Malformed);
    assert_eq!(world.stub.gate().count(), 0);
    let world = world_in(OnePasswordStub::VAULT_ID).await;
    for title in ["a\" or title eq \"b", "a\\"] {
        let wanted = reference(&format!("{}/{title}", OnePasswordStub::VAULT_ID), Some("token"));
        assert_eq!(world.kind(&wanted).await, StoreErrorKind::Malformed, "{title}");
    }
    assert_eq!(world.stub.gate().count(), 0, "no filter is made of it");
}

#[tokio::test]
async fn a_probe_reads_no_item_and_judges_the_token() {
    let world = world().await;
    world.store.probe().await.unwrap();
    let asked = world.stub.gate().take_requests().concat();
    assert!(asked.starts_with("GET /v1/vaults HTTP"), "{asked}");
    world.stub.refuse_logins(true);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Denied);
    world.stub.gate().set(Mode::Shut);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}
