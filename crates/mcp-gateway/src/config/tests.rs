//! What is taken, what is refused, and how it is said.

mod arbitrary;
mod bad_config;
mod bad_manifests;

use std::path::{Path, PathBuf};

use gateway_adapters::state::StateConfig;
use gateway_adapters::store::StoreConfig;
use gateway_core::manifest::Kind;
use gateway_core::operator::Role;

use super::manifest::{Source, against_config, parse as parse_manifests};
use super::{LogFormat, load, parse};

const CONFIG: &str = include_str!("tests/gateway.yaml");
const MANIFESTS: &str = include_str!("tests/manifests.yaml");

#[test]
fn the_example_is_taken_and_its_paths_are_the_files_own() {
    let config = parse("gateway.yaml", CONFIG, Path::new("/etc/gateway")).unwrap();
    let at = |path: &str| PathBuf::from("/etc/gateway").join(path);
    assert_eq!(config.state, StateConfig::Sqlite { path: at("./data/state.db") });
    assert_eq!(config.audit.directory, at("./data/audit"));
    let sealed = config.stores.values().find_map(|store| match store {
        StoreConfig::Sealed(sealed) => Some(sealed.key_file.clone()),
        _ => None,
    });
    assert_eq!(sealed, Some(at("./data/sealed.key")));
    assert_eq!((config.limits.request_body_bytes, config.limits.drain_seconds), (1_048_576, 0));
    assert_eq!(config.limits.concurrent_requests, 20_000, "what is not written has its default");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.issuers.len(), 1);
    assert_eq!(config.operators.issuers.len(), 1);
    let login = config.login.unwrap();
    assert_eq!(login.key_file, at("./data/login.key"));
    assert_eq!(login.sessions.idle.as_secs(), 3_600);
    let clients = login.clients.unwrap().settings;
    assert_eq!((clients.metadata_domains.len(), clients.registration), (2, true));
    assert_eq!(clients.access_lifetime.as_secs(), 600, "what is not written has its default");
}

#[test]
fn signing_keys_are_beside_the_evidence_where_no_place_is_written() {
    let signing = |more: &str| {
        let text = format!("{CONFIG}{more}");
        parse("gateway.yaml", &text, Path::new("/etc/gateway")).unwrap().signing
    };
    let default = signing("");
    assert_eq!(default.key_file, PathBuf::from("/etc/gateway/./data/signing.json"));
    assert_eq!(default.rotate_after.as_secs(), 30 * 86_400);
    let written = signing("signing: { key_file: keys/signing.json, rotate_days: 7 }\n");
    assert_eq!(written.key_file, PathBuf::from("/etc/gateway/keys/signing.json"));
    assert_eq!(written.rotate_after.as_secs(), 7 * 86_400);
}

#[test]
fn the_examples_manifests_are_taken_and_fit_the_configuration() {
    let source = Source { name: "manifests.yaml".to_owned(), text: MANIFESTS.to_owned() };
    let manifests = parse_manifests(&[source]).unwrap();
    let kinds: Vec<_> = manifests.iter().map(|manifest| manifest.spec.key().kind).collect();
    assert_eq!(kinds, [Kind::Environment, Kind::Server, Kind::Agent, Kind::Binding, Kind::Policy]);
    let config = parse("gateway.yaml", CONFIG, Path::new("")).unwrap();
    assert_eq!(against_config(&manifests, &config.stores, None), []);
}

#[test]
fn roles_that_write_or_sign_paths_cannot_be_kept_from_seeing_them() {
    let masked = |roles: &str| {
        let text = CONFIG.replacen("operators:\n", &format!("operators:\n  masked_roles: [{roles}]\n"), 1);
        assert_ne!(text, CONFIG);
        parse("gateway.yaml", &text, Path::new("")).map(|config| config.operators.masked_roles)
    };
    assert_eq!(masked("viewer, auditor").unwrap(), [Role::Viewer, Role::Auditor].into());
    for refused in ["editor", "approver", "admin", "nobody"] {
        assert!(masked(refused).is_err(), "{refused}");
    }
}

#[test]
fn the_configurations_hash_is_that_of_its_bytes() {
    let hash = |text: &str| parse("gateway.yaml", text, Path::new("")).unwrap().content;
    assert_eq!(hash(CONFIG), hash(CONFIG));
    assert_ne!(hash(CONFIG), hash(&format!("{CONFIG}# changed\n")));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let missing = directory.path().join("gateway.yaml");
    let problems = load(&missing).unwrap_err().to_string();
    assert!(problems.starts_with(&format!("{} config.file cannot be read", missing.display())), "{problems}");
    let problems = Source::read_all(&[directory.path().to_owned()]).unwrap_err().to_string();
    assert!(problems.contains("no `.yaml` or `.yml` file"), "{problems}");
    std::fs::write(directory.path().join("b.yaml"), "x").unwrap();
    std::fs::write(directory.path().join("a.yml"), "y").unwrap();
    std::fs::write(directory.path().join("c.txt"), "z").unwrap();
    let sources = Source::read_all(&[directory.path().to_owned()]).unwrap();
    assert_eq!(sources.iter().map(|source| source.text.as_str()).collect::<Vec<_>>(), ["y", "x"]);
}
