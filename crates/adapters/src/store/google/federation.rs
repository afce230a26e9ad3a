//! Workload identity federation: the platform's token becomes one of Google's (RFC 8693), which may become
//! that of a service account.

use async_trait::async_trait;
use gateway_core::ports::StoreError;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use url::Url;

use super::login::Federation;
use super::{DIALECT, SCOPE, address};
use crate::https::{OutboundBuildError, OutboundClient, OutboundRequest};
use crate::store::cloud::{Answer, Token, below, form_with, granted, term};
use crate::store::json_text::secret_value;
use crate::store::login_file;
use crate::store::private_file::Readers;
use crate::store::session::Login;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How long a token of a service account is asked for: what every organisation allows.
const LIFETIME: &str = "3600s";

/// The exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    client: OutboundClient,
    login: Federation,
    sts: Url,
    /// Where the service account's token is made.
    impersonation: Option<Url>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated<'a> {
    #[serde(borrow)]
    access_token: &'a RawValue,
    expire_time: String,
}

impl Exchange {
    pub(super) fn new(client: OutboundClient, login: Federation) -> Result<Self, OutboundBuildError> {
        let at = |given: &Option<Url>, own: &str| given.clone().map_or_else(|| address(own), Ok);
        let refused = |error: StoreError| OutboundBuildError::Client(error.inside);
        let sts = at(&login.sts_endpoint, "sts.googleapis.com")?;
        let sts = below(&sts, &["v1", "token"]).map_err(refused)?;
        let iam = at(&login.iam_endpoint, "iamcredentials.googleapis.com")?;
        let impersonation = login.service_account.as_ref().map(|account| {
            let account = format!("{account}:generateAccessToken");
            below(&iam, &["v1", "projects", "-", "serviceAccounts", &account]).map_err(refused)
        });
        Ok(Self { client, sts, impersonation: impersonation.transpose()?, login })
    }

    async fn exchange(&self, subject: &Secret, now: Timestamp) -> Result<Token, StoreError> {
        let plain = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", self.login.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", self.login.subject_token_type.as_str()),
        ];
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = OutboundRequest::new(Method::POST, self.sts.clone()).header(header::CONTENT_TYPE, form);
        let body = Some(form_with(&plain, "subject_token", subject));
        let sent = self.client.send(OutboundRequest { body, ..request }).await;
        granted(&Answer::of(DIALECT, sent)?, now)
    }

    async fn impersonate(&self, url: &Url, federated: &Token, now: Timestamp) -> Result<Token, StoreError> {
        let json = HeaderValue::from_static("application/json");
        let request = OutboundRequest::new(Method::POST, url.clone())
            .header(header::AUTHORIZATION, federated.header())
            .header(header::CONTENT_TYPE, json)
            .body(json!({ "scope": [SCOPE], "lifetime": LIFETIME }).to_string().into_bytes());
        let answer = Answer::of(DIALECT, self.client.send(request).await)?;
        if answer.status != 200 {
            return Err(answer.login_failure());
        }
        let found: Impersonated<'_> = answer.json()?;
        let life = term(&found.expire_time, now).ok_or_else(|| answer.senseless())?;
        Token::ending(&secret_value(found.access_token, "accessToken")?, now, life)
    }
}

#[async_trait]
impl Login for Exchange {
    type Session = Token;

    async fn log_in(&self, now: Timestamp) -> Result<Token, StoreError> {
        // Platforms mount these short-lived tokens readable.
        let subject = login_file::token(&self.login.token_file, Readers::Anybody).await?;
        let federated = self.exchange(&subject, now).await?;
        match &self.impersonation {
            Some(url) => self.impersonate(url, &federated, now).await,
            None => Ok(federated),
        }
    }
}
