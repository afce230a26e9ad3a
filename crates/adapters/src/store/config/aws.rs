//! The stores at AWS.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::id::EnvironmentName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{PathConfig, Shared, default_cache_seconds, default_timeout_ms, has_userinfo};
use crate::https::is_loopback;
use crate::store::aws::{AwsLogin, AwsSettings, WebIdentity};

store_configs! {
    /// AWS Secrets Manager in one region of one account.
    AwsSecretsManagerConfig {
        /// The region.
        region: String,
        /// How the gateway logs in.
        auth: AwsLogin,
        /// Another address than the region's own.
        #[serde(default)]
        endpoint: Option<Url>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
    /// AWS Systems Manager Parameter Store in one region of one account.
    AwsParameterStoreConfig {
        /// The region.
        region: String,
        /// How the gateway logs in.
        auth: AwsLogin,
        /// Another address than the region's own.
        #[serde(default)]
        endpoint: Option<Url>,
        /// PEM file of the certificate authorities to trust; the system's where absent.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// The outbound proxy.
        #[serde(default)]
        proxy: Option<Url>,
    }
}

macro_rules! at_aws {
    ($($name:ident)+) => {$(
        impl $name {
            pub(super) fn validate(&self, problems: &mut Vec<String>) {
                validate(&self.settings(), problems);
            }

            pub(super) fn files(&mut self) -> Vec<&mut PathBuf> {
                self.ca_file.iter_mut().chain(self.auth.files_mut()).collect()
            }

            pub(super) fn settings(&self) -> AwsSettings {
                AwsSettings {
                    region: self.region.clone(),
                    login: self.auth.clone(),
                    endpoint: self.endpoint.clone(),
                    ca_file: self.ca_file.clone(),
                    proxy: self.proxy.clone(),
                    timeout: Duration::from_millis(self.timeout_ms),
                }
            }
        }
    )+};
}

at_aws! { AwsSecretsManagerConfig AwsParameterStoreConfig }

fn validate(settings: &AwsSettings, problems: &mut Vec<String>) {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if settings.region.is_empty() || !settings.region.bytes().all(plain) {
        problems.push("region: a name such as `eu-west-1`".to_owned());
    }
    judge_address("endpoint", settings.endpoint.as_ref(), problems);
    if settings.proxy.as_ref().is_some_and(has_userinfo) {
        problems.push("proxy: no user or password may stand in it".to_owned());
    }
    match &settings.login {
        AwsLogin::WebIdentity(login) => validate_web_identity(login, problems),
        AwsLogin::CredentialsFile(login) if login.profile.is_empty() => {
            problems.push("auth.credentials_file.profile: must not be empty".to_owned());
        }
        AwsLogin::Container(login) if !login.is_local() => {
            let rule =
                "https to a name, or an address on this machine or of the platform (`169.254.170.2`, …)";
            problems.push(format!("auth.container.endpoint: {rule}"));
        }
        AwsLogin::CredentialsFile(_) | AwsLogin::Container(_) => {}
    }
}

fn validate_web_identity(login: &WebIdentity, problems: &mut Vec<String>) {
    // arn:PARTITION:iam::ACCOUNT:role/NAME
    let parts: Vec<&str> = login.role_arn.splitn(6, ':').collect();
    let is_role = matches!(
        parts.as_slice(),
        ["arn", _, "iam", "", account, role]
            if account.len() == 12 && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
    );
    if !is_role || !login.role_arn.bytes().all(|byte| byte.is_ascii_graphic()) {
        problems.push("auth.web_identity.role_arn: write `arn:aws:iam::123456789012:role/NAME`".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    let name = &login.session_name;
    if !(2..=64).contains(&name.len()) || !name.bytes().all(plain) {
        problems.push("auth.web_identity.session_name: 2 to 64 letters, digits and `_+=,.@-`".to_owned());
    }
    judge_address("auth.web_identity.sts_endpoint", login.sts_endpoint.as_ref(), problems);
}

/// Whether the address of a service is one: https, and nothing but scheme, host and port.
pub(super) fn judge_address(field: &str, address: Option<&Url>, problems: &mut Vec<String>) {
    let Some(address) = address else { return };
    if address.scheme() != "https" && !(address.scheme() == "http" && is_loopback(address)) {
        problems.push(format!("{field}: must be https (plain http only to a loopback address)"));
    }
    let more = address.query().is_some() || address.fragment().is_some();
    if more || has_userinfo(address) || address.path() != "/" {
        problems.push(format!("{field}: scheme, host and port alone"));
    }
}
