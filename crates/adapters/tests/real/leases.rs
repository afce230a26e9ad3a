//! Dynamic secrets: a real OpenBao makes roles in a real PostgreSQL, and takes them back.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null, it never panics")]

use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::signing::Signer;
use gateway_adapters::source::{SourceParts, Sources};
use gateway_adapters::store::{AppRole, KvVersion, VaultLogin, VaultSettings, VaultStore};
use gateway_core::account::Account;
use gateway_core::audit::{Decision, EventKind};
use gateway_core::ports::{CredentialIssuer, LeasingStore, StoreErrorKind, StoreLease};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_core::time::Clock;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use gateway_testkit::openbao::OpenBao;
use gateway_testkit::postgres::PostgresServer;
use gateway_testkit::store::MemoryStore;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};

use crate::fixture::{Chain, Counting, Use, actor, agent, binding, text};

/// What the gateway needs at the store, and no more.
const POLICY: &str = r#"
path "database/creds/*" { capabilities = ["read"] }
path "kv/data/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
"#;

struct Estate {
    bao: OpenBao,
    postgres: PostgresServer,
    store: Arc<VaultStore>,
    clock: Arc<ManualClock>,
}

impl Estate {
    async fn start() -> Self {
        let (postgres, bao) = (PostgresServer::start(), OpenBao::start().await);
        postgres.create_database("leases");
        bao.write("sys/mounts/database", &json!({ "type": "database" })).await;
        let url: reqwest::Url = postgres.literal_url("leases").parse().unwrap();
        let connection = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/leases?sslmode=disable", url.port().unwrap()),
            "username": url.username(), "password": url.password().unwrap(),
        });
        bao.write("database/config/notes", &connection).await;
        for role in ["planner", "writer"] {
            let create =
                r#"CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"#;
            let role = (
                format!("database/roles/{role}"),
                json!({
                "db_name": "notes", "creation_statements": [create], "default_ttl": "60s", "max_ttl": "90s" }),
            );
            bao.write(&role.0, &role.1).await;
        }
        bao.write("sys/policies/acl/leases", &json!({ "policy": POLICY })).await;
        let (role_id, secret_id) = bao.approle("gateway", &json!({ "token_policies": "leases" })).await;
        let login = VaultLogin::Approle(AppRole {
            mount: "approle".to_owned(),
            role_id,
            secret_id_file: bao.private_file("secret-id", &secret_id),
        });
        let settings = VaultSettings {
            addresses: vec![bao.address().parse().unwrap()],
            login,
            namespace: None,
            mounts: Vec::new(),
            kv: KvVersion::V2,
            ca_file: None,
            proxy: None,
            timeout: Duration::from_secs(10),
        };
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(VaultStore::new(settings, clock.clone()).unwrap());
        Self { bao, postgres, store, clock }
    }

    fn sources(&self, chain: &Arc<Chain>) -> Sources {
        let memory = MemoryStore::new();
        let entry = StoreEntry {
            store: memory.clone(),
            uncached: memory.clone(),
            cache: memory,
            leasing: Some(self.store.clone()),
            writer: None,
            class: StoreClass::External,
            environments: vec!["dev".parse().unwrap()],
            paths: Vec::new(),
        };
        let database = Arc::new(MemoryState::default());
        Sources::new(SourceParts {
            state: database.clone(),
            tickets: database,
            signer: Arc::new(Signer::ephemeral(self.clock.now()).unwrap()),
            public_url: "https://mcp.example".to_owned(),
            stores: Arc::new(Stores::new([("vault-prod".parse().unwrap(), entry)])),
            audit: chain.clone(),
            clock: self.clock.clone(),
            random: Arc::new(Counting::default()),
        })
    }

    async fn logs_in(&self, lease: &StoreLease) -> bool {
        self.opens(lease.account.as_deref().unwrap(), &text(&lease.material.secret)).await
    }

    async fn opens(&self, account: &str, password: &str) -> bool {
        let url: PgConnectOptions = self.postgres.url("leases").parse().unwrap();
        match PgConnection::connect_with(&url.username(account).password(password)).await {
            Ok(mut connection) => {
                let row = sqlx::query("SELECT current_user::text").fetch_one(&mut connection).await.unwrap();
                assert_eq!(row.get::<String, _>(0), account);
                true
            }
            Err(_) => false,
        }
    }

    /// The accounts that the store has made for this role.
    async fn accounts(&self, role: &str) -> Vec<String> {
        let mut connection = PgConnection::connect(&self.postgres.literal_url("leases")).await.unwrap();
        let found = sqlx::query("SELECT usename::text FROM pg_user WHERE usename LIKE 'v-%'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let names = found.iter().map(|row| row.get::<String, _>(0));
        names.filter(|name| name.contains(&format!("-{role}-"))).collect()
    }
}

fn place(path: &str, field: &str) -> ResolvedReference {
    let store = "vault-prod".parse().unwrap();
    ResolvedReference { store, path: path.to_owned(), field: Some(field.to_owned()), version: None }
}

