use gateway_core::reference::ResolvedReference;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use serde_json::{Value, json};

use super::*;

fn parse(document: Value) -> Result<StoreConfig, String> {
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn vault(changes: Value) -> Value {
    let document = json!({
        "kind": "vault",
        "address": "https://vault.internal:8200",
        "auth": { "approle": { "role_id": "r", "secret_id_file": "s" } },
        "environments": ["production"],
    });
    with(document, changes)
}

fn with(mut document: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn exec(changes: Value) -> Value {
    with(json!({ "kind": "exec", "command": ["/usr/bin/helper", "--mcp"], "environments": ["dev"] }), changes)
}

/// The identity that a platform gives, in one of the stores at AWS.
fn aws(kind: &str, changes: Value) -> Value {
    let role_arn = "arn:aws:iam::123456789012:role/mcp-gateway";
    let auth = json!({ "web_identity": { "role_arn": role_arn, "token_file": "t" } });
    let document =
        json!({ "kind": kind, "region": "eu-west-1", "auth": auth, "environments": ["production"] });
    with(document, changes)
}

const AT_AWS: [&str; 2] = ["aws_secrets_manager", "aws_parameter_store"];

fn problem(document: Value) -> String {
    let problems = parse(document).unwrap().validate();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn the_blueprints_examples_are_valid() {
    let sealed = json!({ "kind": "sealed", "path": "a", "key_file": "b", "environments": ["dev"] });
    for document in [
        sealed,
        vault(json!({})),
        vault(
            json!({ "address": ["https://a:8200", "https://b:8200"], "namespace": "team", "mounts": ["kv", "t/kv"] }),
        ),
        vault(json!({ "auth": { "token_file": "t" }, "address": "http://127.0.0.1:8200" })),
        vault(json!({ "auth": { "jwt": { "role": "r", "jwt_file": "f" } } })),
        vault(json!({ "auth": { "kubernetes": { "role": "r" } } })),
        vault(json!({ "auth": { "cert": { "certificate_file": "c", "key_file": "k" } } })),
        vault(json!({ "auth": { "signed_jwt": { "role": "r", "audience": "https://bao" } } })),
        vault(json!({ "auth": { "caller": { "role": "r", "audience": "https://bao" } } })),
        vault(json!({ "auth": { "wrapped_approle":
            { "role": "r", "role_id": "i", "wrapped_secret_id_file": "w" } } })),
        vault(json!({ "kv": "detect", "mounts": ["kv", { "mount": "old", "kv": 1 }, { "mount": "new" }] })),
        json!({ "kind": "file", "base": "/run/secrets", "environments": ["dev"],
            "paths": [{ "prefix": "teams/a/", "owners": ["a"] }] }),
        json!({ "kind": "env", "names": ["GITHUB_TOKEN"], "environments": ["dev"], "cache_seconds": 0 }),
        exec(json!({})),
        exec(json!({ "pass_environment": ["HOME"], "concurrency": 64 })),
        aws("aws_secrets_manager", json!({})),
        aws("aws_parameter_store", json!({ "endpoint": "https://vpce-1.ssm.eu-west-1.vpce.amazonaws.com" })),
        aws(
            "aws_secrets_manager",
            json!({ "auth": { "credentials_file": { "file": "c", "profile": "p" } } }),
        ),
    ] {
        assert_eq!(parse(document.clone()).unwrap().validate(), Vec::<String>::new(), "{document}");
    }
}

#[test]
fn no_field_takes_a_secret() {
    for document in [
        vault(json!({ "token": "s.abc" })),
        vault(json!({ "auth": { "token": "s.abc" } })),
        vault(json!({ "auth": { "approle": { "role_id": "r", "secret_id": "x" } } })),
        vault(json!({ "auth": { "jwt": { "role": "r", "jwt": "x" } } })),
        vault(json!({ "auth": { "caller": { "role": "r", "audience": "a", "jwt": "x" } } })),
        vault(json!({ "auth": { "wrapped_approle":
            { "role": "r", "role_id": "i", "wrapped_secret_id_file": "w", "token": "x" } } })),
        json!({ "kind": "sealed", "path": "a", "key": "x", "key_file": "b", "environments": ["dev"] }),
        json!({ "kind": "env", "names": [], "values": {}, "environments": ["dev"] }),
        exec(json!({ "environment": { "TOKEN": "x" } })),
        exec(json!({ "stdin": "x" })),
        aws("aws_secrets_manager", json!({ "secret_access_key": "x" })),
        aws("aws_parameter_store", json!({ "auth": { "access_key": { "id": "x", "secret": "y" } } })),
    ] {
        let error = parse(document.clone()).unwrap_err();
        assert!(error.contains("unknown"), "{document}: {error}");
    }
    assert!(problem(vault(json!({ "address": "https://u:p@vault:8200" }))).starts_with("address:"));
    assert!(problem(vault(json!({ "proxy": "http://u:p@proxy:3128" }))).starts_with("proxy:"));
}

#[test]
fn an_address_that_is_none_is_explained_and_not_repeated() {
    let error = parse(vault(json!({ "address": "vault-canary" }))).unwrap_err();
    assert!(error.contains("address") && !error.contains("canary"), "{error}");
    let error = parse(vault(json!({ "address": 8200 }))).unwrap_err();
    assert!(error.contains("such as `https://"), "{error}");
}

#[test]
fn every_problem_is_named() {
    assert!(problem(vault(json!({ "environments": [] }))).starts_with("environments:"));
    assert!(problem(vault(json!({ "address": "http://vault.internal:8200" }))).contains("https"));
    assert!(problem(vault(json!({ "address": [] }))).starts_with("address:"));
    assert!(problem(vault(json!({ "cache_seconds": 301 }))).starts_with("cache_seconds:"));
    assert!(problem(vault(json!({ "timeout_ms": 0 }))).starts_with("timeout_ms:"));
    assert!(problem(vault(json!({ "mounts": ["kv/"] }))).starts_with("mounts"));
    assert!(problem(vault(json!({ "mounts": [{ "mount": "/kv", "kv": 1 }] }))).starts_with("mounts"));
    for kv in [json!(3), json!("two"), json!(-1)] {
        assert!(parse(vault(json!({ "kv": kv }))).unwrap_err().contains("1, 2 or `detect`"), "{kv}");
    }
    let signed = |kind: &str, role: &str, audience: &str| {
        vault(json!({ "auth": { kind: { "role": role, "audience": audience } } }))
    };
    for kind in ["signed_jwt", "caller"] {
        assert!(problem(signed(kind, "", "a")).starts_with(&format!("auth.{kind}.role:")));
        assert!(problem(signed(kind, "r", "")).starts_with(&format!("auth.{kind}.audience:")));
    }
    let of_callers = json!({ "auth": { "caller": { "role": "r", "audience": "a" } }, "writable": ["kv/"] });
    assert!(problem(vault(of_callers)).starts_with("writable:"));
    let plain = json!({ "auth": { "cert": { "certificate_file": "c", "key_file": "k" } },
        "address": "http://127.0.0.1:8200" });
    assert!(problem(vault(plain)).starts_with("auth.cert:"));
    assert!(problem(vault(json!({ "namespace": "a b" }))).starts_with("namespace:"));
    for prefix in ["", "/", "kv//a/", "kv/../a/", "kv/*", "kv/{user.sub}/"] {
        assert!(problem(vault(json!({ "writable": [prefix] }))).starts_with("writable[0]:"), "{prefix}");
    }
    for prefix in ["", "/", "a//b", "../a", "a/*", "kv/{agent.id}/"] {
        let paths = json!([{ "prefix": prefix, "owners": ["a"] }]);
        assert!(problem(vault(json!({ "paths": paths }))).starts_with("paths[0].prefix:"), "{prefix}");
    }
    let paths = json!([{ "prefix": "kv/", "owners": [] }]);
    assert!(problem(vault(json!({ "paths": paths }))).starts_with("paths[0].owners:"));
    let env = json!({ "kind": "env", "names": ["A=B"], "environments": ["dev"] });
    assert!(problem(env).starts_with("names[0]:"));
}

#[test]
fn a_program_is_named_whole() {
    for command in [json!([]), json!(["helper"]), json!(["./helper"]), json!(["", "/usr/bin/helper"])] {
        assert!(problem(exec(json!({ "command": command }))).starts_with("command:"), "{command}");
    }
    assert!(problem(exec(json!({ "command": ["/a", "b\u{0}c"] }))).starts_with("command[1]:"));
    assert!(problem(exec(json!({ "pass_environment": ["A", "B=C"] }))).starts_with("pass_environment[1]:"));
    for concurrency in [0, 65] {
        assert!(problem(exec(json!({ "concurrency": concurrency }))).starts_with("concurrency:"));
    }
    assert!(parse(exec(json!({ "command": "/usr/bin/helper --mcp" }))).is_err(), "no shell splits words");
}

#[test]
fn a_store_at_aws_names_region_role_and_addresses() {
    for kind in AT_AWS {
        let problem = |changes: Value| problem(aws(kind, changes));
        for region in ["", "EU", "eu west", "eu-west-1.evil.example/"] {
            assert!(problem(json!({ "region": region })).starts_with("region:"), "{region}");
        }
        let identity = |name: &str, value: &str| {
            let role_arn = "arn:aws:iam::123456789012:role/a";
            let identity = json!({ "role_arn": role_arn, "token_file": "t" });
            json!({ "auth": { "web_identity": with(identity, json!({ name: value })) } })
        };
        for arn in ["", "mcp-gateway", "arn:aws:iam::1:role/a", "arn:aws:iam::123456789012:user/a"] {
            let found = problem(identity("role_arn", arn));
            assert!(found.starts_with("auth.web_identity.role_arn:"), "{arn}: {found}");
        }
        for name in ["", "a", "a b"] {
            let found = problem(identity("session_name", name));
            assert!(found.starts_with("auth.web_identity.session_name:"), "{name}: {found}");
        }
        for address in
            ["http://sts.internal", "https://sts.internal/path", "https://u:p@sts.internal", "https://s/?q"]
        {
            let found = problem(identity("sts_endpoint", address));
            assert!(found.starts_with("auth.web_identity.sts_endpoint:"), "{address}: {found}");
            let found = problem(json!({ "endpoint": address }));
            assert!(found.starts_with("endpoint:") && !found.contains("u:p"), "{address}: {found}");
        }
        for endpoint in
            ["http://169.254.169.254/", "http://10.0.0.1/", "https://10.0.0.1/", "ftp://127.0.0.1/"]
        {
            let found = problem(json!({ "auth": { "container": { "endpoint": endpoint } } }));
            assert!(found.starts_with("auth.container.endpoint:"), "{endpoint}: {found}");
        }
        let profile = json!({ "auth": { "credentials_file": { "file": "c", "profile": "" } } });
        assert!(problem(profile).starts_with("auth.credentials_file.profile:"));
        assert!(problem(json!({ "proxy": "http://u:p@proxy:3128" })).starts_with("proxy:"));
        let mut config = parse(aws(kind, json!({ "ca_file": "ca.pem" }))).unwrap();
        config.rebase(Path::new("/etc/gateway"));
        let shown = serde_json::to_value(&config).unwrap();
        assert_eq!(shown["ca_file"], "/etc/gateway/ca.pem");
        assert_eq!(shown["auth"]["web_identity"]["token_file"], "/etc/gateway/t");
    }
}

#[test]
fn stores_at_aws_are_the_enterprises_and_programs_are_local() {
    let name = StoreName::parse("one").unwrap();
    let build = |document: Value| parse(document).unwrap().build(&name, Arc::new(ManualClock::default()));
    for kind in AT_AWS {
        let entry = build(aws(kind, json!({}))).unwrap();
        assert_eq!(entry.class, StoreClass::External);
        assert!(entry.writer.is_none() && entry.leasing.is_none());
    }
    let entry = build(exec(json!({ "command": ["/bin/sh"] }))).unwrap();
    assert_eq!(entry.class, StoreClass::Local);
    let refused = build(exec(json!({ "command": ["/no/such/helper"] }))).unwrap_err();
    assert!(refused.to_string().starts_with("store `one`: `/no/such/helper`"), "{refused}");
}

#[test]
fn a_login_that_the_gateway_signs_needs_its_keys() {
    let name = StoreName::parse("bao").unwrap();
    for kind in ["signed_jwt", "caller"] {
        let config = parse(vault(json!({ "auth": { kind: { "role": "r", "audience": "a" } } }))).unwrap();
        assert!(config.is_signed());
        let refused = config.build(&name, Arc::new(ManualClock::default())).unwrap_err();
        assert!(refused.to_string().contains("signing keys"), "{refused}");
    }
    assert!(!parse(vault(json!({}))).unwrap().is_signed());
}

#[tokio::test]
async fn a_built_store_that_does_not_answer_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (program, runs) = (directory.path().join("helper"), directory.path().join("runs"));
    std::fs::write(&program, format!("#!/bin/sh\necho >> {}\nexit 1\n", runs.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let name = StoreName::parse("helper").unwrap();
    let document = exec(json!({ "command": [program], "timeout_ms": 30_000 }));
    let entry = parse(document).unwrap().build(&name, Arc::new(ManualClock::default())).unwrap();
    for number in 0..10 {
        let path = format!("secret-{number}");
        let wanted = ResolvedReference { store: name.clone(), path, field: None, version: None };
        let error = entry.store.fetch(&wanted).await.unwrap_err();
        assert_eq!(error.kind, gateway_core::ports::StoreErrorKind::Unavailable);
    }
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "\n".repeat(5), "five failures, and no more runs");
}

#[tokio::test]
async fn a_built_sealed_store_shows_its_own_writes_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let document = json!({ "kind": "sealed", "path": "s.db", "key_file": "s.key", "environments": ["dev"] });
    let mut config = parse(document).unwrap();
    config.rebase(directory.path());
    let name = StoreName::parse("local").unwrap();
    let entry = config.build(&name, Arc::new(ManualClock::default())).unwrap();
    assert_eq!(entry.class, StoreClass::Local);
    let writer = entry.writer.as_ref().unwrap();
    let field = Some("token".to_owned());
    let wanted = ResolvedReference { store: name, path: "a/b".to_owned(), field, version: None };
    for number in ["1", "2"] {
        let value = Secret::copy_from(b"value");
        writer.put("a/b", "token", value, Timestamp::from_seconds(0)).await.unwrap();
        assert_eq!(entry.store.fetch(&wanted).await.unwrap().version.as_str(), number);
    }
    assert_eq!(entry.cache.forget(&wanted), 1);
    assert_eq!(entry.uncached.fetch(&wanted).await.unwrap().version.as_str(), "2");
    assert_eq!(entry.cache.forget(&wanted), 0, "what is tried does not come into the cache");
}

#[test]
fn a_vault_takes_values_only_where_it_says_so() {
    let token = tempfile::NamedTempFile::new().unwrap();
    let build = |writable: Value| {
        let auth = json!({ "token_file": token.path() });
        let document = vault(json!({ "auth": auth, "writable": writable }));
        let name = StoreName::parse("vault-prod").unwrap();
        parse(document).unwrap().build(&name, Arc::new(ManualClock::default())).unwrap()
    };
    assert!(build(json!([])).writer.is_none(), "read-only by default");
    let writer = build(json!(["kv/grants/"])).writer.unwrap();
    assert!(writer.takes("kv/grants/a") && !writer.takes("kv/a"));
}

#[tokio::test]
async fn a_built_store_is_cut_off_at_its_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "a-token").unwrap();
    let auth = json!({ "token_file": token.path() });
    let document = vault(json!({ "address": address, "auth": auth, "timeout_ms": 100 }));
    let name = StoreName::parse("vault-prod").unwrap();
    let entry = parse(document).unwrap().build(&name, Arc::new(ManualClock::default())).unwrap();
    assert_eq!(entry.class, StoreClass::External);
    let field = Some("token".to_owned());
    let wanted = ResolvedReference { store: name, path: "kv/a".to_owned(), field, version: None };
    let error = entry.store.fetch(&wanted).await.unwrap_err();
    assert_eq!(error.kind, gateway_core::ports::StoreErrorKind::Timeout);
}
