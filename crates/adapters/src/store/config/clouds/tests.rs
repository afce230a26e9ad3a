use std::path::Path;
use std::sync::Arc;

use gateway_core::id::StoreName;
use gateway_core::stores::StoreClass;
use gateway_testkit::clock::ManualClock;
use serde_json::{Value, json};

use crate::store::StoreConfig;

fn with(mut document: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/cluster";

fn google(changes: Value) -> Value {
    let auth = json!({ "federation": { "audience": AUDIENCE, "token_file": "t" } });
    let document = json!({ "kind": "google_secret_manager", "projects": ["tools-prod"], "auth": auth,
        "environments": ["production"] });
    with(document, changes)
}

fn azure(changes: Value) -> Value {
    let id = "11111111-2222-3333-4444-555555555555";
    let auth = json!({ "federation": { "tenant_id": id, "client_id": id, "token_file": "t" } });
    let document = json!({ "kind": "azure_key_vault", "vaults": ["tools-prod"], "auth": auth,
        "environments": ["production"] });
    with(document, changes)
}

fn kubernetes(changes: Value) -> Value {
    with(
        json!({ "kind": "kubernetes_secrets", "namespaces": ["mcp"], "environments": ["production"] }),
        changes,
    )
}

fn onepassword(changes: Value) -> Value {
    let document = json!({ "kind": "onepassword_connect", "server": "https://connect.internal",
        "token_file": "t", "vaults": ["Tool Credentials"], "environments": ["production"] });
    with(document, changes)
}

fn parse(document: Value) -> Result<StoreConfig, String> {
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn problem(document: Value) -> String {
    let problems = parse(document.clone()).unwrap().validate();
    assert_eq!(problems.len(), 1, "{document}: {problems:?}");
    problems[0].clone()
}

#[test]
fn the_guides_examples_are_valid_and_build() {
    let name = StoreName::parse("cloud").unwrap();
    for document in [
        google(json!({})),
        google(json!({ "auth": { "metadata": {} }, "projects": ["123456789012", "example.com:tools"] })),
        google(
            json!({ "location": "europe-west3", "endpoint": "https://secretmanager-psc.p.googleapis.com" }),
        ),
        google(json!({ "auth": { "federation": { "audience": AUDIENCE, "token_file": "t",
            "service_account": "gateway@tools-prod.iam.gserviceaccount.com",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token" } } })),
        azure(json!({})),
        azure(json!({ "auth": { "managed_identity": {} }, "vaults": ["a-1", "tools-test"] })),
        azure(
            json!({ "endpoint": "https://tools-prod.vault.azure.cn", "resource": "https://vault.azure.cn" }),
        ),
        kubernetes(json!({ "server": "https://10.0.0.1:6443", "token_file": "t" })),
        kubernetes(
            json!({ "server": "https://10.0.0.1:6443", "types": ["Opaque", "kubernetes.io/basic-auth"] }),
        ),
        onepassword(json!({ "paths": [{ "prefix": "Tool Credentials/", "owners": ["support"] }] })),
        onepassword(json!({ "server": "http://127.0.0.1:8080", "vaults": ["vaultaaaaaaaaaaaaaaaaaaaa1"] })),
    ] {
        let config = parse(document.clone()).unwrap();
        assert_eq!(config.validate(), Vec::<String>::new(), "{document}");
        let entry = config.build(&name, Arc::new(ManualClock::default())).unwrap();
        assert_eq!(entry.class, StoreClass::External, "{document}");
        assert!(entry.writer.is_none() && entry.leasing.is_none());
    }
    assert_eq!(parse(kubernetes(json!({}))).unwrap().validate(), Vec::<String>::new());
}

#[test]
fn no_field_takes_a_secret() {
    for document in [
        google(json!({ "auth": { "service_account_key": { "private_key": "x" } } })),
        google(json!({ "auth": { "federation": { "audience": AUDIENCE, "token": "x" } } })),
        azure(json!({ "auth": { "client_secret": { "secret": "x" } } })),
        azure(json!({ "auth": { "managed_identity": { "secret": "x" } } })),
        kubernetes(json!({ "token": "x" })),
        onepassword(json!({ "token": "x" })),
    ] {
        let error = parse(document.clone()).unwrap_err();
        assert!(error.contains("unknown"), "{document}: {error}");
    }
}

#[test]
fn a_store_at_google_names_projects_and_its_own_addresses() {
    assert!(problem(google(json!({ "projects": [] }))).starts_with("projects:"));
    for project in ["", "Tools", "a/b", "tools prod", "-tools", "evil.example/x", "abc"] {
        assert!(
            problem(google(json!({ "projects": ["tools-prod", project] }))).starts_with("projects[1]:"),
            "{project}"
        );
    }
    for location in ["", "EU", "europe.evil.example", "eu/west"] {
        assert!(problem(google(json!({ "location": location }))).starts_with("location:"), "{location}");
    }
    for address in
        ["http://google.internal", "https://g.internal/path", "https://u:p@g.internal", "https://g/?q"]
    {
        let found = problem(google(json!({ "endpoint": address })));
        assert!(found.starts_with("endpoint:") && !found.contains("u:p"), "{address}: {found}");
        for field in ["sts_endpoint", "iam_endpoint"] {
            let auth = json!({ "federation": { "audience": AUDIENCE, "token_file": "t", field: address } });
            assert!(
                problem(google(json!({ "auth": auth }))).starts_with(&format!("auth.federation.{field}:"))
            );
        }
    }
    for (field, value) in [
        ("audience", "https://sts.evil.example"),
        ("audience", "//iam.googleapis.com/a b"),
        ("subject_token_type", "jwt"),
        ("service_account", "gateway"),
        ("service_account", "a@b:generateIdToken?x="),
    ] {
        let auth = json!({ "federation": with(json!({ "audience": AUDIENCE, "token_file": "t" }), json!({ field: value })) });
        let found = problem(google(json!({ "auth": auth })));
        assert!(found.starts_with(&format!("auth.federation.{field}:")), "{value}: {found}");
    }
    for endpoint in ["http://10.0.0.1", "https://169.254.169.254", "http://metadata.evil.example"] {
        let auth = json!({ "metadata": { "endpoint": endpoint } });
        assert!(
            problem(google(json!({ "auth": auth }))).starts_with("auth.metadata.endpoint:"),
            "{endpoint}"
        );
    }
    let auth = json!({ "metadata": { "account": "a/b" } });
    assert!(problem(google(json!({ "auth": auth }))).starts_with("auth.metadata.account:"));
    assert!(problem(google(json!({ "proxy": "http://u:p@proxy:3128" }))).starts_with("proxy:"));
}

#[test]
fn a_store_at_azure_names_vaults_and_its_own_addresses() {
    assert!(problem(azure(json!({ "vaults": [] }))).starts_with("vaults:"));
    for vault in
        ["", "ab", "Tools", "tools.evil.example", "a/b", "tools_prod", "a-name-of-more-than-24-chars"]
    {
        assert!(problem(azure(json!({ "vaults": [vault] }))).starts_with("vaults[0]:"), "{vault}");
    }
    let two = json!({ "vaults": ["tools-prod", "tools-test"], "endpoint": "https://a.vault.azure.cn" });
    assert!(problem(azure(two)).starts_with("endpoint:"));
    assert!(problem(azure(json!({ "endpoint": "http://vault.internal" }))).starts_with("endpoint:"));
    for resource in ["vault.azure.cn", "http://vault.azure.cn", "https://vault.azure.cn/"] {
        assert!(problem(azure(json!({ "resource": resource }))).starts_with("resource:"), "{resource}");
    }
    let login = json!({ "tenant_id": "t", "client_id": "c", "token_file": "f" });
    for (field, value) in [
        ("tenant_id", "../common"),
        ("tenant_id", ""),
        ("client_id", "a b"),
        ("authority", "http://login.internal"),
    ] {
        let auth = json!({ "federation": with(login.clone(), json!({ field: value })) });
        let found = problem(azure(json!({ "auth": auth })));
        assert!(found.starts_with(&format!("auth.federation.{field}:")), "{value}: {found}");
    }
    for (field, value) in
        [("client_id", "a&b"), ("endpoint", "http://10.0.0.1"), ("endpoint", "https://169.254.169.254")]
    {
        let auth = json!({ "managed_identity": { field: value } });
        let found = problem(azure(json!({ "auth": auth })));
        assert!(found.starts_with(&format!("auth.managed_identity.{field}:")), "{value}: {found}");
    }
}

#[test]
fn a_store_in_a_cluster_names_namespaces_and_types() {
    assert!(problem(kubernetes(json!({ "namespaces": [] }))).starts_with("namespaces:"));
    for namespace in ["", "*", "Mcp", "a/b", ".."] {
        assert!(
            problem(kubernetes(json!({ "namespaces": [namespace] }))).starts_with("namespaces[0]:"),
            "{namespace}"
        );
    }
    assert!(problem(kubernetes(json!({ "types": [] }))).starts_with("types:"));
    assert!(problem(kubernetes(json!({ "types": ["a b"] }))).starts_with("types[0]:"));
    assert!(problem(kubernetes(json!({ "server": "http://10.0.0.1:8080" }))).starts_with("server:"));
}

#[test]
fn a_store_at_connect_delegates_whole_vaults() {
    assert!(problem(onepassword(json!({ "vaults": [] }))).starts_with("vaults:"));
    for vault in ["", "a/b", "a\"b", "a\\b"] {
        assert!(problem(onepassword(json!({ "vaults": [vault] }))).starts_with("vaults[0]:"), "{vault}");
    }
    assert!(problem(onepassword(json!({ "server": "http://connect.internal" }))).starts_with("server:"));
    for prefix in ["Tool Credentials/Bot", "Tool Credentials", "Other/", "Tool Credentials/Bot/"] {
        let paths = json!([{ "prefix": prefix, "owners": ["support"] }]);
        assert!(problem(onepassword(json!({ "paths": paths }))).starts_with("paths[0].prefix:"), "{prefix}");
    }
}

#[test]
fn files_are_beside_the_configuration_or_where_a_pod_finds_them() {
    let moved = |document: Value| {
        let mut config = parse(document).unwrap();
        config.rebase(Path::new("/etc/gateway"));
        serde_json::to_value(&config).unwrap()
    };
    let shown = moved(google(json!({ "ca_file": "ca.pem" })));
    assert_eq!(shown["ca_file"], "/etc/gateway/ca.pem");
    assert_eq!(shown["auth"]["federation"]["token_file"], "/etc/gateway/t");
    assert_eq!(moved(azure(json!({})))["auth"]["federation"]["token_file"], "/etc/gateway/t");
    assert_eq!(moved(kubernetes(json!({ "token_file": "t" })))["token_file"], "/etc/gateway/t");
    assert_eq!(moved(onepassword(json!({})))["token_file"], "/etc/gateway/t");
    let StoreConfig::KubernetesSecrets(inside) = parse(kubernetes(json!({}))).unwrap() else { panic!() };
    let settings = inside.settings().unwrap();
    assert_eq!(settings.server.as_str(), "https://kubernetes.default.svc/");
    assert_eq!(settings.token_file, Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token"));
    let authorities = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
    assert_eq!(settings.reach.ca_file.as_deref(), Some(authorities));
    let outside = parse(kubernetes(json!({ "server": "https://10.0.0.1:6443" }))).unwrap();
    let StoreConfig::KubernetesSecrets(outside) = outside else { panic!() };
    assert_eq!(outside.settings().unwrap().reach.ca_file, None, "the system's");
}
