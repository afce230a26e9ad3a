//! The `stores` section: every store by itself, so that one mistake does not hide another's.

use std::collections::BTreeMap;
use std::path::Path;

use gateway_adapters::store::StoreConfig;
use gateway_core::id::StoreName;

use super::issue::{Findings, IssueCode};
use super::nearest::nearest;
use super::yaml::{Entry, Node, Value, read};

const KINDS: [&str; 11] = [
    "aws_parameter_store",
    "aws_secrets_manager",
    "azure_key_vault",
    "env",
    "exec",
    "file",
    "google_secret_manager",
    "kubernetes_secrets",
    "onepassword_connect",
    "sealed",
    "vault",
];

/// Reads every store that can be read.
pub(super) fn read_stores(
    document: &Node,
    directory: &Path,
    findings: &mut Findings,
) -> BTreeMap<StoreName, StoreConfig> {
    let mut stores = BTreeMap::new();
    let Some(section) = document.get("stores") else { return stores };
    if !matches!(section.value, Value::Map(_)) {
        let message = format!("expected a mapping from names to stores, found {}", section.value.type_word());
        findings.add(section.place, IssueCode::WrongType, message);
    }
    for entry in section.entries() {
        let name = StoreName::parse(&entry.key);
        if name.is_err() {
            findings.add(entry.place, IssueCode::InvalidValue, "this is no name for a store").hint(
                "1 to 63 of a-z, 0-9 and `-`, starting with a letter and ending with a letter or digit",
            );
        }
        let config = read_store(entry, findings);
        if let (Ok(name), Some(mut config)) = (name, config) {
            judge(&config, &entry.value, findings);
            config.rebase(directory);
            stores.insert(name, config);
        }
    }
    stores
}

fn read_store(entry: &Entry, findings: &mut Findings) -> Option<StoreConfig> {
    let node = &entry.value;
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("expected a mapping, found {}", node.value.type_word());
        findings.add(node.place, IssueCode::WrongType, message);
        return None;
    }
    let Some(kind) = node.get("kind") else {
        findings.add(node.place, IssueCode::MissingField, "`kind` is missing").hint(nearest("", &KINDS));
        return None;
    };
    match kind.text() {
        Some("sealed") => read(node, &["kind"], findings).map(StoreConfig::Sealed),
        Some("vault") => read(node, &["kind"], findings).map(StoreConfig::Vault),
        Some("file") => read(node, &["kind"], findings).map(StoreConfig::File),
        Some("env") => read(node, &["kind"], findings).map(StoreConfig::Env),
        Some("exec") => read(node, &["kind"], findings).map(StoreConfig::Exec),
        Some("aws_secrets_manager") => read(node, &["kind"], findings).map(StoreConfig::AwsSecretsManager),
        Some("aws_parameter_store") => read(node, &["kind"], findings).map(StoreConfig::AwsParameterStore),
        Some("azure_key_vault") => read(node, &["kind"], findings).map(StoreConfig::AzureKeyVault),
        Some("google_secret_manager") => {
            read(node, &["kind"], findings).map(StoreConfig::GoogleSecretManager)
        }
        Some("kubernetes_secrets") => read(node, &["kind"], findings).map(StoreConfig::KubernetesSecrets),
        Some("onepassword_connect") => read(node, &["kind"], findings).map(StoreConfig::OnePasswordConnect),
        other => {
            let hint = nearest(other.unwrap_or_default(), &KINDS);
            findings.add(kind.place, IssueCode::UnknownKind, "no such kind of store").hint(hint);
            None
        }
    }
}

/// The store's own rules; each of its problems is `field: message`.
fn judge(config: &StoreConfig, node: &Node, findings: &mut Findings) {
    for problem in config.validate() {
        let (field, message) = problem.split_once(": ").unwrap_or(("", &problem));
        findings.add(node.place_of(field), IssueCode::InvalidValue, format!("`{field}`: {message}"));
    }
}