#[tokio::test]
async fn a_leased_role_logs_in_until_it_is_taken_back() {
    let estate = Estate::start().await;
    let lease = estate.store.lease(&place("database/creds/planner", "password")).await.unwrap();
    assert!(estate.logs_in(&lease).await);
    assert!(lease.renewable && lease.id.starts_with("database/creds/planner/"), "{}", lease.id);
    assert_eq!(lease.duration, Duration::from_secs(60));
    assert_eq!(lease.material.expires_at, Some(estate.clock.now().plus(lease.duration)));
    assert!(lease.id.ends_with(lease.material.version.as_str()) && lease.material.store_request_id.is_some());
    let other = estate.store.lease(&place("database/creds/planner", "password")).await.unwrap();
    assert_ne!(other.account, lease.account, "every lease is an account of its own");
    estate.store.revoke(&lease.id).await.unwrap();
    assert!(!estate.logs_in(&lease).await);
    assert!(estate.logs_in(&other).await);
    estate.store.revoke(&lease.id).await.expect("what is gone is taken back");
    assert_eq!(
        estate.store.renew(&lease.id, Duration::from_secs(60)).await.unwrap_err().kind,
        StoreErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_renewal_grants_no_more_than_the_roles_maximum() {
    let estate = Estate::start().await;
    let lease = estate.store.lease(&place("database/creds/planner", "password")).await.unwrap();
    let granted = estate.store.renew(&lease.id, Duration::from_secs(60)).await.unwrap();
    assert!((55..=60).contains(&granted.as_secs()), "{granted:?}");
    let most = estate.store.renew(&lease.id, Duration::from_secs(3_600)).await.unwrap();
    assert!((60..=90).contains(&most.as_secs()), "{most:?}");
}

#[tokio::test]
async fn what_the_database_does_not_take_back_is_told() {
    let estate = Estate::start().await;
    let lease = estate.store.lease(&place("database/creds/planner", "password")).await.unwrap();
    estate.postgres.crash();
    let error = estate.store.revoke(&lease.id).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    estate.postgres.resume();
    estate.store.revoke(&lease.id).await.unwrap();
    assert!(!estate.logs_in(&lease).await);
}

#[tokio::test]
async fn refuses_what_is_no_lease() {
    let estate = Estate::start().await;
    estate.bao.put("kv/plain", &json!({ "password": "long-enough-to-be-one" })).await;
    let kind = async |place: &ResolvedReference| estate.store.lease(place).await.unwrap_err().kind;
    assert_eq!(kind(&place("kv/data/plain", "password")).await, StoreErrorKind::Malformed);
    assert_eq!(kind(&place("database/creds/nobody", "password")).await, StoreErrorKind::NotFound);
    assert_eq!(kind(&place("database/creds/planner", "token")).await, StoreErrorKind::NotFound);
    assert_eq!(kind(&place("database/config/notes", "password")).await, StoreErrorKind::Denied);
    let whole = ResolvedReference { field: None, ..place("database/creds/planner", "") };
    assert_eq!(kind(&whole).await, StoreErrorKind::Malformed);
    let version = Some(VersionSelector::Version("1".to_owned()));
    assert_eq!(
        kind(&ResolvedReference { version, ..place("database/creds/planner", "password") }).await,
        StoreErrorKind::Malformed
    );
}

#[tokio::test]
async fn the_account_comes_with_its_password_and_all_leases_go_back_at_the_stop() {
    let estate = Estate::start().await;
    let sources = estate.sources(&Arc::new(Chain::default()));
    let source = json!({"leased": {"role": "vault-prod://database/creds/planner#password"}});
    let binding =
        binding(source, 1, |binding| binding["inject"] = json!({"basic": {"username_from": "lease"}}));
    let used = Use::new(&binding, actor("planner"), agent("planner", json!([])));
    let version = sources.issue(&used.wish(estate.clock.now())).await.unwrap();
    let account = Account::part(&version.secret).unwrap();
    assert!(estate.opens(&account.name, &text(&account.secret)).await, "together they open the database");
    assert_eq!(estate.accounts("planner").await, [account.name.as_str()]);
    assert_eq!(sources.give_back().await, 1);
    assert_eq!(estate.accounts("planner").await, Vec::<String>::new(), "gone by the time of the answer");
    let refused = sources.issue(&used.wish(estate.clock.now())).await;
    assert!(refused.is_ok(), "a slot of its own for whoever still calls");
    assert_eq!(sources.give_back().await, 1);
}

#[tokio::test]
async fn each_agent_has_a_role_of_its_own_and_its_end_takes_it_back() {
    let estate = Estate::start().await;
    let chain = Arc::new(Chain::default());
    let sources = estate.sources(&chain);
    let source = json!({"leased": {"role": "vault-prod://database/creds/{agent.id}#password"}});
    let binding = binding(source, 1, |_| {});
    let used = |name: &str| Use::new(&binding, actor(name), agent(name, json!([])));
    let (planner, writer) = (used("planner"), used("writer"));
    let now = estate.clock.now();
    let issue = async |used: &Use| text(&sources.issue(&used.wish(now)).await.unwrap().secret);
    let passwords = (issue(&planner).await, issue(&writer).await);
    assert_eq!(issue(&planner).await, passwords.0, "one account for all its calls");
    let accounts = (estate.accounts("planner").await, estate.accounts("writer").await);
    assert_eq!((accounts.0.len(), accounts.1.len()), (1, 1));
    assert!(
        estate.opens(&accounts.0[0], &passwords.0).await && estate.opens(&accounts.1[0], &passwords.1).await
    );

    assert_eq!(sources.end_agent(&"planner".parse().unwrap()).await, 1);
    assert!(!estate.opens(&accounts.0[0], &passwords.0).await, "gone by the time of the answer");
    assert!(estate.opens(&accounts.1[0], &passwords.1).await);
    let last = chain.events().pop().unwrap();
    assert_eq!((last.kind, last.decision), (EventKind::CredentialReturned, Some(Decision::Allow)));

    assert_eq!(sources.end_binding(&"dev".parse().unwrap(), &"main".parse().unwrap()).await, 1);
    assert!(!estate.opens(&accounts.1[0], &passwords.1).await);
    assert_eq!(estate.accounts("writer").await, Vec::<String>::new());
}
