//! Where a store is, whatever it is called: two entries of the configuration may name one and the same place.

use super::StoreConfig;

impl StoreConfig {
    /// Words for where it is. Two stores that share one are one place under two names: what a path means in one of
    /// them it means in the other. A host that has two names, and two roles of one AWS account, are not noticed.
    pub fn whereabouts(&self) -> Vec<String> {
        match self {
            Self::Sealed(config) => vec![format!("sealed {}", config.path.display())],
            Self::Vault(config) => {
                let namespace = config.namespace.as_deref().unwrap_or_default().trim_matches('/');
                let node = |address: &url::Url| {
                    format!("vault {} {namespace}", address.as_str().trim_end_matches('/'))
                };
                config.address.all().iter().map(node).collect()
            }
            Self::File(config) => {
                let base = config.base.as_ref().map(|base| base.display().to_string());
                vec![format!("file {}", base.unwrap_or_default())]
            }
            Self::Env(_) => vec!["env".to_owned()],
            Self::Exec(config) => vec![format!("exec {}", config.command.join("\0"))],
            // The login decides on the account: the same names in another account are other places.
            Self::AwsSecretsManager(config) => {
                vec![at_aws("secrets manager", &config.region, config.endpoint.as_ref(), &config.auth)]
            }
            Self::AwsParameterStore(config) => {
                vec![at_aws("parameter store", &config.region, config.endpoint.as_ref(), &config.auth)]
            }
            // Projects, vaults and namespaces are named by each reference.
            Self::GoogleSecretManager(config) => {
                let location = config.location.as_deref().unwrap_or_default();
                vec![format!("google {} {location}", told(config.endpoint.as_ref()))]
            }
            Self::AzureKeyVault(config) => vec![format!("azure {}", told(config.endpoint.as_ref()))],
            Self::KubernetesSecrets(config) => vec![format!("kubernetes {}", told(config.server.as_ref()))],
            Self::OnePasswordConnect(config) => vec![format!("onepassword {}", told(Some(&config.server)))],
        }
    }
}

fn at_aws(
    service: &str,
    region: &str,
    endpoint: Option<&url::Url>,
    login: &crate::store::aws::AwsLogin,
) -> String {
    let login = serde_json::to_string(login).unwrap_or_default();
    format!("aws {service} {region} {} {login}", told(endpoint))
}

fn told(address: Option<&url::Url>) -> &str {
    address.map_or("", |address| address.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(yaml: serde_json::Value) -> Vec<String> {
        serde_json::from_value::<StoreConfig>(yaml).unwrap().whereabouts()
    }

    fn vault(address: serde_json::Value, namespace: &str) -> Vec<String> {
        let auth = serde_json::json!({"token_file": "token"});
        store(serde_json::json!({"kind": "vault", "address": address, "auth": auth, "namespace": namespace,
            "environments": ["dev"]}))
    }

    #[test]
    fn one_place_under_two_names_shares_a_word_and_two_places_share_none() {
        let first = vault(serde_json::json!("https://vault.internal:8200"), "team");
        let same = vault(serde_json::json!(["https://VAULT.internal:8200/", "https://other:8200"]), "team/");
        assert!(same.contains(&first[0]), "{first:?} {same:?}");
        for other in [
            vault(serde_json::json!("https://vault.internal:8201"), "team"),
            vault(serde_json::json!("https://vault.internal:8200"), "another"),
            store(serde_json::json!({"kind": "sealed", "path": "a", "key_file": "k", "environments": []})),
        ] {
            assert!(!other.contains(&first[0]), "{other:?}");
        }
    }
}
