//! KV mounts of a real OpenBao without versions, and of versions that nobody named.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use async_trait::async_trait;
use gateway_adapters::store::{
    AppRole, KvVersion, Mount, VaultLogin, VaultSettings, VaultStore, VaultWriter,
};
use gateway_core::ports::{SecretStore, SecretWriter as _, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_testkit::contract::store::{StoreWorld, battery};
use gateway_testkit::openbao::OpenBao;
use reqwest::Method;
use serde_json::{Value, json};

use crate::openbao::{open, pinned, reference, root, settings, text};

const POLICY: &str = r#"
path "legacy/*" { capabilities = ["read"] }
path "kv/data/*" { capabilities = ["read"] }
"#;

struct World {
    server: OpenBao,
    store: Arc<VaultStore>,
}

impl World {
    /// `legacy` is a mount of version 1, `kv` one of version 2, and `hidden` one that we may not see.
    async fn start(mounts: Vec<Mount>, kv: KvVersion) -> Self {
        let server = OpenBao::start().await;
        for mount in ["legacy", "hidden"] {
            let kind = json!({ "type": "kv", "options": { "version": "1" } });
            server.write(&format!("sys/mounts/{mount}"), &kind).await;
        }
        server.write("sys/policies/acl/reader", &json!({ "policy": POLICY })).await;
        let (role_id, secret_id) = server.approle("gateway", &json!({ "token_policies": "reader" })).await;
        let secret_id_file = server.private_file("secret-id", &secret_id);
        let login = VaultLogin::Approle(AppRole { mount: "approle".to_owned(), role_id, secret_id_file });
        let store = Arc::new(open(VaultSettings { mounts, kv, ..settings(&server, login) }));
        Self { server, store }
    }
}

#[async_trait]
impl StoreWorld for World {
    fn store(&self) -> &dyn SecretStore {
        self.store.as_ref()
    }

    async fn put(&self, name: &str, value: &[u8]) -> Option<ResolvedReference> {
        let value = std::str::from_utf8(value).ok()?;
        self.server.write(&format!("legacy/{name}"), &json!({ "other": "1", "token": value })).await;
        Some(reference(&format!("legacy/{name}")))
    }

    fn absent(&self) -> ResolvedReference {
        reference("legacy/absent")
    }

    fn keeps_versions(&self) -> bool {
        false
    }

    fn pins(&self) -> bool {
        false
    }

    async fn denied(&self) -> Option<ResolvedReference> {
        self.server.write("hidden/denied", &json!({ "token": "canary-denied" })).await;
        Some(reference("hidden/denied"))
    }

    async fn delete(&self, wanted: &ResolvedReference) -> bool {
        self.server.call(Method::DELETE, &wanted.path, &Value::Null).await.0 == 204
    }
}

fn mount(mount: &str, kv: Option<KvVersion>) -> Mount {
    Mount { mount: mount.to_owned(), kv }
}

#[tokio::test]
async fn a_mount_without_versions_keeps_the_contract() {
    battery(&World::start(Vec::new(), KvVersion::V1).await).await;
}

#[tokio::test]
async fn mounts_of_both_versions_stand_side_by_side_and_a_pin_on_the_first_is_refused_by_name() {
    let mounts = vec![mount("legacy", Some(KvVersion::V1)), mount("kv", None)];
    let world = World::start(mounts, KvVersion::V2).await;
    world.server.write("legacy/team/bot", &json!({ "token": "old" })).await;
    world.server.put("kv/team/bot", &json!({ "token": "new" })).await;
    assert_eq!(text(&world.store.fetch(&reference("legacy/team/bot")).await.unwrap()), "old");
    assert_eq!(text(&world.store.fetch(&reference("kv/team/bot")).await.unwrap()), "new");
    let error = world.store.fetch(&pinned("legacy/team/bot", 1)).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert!(error.inside.contains("`legacy` is KV version 1"), "{error}");
    assert_eq!(text(&world.store.fetch(&pinned("kv/team/bot", 1)).await.unwrap()), "new");
}

#[tokio::test]
async fn versions_are_detected_where_our_policy_lets_us_and_refused_by_name_where_not() {
    let world = World::start(Vec::new(), KvVersion::Detect).await;
    world.server.write("legacy/a", &json!({ "token": "old" })).await;
    world.server.put("kv/a", &json!({ "token": "new" })).await;
    for _ in 0..2 {
        assert_eq!(text(&world.store.fetch(&reference("legacy/a")).await.unwrap()), "old");
        assert_eq!(text(&world.store.fetch(&reference("kv/a")).await.unwrap()), "new");
    }
    for path in ["hidden/a", "no-such-mount/a"] {
        let error = world.store.fetch(&reference(path)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Denied);
        assert!(error.inside.contains("cannot be detected"), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_written_into_a_mount_without_versions() {
    let world = World::start(Vec::new(), KvVersion::V2).await;
    let settings = VaultSettings { kv: KvVersion::V1, ..settings(&world.server, root(&world.server)) };
    let writer = VaultWriter::new(open(settings), vec!["legacy/".to_owned()]);
    let value = Secret::copy_from(b"value-of-the-gateway");
    let refusal = writer.put("legacy/a", "token", value, Timestamp::from_seconds(0)).await.unwrap_err();
    assert_eq!(refusal.kind, StoreErrorKind::Denied);
    assert!(refusal.inside.contains("KV version 1"), "{refusal}");
    let (status, _) = world.server.call(Method::GET, "legacy/a", &Value::Null).await;
    assert_eq!(status, 404);
}
