//! AWS Systems Manager Parameter Store: `SecureString` parameters.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::{ResolvedReference, VersionSelector};
use gateway_core::time::Clock;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{AwsSettings, Client, Service, is_pinned, time_of};
use crate::https::OutboundBuildError;
use crate::store::json_text::{secret_member, secret_value};

const SERVICE: Service = Service { name: "ssm", target: "AmazonSSM" };

/// Parameters of AWS Systems Manager in one region of one account. A field selects a key of a JSON object.
#[derive(Debug)]
pub struct ParameterStore(Client);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetParameter {
    name: String,
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found<'a> {
    #[serde(borrow)]
    parameter: Parameter<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter<'a> {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(borrow)]
    value: &'a RawValue,
    version: u64,
    #[serde(default)]
    last_modified_date: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeParameters {
    max_results: u8,
}

impl ParameterStore {
    /// Makes the store. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The certificate authorities or the addresses cannot be used.
    pub fn new(settings: AwsSettings, clock: Arc<dyn Clock>) -> Result<Self, OutboundBuildError> {
        Client::new(SERVICE, settings, clock).map(Self)
    }
}

fn malformed(inside: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Malformed, inside)
}

/// The parameter's full name, and behind a colon the version or label.
fn selector(wanted: &ResolvedReference) -> Result<String, StoreError> {
    let path = wanted.path.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    if path.len() > 1011 || !path.bytes().all(plain) {
        return Err(malformed("a parameter's name has letters, digits and `/_.-`; an ARN is none"));
    }
    // Under it are AWS's own parameters, and a door to Secrets Manager past that store's rules.
    let bare = path.trim_start_matches('/').to_ascii_lowercase();
    if bare == "aws" || bare.starts_with("aws/") {
        return Err(malformed("names under `/aws` are not served"));
    }
    // Names of more than one part begin with a slash, which references need not repeat.
    let slash = if path.contains('/') && !path.starts_with('/') { "/" } else { "" };
    match &wanted.version {
        None => Ok(format!("{slash}{path}")),
        Some(VersionSelector::Version(version)) => match version.parse::<u64>() {
            Ok(number) if number > 0 && number.to_string() == *version => {
                Ok(format!("{slash}{path}:{version}"))
            }
            _ => Err(malformed("the version must be a number from 1")),
        },
        Some(VersionSelector::Stage(label)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            // One that is a number would be taken for a version.
            if !label.bytes().all(plain) || label.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
                return Err(malformed(
                    "a label has letters, digits and `_.-`, and begins with none of the digits",
                ));
            }
            Ok(format!("{slash}{path}:{label}"))
        }
    }
}

#[async_trait]
impl SecretStore for ParameterStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let request = GetParameter { name: selector(reference)?, with_decryption: true };
        let answer = self.0.call("GetParameter", &request).await?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        let Found { parameter } = answer.json()?;
        if parameter.kind != "SecureString" {
            return Err(malformed("the parameter is kept in plain text: only `SecureString` is served"));
        }
        let version = parameter.version.to_string();
        is_pinned(reference.version.as_ref(), &version)?;
        let secret = match &reference.field {
            None => secret_value(parameter.value, "Value")?,
            Some(field) => secret_member(parameter.value, "Value", field)?,
        };
        Ok(Arc::new(SecretVersion {
            secret,
            version: VersionId::new(&version),
            created_at: time_of(parameter.last_modified_date),
            expires_at: None,
            store_request_id: answer.request_id(),
        }))
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.0.probe("DescribeParameters", &DescribeParameters { max_results: 1 }).await
    }
}
