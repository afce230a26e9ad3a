//! The stores of Google and Azure, in Kubernetes, and at a 1Password Connect server.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::id::EnvironmentName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::aws::judge_address;
use super::{PathConfig, Shared, default_cache_seconds, default_timeout_ms, has_userinfo};
use crate::store::azure::{AzureLogin, AzureSettings};
use crate::store::cloud::Reach;
use crate::store::google::{GoogleLogin, GoogleSettings};
use crate::store::kubernetes::KubernetesSettings;
use crate::store::onepassword::OnePasswordSettings;

/// Where a pod finds the API server, its authorities and its own token.
const IN_CLUSTER: &str = "https://kubernetes.default.svc/";
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

store_configs! {
    /// Google Secret Manager in some projects.
    GoogleSecretManagerConfig {
        /// The projects that references may name, each as they name it.
        projects: Vec<String>,
        /// The location of regional secrets; global ones where absent.
        #[serde(default)]
        location: Option<String>,
        /// How the gateway logs in.
        auth: GoogleLogin,
        /// Another address than Google's own.
        #[serde(default)]
        endpoint: Option<Url>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
    /// Azure Key Vault: some vaults.
    AzureKeyVaultConfig {
        /// The vaults that references may name.
        vaults: Vec<String>,
        /// How the gateway logs in.
        auth: AzureLogin,
        /// Another address than the vault's own in the public cloud: for one vault.
        #[serde(default)]
        endpoint: Option<Url>,
        /// Whom the token is for. Default `https://vault.azure.net`.
        #[serde(default)]
        resource: Option<String>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
    /// Secrets of a Kubernetes cluster.
    KubernetesSecretsConfig {
        /// The namespaces that references may name.
        namespaces: Vec<String>,
        /// The API server. Where absent, that of the cluster that the gateway runs in.
        #[serde(default)]
        server: Option<Url>,
        /// The file of the service account's token. Default where a pod finds its own.
        #[serde(default)]
        token_file: Option<PathBuf>,
        /// PEM file of the certificate authorities to trust. Where absent, those a pod finds; with a
        /// `server`, the system's.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The types of secret that may be read. Default `Opaque` alone.
        #[serde(default = "KubernetesSecretsConfig::default_types")]
        types: Vec<String>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
    /// A 1Password Connect server.
    OnePasswordConnectConfig {
        /// The Connect server.
        server: Url,
        /// The file of the access token, which is long-lived.
        token_file: PathBuf,
        /// The vaults that references may name, each as they name it.
        vaults: Vec<String>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
}

macro_rules! reached {
    ($($name:ident)+) => {$(
        impl $name {
            fn reach(&self) -> Reach {
                Reach {
                    ca_file: self.ca_file.clone(),
                    proxy: self.proxy.clone(),
                    timeout: Duration::from_millis(self.timeout_ms),
                }
            }

            fn judge_proxy(&self, problems: &mut Vec<String>) {
                if self.proxy.as_ref().is_some_and(has_userinfo) {
                    problems.push("proxy: no user or password may stand in it".to_owned());
                }
            }
        }
    )+};
}

reached! { GoogleSecretManagerConfig AzureKeyVaultConfig KubernetesSecretsConfig OnePasswordConnectConfig }

/// At least one name, each of them plain; `what` says what they are.
fn judge_names(
    field: &str,
    names: &[String],
    what: &str,
    plain: impl Fn(&str) -> bool,
    problems: &mut Vec<String>,
) {
    if names.is_empty() {
        problems.push(format!("{field}: name at least one"));
    }
    if let Some(index) = names.iter().position(|name| !plain(name)) {
        problems.push(format!("{field}[{index}]: {what}"));
    }
}

/// Lower case letters, digits and `-`, from one length to another.
fn is_label(name: &str, shortest: usize, longest: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (shortest..=longest).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl GoogleSecretManagerConfig {
    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let project = |name: &str| {
            // A domain may stand in front of the id; the number is a name too.
            let id = name.split_once(':').map_or(name, |(_, id)| id);
            let domain = name
                .split_once(':')
                .is_none_or(|(domain, _)| domain.split('.').all(|part| is_label(part, 1, 63)));
            domain && is_label(id, 4, 30)
        };
        judge_names("projects", &self.projects, "the id or number of a project", project, problems);
        if self.location.as_deref().is_some_and(|name| !is_label(name, 3, 40)) {
            problems.push("location: a name such as `europe-west3`".to_owned());
        }
        judge_address("endpoint", self.endpoint.as_ref(), problems);
        self.judge_proxy(problems);
        match &self.auth {
            GoogleLogin::Metadata(login) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.@".contains(&byte);
                if login.account.is_empty() || !login.account.bytes().all(plain) {
                    problems
                        .push("auth.metadata.account: `default`, or a service account's address".to_owned());
                }
                if !login.is_local() {
                    problems
                        .push("auth.metadata.endpoint: http to the metadata server's own address".to_owned());
                }
            }
            GoogleLogin::Federation(login) => {
                let graphic =
                    |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
                if !graphic(&login.audience) || !login.audience.starts_with("//iam.") {
                    let rule = "write `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`";
                    problems.push(format!("auth.federation.audience: {rule}"));
                }
                if !graphic(&login.subject_token_type) || !login.subject_token_type.starts_with("urn:") {
                    problems.push("auth.federation.subject_token_type: a URN of RFC 8693".to_owned());
                }
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.@".contains(&byte);
                let account = |name: &str| name.matches('@').count() == 1 && name.bytes().all(plain);
                if login.service_account.as_deref().is_some_and(|name| !account(name)) {
                    problems.push("auth.federation.service_account: its address".to_owned());
                }
                judge_address("auth.federation.sts_endpoint", login.sts_endpoint.as_ref(), problems);
                judge_address("auth.federation.iam_endpoint", login.iam_endpoint.as_ref(), problems);
            }
        }
    }

    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        self.ca_file.iter_mut().chain(self.auth.files_mut()).collect()
    }

    pub(super) fn settings(&self) -> GoogleSettings {
        GoogleSettings {
            projects: self.projects.clone(),
            location: self.location.clone(),
            login: self.auth.clone(),
            endpoint: self.endpoint.clone(),
            reach: self.reach(),
        }
    }
}

impl AzureKeyVaultConfig {
    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let rule = "3 to 24 lower case letters, digits and `-`";
        judge_names("vaults", &self.vaults, rule, |name| is_label(name, 3, 24), problems);
        judge_address("endpoint", self.endpoint.as_ref(), problems);
        if self.endpoint.is_some() && self.vaults.len() > 1 {
            problems.push("endpoint: it is the address of one vault, and `vaults` names several".to_owned());
        }
        let resource = |text: &str| {
            text.starts_with("https://")
                && !text.ends_with('/')
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.resource.as_deref().is_some_and(|text| !resource(text)) {
            problems.push(
                "resource: an address such as `https://vault.azure.cn`, without `/` at its end".to_owned(),
            );
        }
        self.judge_proxy(problems);
        let id = |text: &str| is_label(&text.to_ascii_lowercase(), 1, 64);
        match &self.auth {
            AzureLogin::ManagedIdentity(login) => {
                if login.client_id.as_deref().is_some_and(|text| !id(text)) {
                    problems.push("auth.managed_identity.client_id: the id of an identity".to_owned());
                }
                if !login.is_local() {
                    problems.push(
                        "auth.managed_identity.endpoint: http to the metadata service's own address"
                            .to_owned(),
                    );
                }
            }
            AzureLogin::Federation(login) => {
                if !id(&login.tenant_id) {
                    problems.push("auth.federation.tenant_id: the id of a tenant".to_owned());
                }
                if !id(&login.client_id) {
                    problems
                        .push("auth.federation.client_id: the id of an application or identity".to_owned());
                }
                judge_address("auth.federation.authority", login.authority.as_ref(), problems);
            }
        }
    }

    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        self.ca_file.iter_mut().chain(self.auth.files_mut()).collect()
    }

    pub(super) fn settings(&self) -> AzureSettings {
        AzureSettings {
            vaults: self.vaults.clone(),
            login: self.auth.clone(),
            endpoint: self.endpoint.clone(),
            resource: self.resource.clone(),
            reach: self.reach(),
        }
    }
}

impl KubernetesSecretsConfig {
    fn default_types() -> Vec<String> {
        vec!["Opaque".to_owned()]
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let rule = "up to 63 lower case letters, digits and `-`";
        judge_names("namespaces", &self.namespaces, rule, |name| is_label(name, 1, 63), problems);
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        judge_names("types", &self.types, "the type of a secret, such as `Opaque`", plain, problems);
        judge_address("server", self.server.as_ref(), problems);
        self.judge_proxy(problems);
    }

    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        self.ca_file.iter_mut().chain(&mut self.token_file).collect()
    }

    pub(super) fn settings(&self) -> Result<KubernetesSettings, url::ParseError> {
        let mut reach = self.reach();
        let mounted = |name: &str| PathBuf::from(MOUNTED).join(name);
        if self.server.is_none() {
            reach.ca_file.get_or_insert_with(|| mounted("ca.crt"));
        }
        Ok(KubernetesSettings {
            server: self.server.clone().map_or_else(|| Url::parse(IN_CLUSTER), Ok)?,
            token_file: self.token_file.clone().unwrap_or_else(|| mounted("token")),
            namespaces: self.namespaces.clone(),
            types: self.types.clone(),
            reach,
        })
    }
}

impl OnePasswordConnectConfig {
    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let plain = |name: &str| !name.is_empty() && !name.contains(['/', '"', '\\']);
        let rule = "a name without `/`, `\"` and `\\`, or an id";
        judge_names("vaults", &self.vaults, rule, plain, problems);
        judge_address("server", Some(&self.server), problems);
        self.judge_proxy(problems);
        // An item has an id and a title: one of them would pass by what was delegated under the other.
        let whole = |path: &PathConfig| {
            let prefix = path.prefix.trim_start_matches('/');
            self.vaults.iter().any(|vault| prefix.strip_suffix('/') == Some(vault))
        };
        if let Some(index) = self.paths.iter().position(|path| !whole(path)) {
            problems.push(format!("paths[{index}].prefix: a whole vault, `VAULT/`, as `vaults` names it"));
        }
    }

    pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
        self.ca_file.iter_mut().chain([&mut self.token_file]).collect()
    }

    pub(super) fn settings(&self) -> OnePasswordSettings {
        OnePasswordSettings {
            server: self.server.clone(),
            token_file: self.token_file.clone(),
            vaults: self.vaults.clone(),
            reach: self.reach(),
        }
    }
}

#[cfg(test)]
mod tests;
