//! AWS Secrets Manager and Systems Manager Parameter Store, over their JSON protocols.
//!
//! Requests are signed (Signature Version 4) with the credentials of a session that the gateway gets for
//! an identity of its platform, or with a key from a file. A request that is refused because the session
//! has ended is sent once more with another one.

mod answer;
mod container;
mod credentials;
mod parameter_store;
mod secrets_manager;
mod session;
mod sign;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::reference::VersionSelector;
use gateway_core::time::{Clock, Timestamp};
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use url::Url;

use self::answer::Answer;
pub use self::container::Container;
use self::credentials::Credentials;
pub use self::parameter_store::ParameterStore;
pub use self::secrets_manager::SecretsManager;
use self::session::Door;
pub use self::session::{AwsLogin, CredentialsFile, WebIdentity};
use self::sign::Scope;
use super::session::Sessions;
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// A whole secret is at most 64 KiB; binary ones come as base64.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// What a store at AWS is made of.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region, such as `eu-west-1`.
    pub region: String,
    /// How the gateway logs in.
    pub login: AwsLogin,
    /// Another address than the region's own: of a VPC endpoint.
    pub endpoint: Option<Url>,
    /// PEM file of the certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The outbound proxy.
    pub proxy: Option<Url>,
    /// The time for one request.
    pub timeout: Duration,
}

/// A service, as it is addressed and signed for.
#[derive(Clone, Copy, Debug)]
struct Service {
    /// In the address and in signatures.
    name: &'static str,
    /// In front of the action.
    target: &'static str,
}

/// Speaks to one service in one region.
struct Client {
    client: OutboundClient,
    service: Service,
    region: String,
    endpoint: Url,
    sessions: Sessions<Credentials>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).field("sessions", &self.sessions).finish()
    }
}

impl Client {
    fn new(
        service: Service,
        settings: AwsSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OutboundBuildError> {
        let outbound = OutboundConfig {
            ca_file: settings.ca_file,
            proxy: settings.proxy,
            timeout: settings.timeout,
            connect_timeout: settings.timeout,
            max_body: LARGEST_ANSWER,
            ..OutboundConfig::default()
        };
        let own = |service: &str| {
            address(service, &settings.region)
                .ok_or_else(|| OutboundBuildError::Client("the region makes no address".to_owned()))
        };
        let sts = match &settings.login {
            AwsLogin::WebIdentity(WebIdentity { sts_endpoint: Some(sts), .. }) => sts.clone(),
            AwsLogin::WebIdentity(_) | AwsLogin::CredentialsFile(_) | AwsLogin::Container(_) => own("sts")?,
        };
        let endpoint = settings.endpoint.clone().map_or_else(|| own(service.name), Ok)?;
        let client = OutboundClient::new(&outbound)?;
        let to_login = match &settings.login {
            AwsLogin::WebIdentity(_) | AwsLogin::CredentialsFile(_) => client.clone(),
            // On the node itself, so in plain text and past the proxy; where exactly, the configuration's
            // rules say.
            AwsLogin::Container(_) => OutboundClient::new(&OutboundConfig {
                timeout: settings.timeout,
                connect_timeout: settings.timeout,
                allow_plain_http: true,
                ..OutboundConfig::default()
            })?,
        };
        let door = Door { client: to_login, sts, login: settings.login };
        let sessions = Sessions::new(Box::new(door), clock.clone());
        Ok(Self { client, service, region: settings.region, endpoint, sessions, clock })
    }

    /// Asks once, and once more where the session turns out to be dead: a refused request did nothing.
    async fn call(&self, action: &str, body: &(impl Serialize + Sync)) -> Result<Answer, StoreError> {
        let malformed = |_| StoreError::new(StoreErrorKind::Malformed, "no request can be made of it");
        let body = serde_json::to_vec(body).map_err(malformed)?;
        let credentials = self.sessions.current().await?;
        let answer = self.send(action, &body, &credentials).await?;
        if !answer.wants_other_credentials() {
            return Ok(answer);
        }
        let credentials = self.sessions.replace(&credentials).await?;
        self.send(action, &body, &credentials).await
    }

    async fn send(&self, action: &str, body: &[u8], credentials: &Credentials) -> Result<Answer, StoreError> {
        let target = HeaderValue::from_str(&format!("{}.{action}", self.service.target));
        let target = target.map_err(|_| StoreError::new(StoreErrorKind::Malformed, "no such action"))?;
        let json = HeaderValue::from_static("application/x-amz-json-1.1");
        let mut request = OutboundRequest::new(Method::POST, self.endpoint.clone())
            .header(header::CONTENT_TYPE, json)
            .header(TARGET, target);
        let scope = Scope { region: &self.region, service: self.service.name };
        sign::sign(&mut request.headers, &self.endpoint, body, credentials, scope, self.clock.now())?;
        Answer::of(self.client.send(request.body(body.to_vec())).await)
    }

    /// Whether the service takes our signature, by an action that shows no value. Whether we may take that
    /// action is another question, and not this one.
    async fn probe(&self, action: &str, body: &(impl Serialize + Sync)) -> Result<(), StoreError> {
        let answer = self.call(action, body).await?;
        if answer.status == 200 || answer.is_forbidden() {
            return Ok(());
        }
        let failure = answer.failure();
        if failure.kind == StoreErrorKind::NotFound { Ok(()) } else { Err(failure) }
    }
}

/// The address of a service in a region.
fn address(service: &str, region: &str) -> Option<Url> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://{service}.{region}.{domain}/")).ok()
}

/// The time of a number of seconds with fractions.
fn time_of(seconds: Option<f64>) -> Option<Timestamp> {
    // Saturates where it is no time at all.
    seconds.filter(|seconds| seconds.is_finite()).map(|s| Timestamp::from_micros((s * 1e6) as i64))
}

/// Whether the answer is of the version that was asked for.
fn is_pinned(wanted: Option<&VersionSelector>, version: &str) -> Result<(), StoreError> {
    match wanted {
        Some(VersionSelector::Version(pinned)) if pinned != version => Err(StoreError::new(
            StoreErrorKind::Malformed,
            "AWS answered with another version than the pinned one",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
