//! On a stub: no real cluster was available (`gateway_testkit::stubs`).

use std::time::Duration;

use gateway_testkit::contract::store::battery;
use gateway_testkit::gate::Mode;
use gateway_testkit::stubs::{CloudStub, KubernetesStub};

use super::*;
use crate::store::cloud::tests::world::{World, pinned, reach, real_clock, reference, staged};

async fn world() -> World<KubernetesStub> {
    let (stub, clock) = (KubernetesStub::start().await, real_clock());
    let settings = KubernetesSettings {
        server: stub.gate().address().parse().unwrap(),
        token_file: stub.token_file(),
        namespaces: vec![KubernetesStub::NAMESPACE.to_owned()],
        types: vec!["Opaque".to_owned()],
        reach: reach(),
    };
    let store = Arc::new(KubernetesSecrets::new(settings, clock.clone()).unwrap());
    World { stub, store, clock, root: KubernetesStub::NAMESPACE, keeps_versions: false }
}

#[tokio::test]
async fn kubernetes_secrets_keep_the_contract_on_a_stub() {
    battery(&world().await).await;
}

#[tokio::test]
async fn kubernetes_misbehaving_is_a_refusal() {
    world().await.survives_misbehaviour().await;
}

#[tokio::test]
async fn a_thousand_callers_make_one_request_to_kubernetes() {
    world().await.shares_what_it_fetches(1, 0).await;
}

#[tokio::test]
async fn a_replaced_token_is_read_within_a_minute_and_at_once_when_the_old_one_is_refused() {
    let world = world().await;
    let wanted = world.there("bot", "canary-value").await;
    world.value(&wanted).await;
    let first = std::fs::read_to_string(world.stub.token_file()).unwrap();
    world.stub.end_sessions();
    let second = std::fs::read_to_string(world.stub.token_file()).unwrap();
    assert_ne!(first, second);
    assert_eq!(world.value(&wanted).await, "canary-value");
    let [refused, old, new] = &world.stub.gate().take_requests()[..] else { panic!("three requests") };
    assert!(refused.contains(&first) && old.contains(&first) && new.contains(&second));
    std::fs::write(world.stub.token_file(), "canary.unknown").unwrap();
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.value(&wanted).await, "canary-value");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Denied, "the file says who we are now");
    std::fs::remove_file(world.stub.token_file()).unwrap();
    let before = world.stub.gate().count();
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Denied);
    assert_eq!(world.stub.gate().count(), before, "no token, no request");
}

#[tokio::test]
async fn only_the_types_that_are_named_are_read() {
    let world = world().await;
    let wanted = world.there("bot", "canary-value").await;
    for kind in ["kubernetes.io/service-account-token", "kubernetes.io/tls", "opaque"] {
        world.stub.change(&wanted.path, |secret| {
            secret.insert("type".to_owned(), kind.into());
        });
        assert_eq!(world.kind(&wanted).await, StoreErrorKind::Malformed, "{kind}");
    }
}

#[tokio::test]
async fn a_secret_that_is_being_deleted_or_is_another_one_is_refused() {
    let world = world().await;
    let wanted = world.there("bot", "canary-value").await;
    let at = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), value.to_owned());
        move |secret: &mut serde_json::Map<String, serde_json::Value>| {
            secret.get_mut("metadata").unwrap()[name] = value.into();
        }
    };
    world.stub.change(&wanted.path, at("deletionTimestamp", "2026-11-26T10:00:00Z"));
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::NotFound);
    for (name, odd) in [("name", "other"), ("namespace", "kube-system"), ("resourceVersion", "")] {
        world.there("bot", "canary-value").await;
        world.value(&wanted).await;
        world.stub.change(&wanted.path, at(name, odd));
        assert_eq!(world.kind(&wanted).await, StoreErrorKind::Malformed, "{name}");
    }
    world.there("bot", "canary-value").await;
    world.stub.change(&wanted.path, |secret| {
        secret.remove("data");
    });
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::NotFound, "no data at all");
    world.there("bot", "canary-value").await;
    world.stub.change(&wanted.path, |secret| secret.get_mut("data").unwrap()["token"] = "canary!".into());
    assert_eq!(world.kind(&wanted).await, StoreErrorKind::Malformed, "no base64");
}

#[tokio::test]
async fn the_age_is_told_where_the_object_is_its_only_version() {
    let world = world().await;
    let wanted = world.there("bot", "canary-value").await;
    let found = world.store.fetch(&wanted).await.unwrap();
    assert_eq!(found.created_at, None);
    assert_eq!(found.store_request_id.as_ref().unwrap().as_str(), "audit-7");
    world.stub.change(&wanted.path, |secret| {
        secret.insert("immutable".to_owned(), true.into());
    });
    let changed = world.store.fetch(&wanted).await.unwrap();
    assert_eq!(changed.created_at, Some(Timestamp::parse("2026-11-26T09:00:00Z").unwrap()));
    assert_ne!(changed.version, found.version, "any change is another version");
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_without_a_request() {
    let world = world().await;
    for path in ["bot", "kube-system/bot", "mcp/a/b", "mcp/Bot", "mcp/..", "mcp/a_b", "mcp/"] {
        assert_eq!(world.kind(&reference(path, Some("token"))).await, StoreErrorKind::Malformed, "{path}");
    }
    assert_eq!(world.kind(&reference("mcp/bot", None)).await, StoreErrorKind::Malformed, "no key");
    assert_eq!(world.stub.gate().count(), 0);
    let wanted = world.there("bot", "canary-value").await;
    assert_eq!(world.kind(&staged(&wanted, "latest")).await, StoreErrorKind::Malformed);
    assert_eq!(world.kind(&pinned(&wanted, "1")).await, StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_probe_reads_no_value_and_judges_the_login_alone() {
    let world = world().await;
    world.store.probe().await.unwrap();
    let asked = world.stub.gate().take_requests().concat();
    assert!(asked.starts_with("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP"), "{asked}");
    world.stub.refuse_logins(true);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Denied);
    world.stub.gate().set(Mode::Shut);
    assert_eq!(world.store.probe().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}
