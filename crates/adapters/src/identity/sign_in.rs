//! A person's login at an OpenID Connect provider: the authorization code flow with PKCE, and the ID
//! token judged by the same rules as the tokens of the data plane.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway_core::identity::{IdentityError, TokenDigest};
use gateway_core::lease::SecretVersion;
use gateway_core::login::{Arrival, Assertion, Departure, Fault, Person, PersonProvider};
use gateway_core::reference::{SecretReference, TemplateValues};
use gateway_core::secret::Secret;
use gateway_core::stores::Stores;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::algorithm::JwtAlgorithm;
use super::config::{Basics, IdentityIssue, Preset};
use super::jwks::discovery_places;
use super::rules::{Issuer, IssuerRules};
use super::strict_json;
use super::verifier::Verifier;
use crate::https::{OutboundClient, OutboundConfig, OutboundRequest, OutboundResponse, is_loopback};

/// The `typ` of an ID-JAG.
const ASSERTION_TYPE: &str = "oauth-id-jag+jwt";
/// How long the provider's metadata is taken for current.
const FRESH: Duration = Duration::from_secs(600);
/// The largest ID token, with what comes beside it.
const ANSWER_BYTES: usize = 64 * 1024;

/// The provider that people log in at, and this gateway as its client.
#[derive(Debug, Clone)]
pub struct SignInConfig {
    /// The provider's identifier, compared exactly.
    pub issuer: String,
    /// This gateway's client id there; the audience of its ID tokens.
    pub client_id: String,
    /// Where the client's secret is; without one the client is public.
    pub client_secret: Option<SecretReference>,
    /// What is asked for; `openid` is always among it.
    pub scopes: Vec<String>,
    /// Origins besides the issuer's own that the client may send its code and secret to.
    pub origins: Vec<String>,
    /// The claim with the stable id of the person. Default `sub`.
    pub subject_claim: Option<String>,
    /// The claim with the groups; without it groups are unknown.
    pub groups_claim: Option<String>,
    /// The provider's own ways.
    pub preset: Option<Preset>,
    /// The algorithms it may sign with.
    pub algorithms: Vec<JwtAlgorithm>,
    /// PEM file of the only certificate authorities to trust for it.
    pub ca_file: Option<PathBuf>,
    /// The proxy to reach it through.
    pub proxy: Option<Url>,
    /// How far clocks may differ, in seconds: 0 to 60.
    pub leeway_seconds: u32,
}

impl SignInConfig {
    fn basics<'a>(&'a self, token_types: &'a [String]) -> Basics<'a> {
        Basics {
            issuer: &self.issuer,
            jwks_url: None,
            algorithms: &self.algorithms,
            subject_claim: self.subject_claim.as_deref(),
            preset: self.preset,
            workloads: false,
            leeway_seconds: self.leeway_seconds,
            token_types,
        }
    }

    /// Every mistake in it.
    pub fn issues(&self) -> Vec<IdentityIssue> {
        let types = id_token_types();
        let basics = self.basics(&types);
        let mut found = basics.issues();
        if self.preset.is_some_and(Preset::is_of_workloads) {
            found.push(basics.issue("preset", "is of an issuer that vouches for runtimes, not people", None));
        }
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable(&self.client_id) {
            found.push(basics.issue("client_id", "must be visible ASCII", None));
        }
        if !self.scopes.iter().any(|scope| scope == "openid") || !self.scopes.iter().all(|s| printable(s)) {
            found.push(basics.issue("scopes", "must name `openid`, and no empty scope", None));
        }
        let exact =
            |text: &String| Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text);
        if !self.origins.iter().all(exact) {
            let hint = "write `https://host` or `https://host:port`, without a path";
            found.push(basics.issue("origins", "each must be scheme, host and port", Some(hint)));
        }
        found
    }
}

/// `typ` of ID tokens: providers write `JWT` or nothing (OpenID Connect Core, section 2, demands none).
fn id_token_types() -> Vec<String> {
    ["JWT", "absent"].map(str::to_owned).to_vec()
}

/// What the provider says about itself (OpenID Connect Discovery 1.0, section 3; RFC 9207, section 3).
#[derive(Debug)]
struct Metadata {
    authorization: Url,
    token: Url,
    promises_issuer: bool,
    takes_basic: bool,
}

/// The client of one provider.
#[derive(Debug)]
pub struct OidcSignIn {
    config: SignInConfig,
    verifier: Verifier,
    /// For assertions, which are of another type than ID tokens.
    assertions: Verifier,
    client: OutboundClient,
    stores: Arc<Stores>,
    known: RwLock<Option<(Timestamp, Arc<Metadata>)>>,
}

impl OidcSignIn {
    /// Makes the client. Reads the CA file, touches no network.
    ///
    /// # Errors
    /// Every mistake in the configuration.
    pub fn new(config: SignInConfig, stores: Arc<Stores>) -> Result<Self, Vec<IdentityIssue>> {
        let issues = config.issues();
        if !issues.is_empty() {
            return Err(issues);
        }
        let types = id_token_types();
        let basics = config.basics(&types);
        let audiences = HashMap::from([(config.client_id.clone(), Vec::new())]);
        let rules = IssuerRules::new(&basics, config.groups_claim.as_ref(), audiences);
        let issuer = Issuer::new(rules, &basics, config.ca_file.as_ref(), config.proxy.as_ref());
        let verifier = Verifier::new(std::iter::once(issuer))?;
        let types = [ASSERTION_TYPE.to_owned()];
        let basics = config.basics(&types);
        let rules = IssuerRules::new(&basics, config.groups_claim.as_ref(), HashMap::new());
        let issuer = Issuer::new(rules, &basics, config.ca_file.as_ref(), config.proxy.as_ref());
        let assertions = Verifier::new(std::iter::once(issuer))?;
        let outbound = OutboundConfig {
            ca_file: config.ca_file.clone(),
            proxy: config.proxy.clone(),
            max_body: ANSWER_BYTES,
            ..OutboundConfig::default()
        };
        let client = OutboundClient::new(&outbound)
            .map_err(|error| vec![basics.issue("ca_file", &error.to_string(), None)])?;
        Ok(Self { config, verifier, assertions, client, stores, known: RwLock::new(None) })
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Fault> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, metadata)) = known
            && now.since(at) < FRESH
        {
            return Ok(metadata);
        }
        let metadata = Arc::new(self.discover().await?);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    async fn discover(&self) -> Result<Metadata, Fault> {
        for place in discovery_places(&self.config.issuer) {
            let accept = HeaderValue::from_static("application/json");
            let request = OutboundRequest::new(Method::GET, place).header(header::ACCEPT, accept);
            let answer = self.client.send(request).await.map_err(|error| {
                tracing::warn!(%error, "the identity provider's metadata cannot be fetched");
                Fault::ProviderUnavailable
            })?;
            if answer.status.as_u16() == 200 {
                return self.read_metadata(&answer.body).map_err(|reason| {
                    tracing::warn!(reason, "the identity provider's metadata is not acceptable");
                    Fault::ProviderMalformed
                });
            }
        }
        tracing::warn!("the identity provider has no metadata document");
        Err(Fault::ProviderUnavailable)
    }

    fn read_metadata(&self, body: &[u8]) -> Result<Metadata, &'static str> {
        let document = strict_json::object(body).ok_or("it is no JSON object")?;
        if document.get("issuer").and_then(Value::as_str) != Some(&self.config.issuer) {
            return Err("it is of another issuer");
        }
        // Where the provider lists its PKCE methods, the one that we use is among them.
        if !lists(&document, "code_challenge_methods_supported", "S256").unwrap_or(true) {
            return Err("it does not offer PKCE with S256");
        }
        let endpoint = |name: &str| {
            let url = Url::parse(document.get(name)?.as_str()?).ok()?;
            let plain =
                url.scheme() == "http" && is_loopback(&url) && self.config.issuer.starts_with("http://");
            (url.scheme() == "https" || plain).then_some(url)
        };
        let token = endpoint("token_endpoint").ok_or("its `token_endpoint` is missing or not https")?;
        let own = Url::parse(&self.config.issuer).map(|issuer| issuer.origin() == token.origin());
        let origin = token.origin().ascii_serialization();
        if own != Ok(true) && !self.config.origins.contains(&origin) {
            return Err("its `token_endpoint` is at an origin that `login.origins` does not list");
        }
        Ok(Metadata {
            authorization: endpoint("authorization_endpoint")
                .ok_or("its `authorization_endpoint` is missing or not https")?,
            token,
            promises_issuer: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            // The default is basic (RFC 8414, section 2).
            takes_basic: lists(&document, "token_endpoint_auth_methods_supported", "client_secret_basic")
                .unwrap_or(true),
        })
    }

    async fn secret(&self) -> Result<Option<Arc<SecretVersion>>, Fault> {
        let Some(reference) = &self.config.client_secret else { return Ok(None) };
        let entry = self.stores.entry(reference.store()).ok_or(Fault::Unavailable)?;
        let environment = entry.environments.first().ok_or(Fault::Unavailable)?;
        let values = TemplateValues { agent: None, user: None, environment };
        let place = reference.resolve(&values).map_err(|_| Fault::Unavailable)?;
        let fetched = entry.store.fetch(&place).await.map_err(|error| {
            tracing::warn!(kind = ?error.kind, "the secret of the login client cannot be fetched");
            Fault::Unavailable
        })?;
        if fetched.secret.is_empty() { Err(Fault::Unavailable) } else { Ok(Some(fetched)) }
    }

    async fn redeem(
        &self,
        code: &Secret,
        arrival: &Arrival<'_>,
        metadata: &Metadata,
    ) -> Result<Secret, Fault> {
        let secret = self.secret().await?;
        let request = self.token_request(code, arrival, metadata, secret.as_deref());
        let answer = self.client.send(request).await.map_err(|error| {
            tracing::warn!(%error, "the identity provider's token endpoint does not answer");
            Fault::ProviderUnavailable
        })?;
        id_token(&answer)
    }

    /// The token request (RFC 6749, section 4.1.3), whose buffers are zeroed once sent.
    #[expect(
        clippy::disallowed_methods,
        reason = "puts code, verifier and client secret into the one request"
    )]
    fn token_request(
        &self,
        code: &Secret,
        arrival: &Arrival<'_>,
        metadata: &Metadata,
        secret: Option<&SecretVersion>,
    ) -> OutboundRequest {
        let size = code.len() * 3 + secret.map_or(0, |secret| secret.secret.len() * 3) + 2_048;
        let mut form = Serializer::new(String::with_capacity(size));
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", &String::from_utf8_lossy(code.expose()))
            .append_pair("redirect_uri", arrival.redirect_uri)
            .append_pair("code_verifier", &String::from_utf8_lossy(arrival.verifier.expose()));
        let mut basic = None;
        match secret {
            Some(secret) if metadata.takes_basic => {
                // Both halves are form-encoded first (RFC 6749, section 2.3.1).
                let id: String = byte_serialize(self.config.client_id.as_bytes()).collect();
                let value: Zeroizing<String> =
                    Zeroizing::new(byte_serialize(secret.secret.expose()).collect());
                let both = Zeroizing::new(format!("{id}:{}", *value));
                basic = Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes()))));
            }
            Some(secret) => {
                form.append_pair("client_id", &self.config.client_id)
                    .append_pair("client_secret", &String::from_utf8_lossy(secret.secret.expose()));
            }
            None => {
                form.append_pair("client_id", &self.config.client_id);
            }
        }
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut request = OutboundRequest::new(Method::POST, metadata.token.clone())
            .header(header::CONTENT_TYPE, kind)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .body(form.finish().into_bytes());
        if let Some(mut value) = basic.and_then(|basic| HeaderValue::from_str(&basic).ok()) {
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request
    }
}

fn lists(document: &Map<String, Value>, name: &str, word: &str) -> Option<bool> {
    Some(document.get(name)?.as_array()?.iter().any(|item| item == word))
}

/// The ID token of the answer. Of the access token beside it nothing is kept.
fn id_token(answer: &OutboundResponse) -> Result<Secret, Fault> {
    if answer.status.as_u16() != 200 {
        tracing::warn!(status = answer.status.as_u16(), "the identity provider refused the code");
        return Err(Fault::CodeRefused);
    }
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        id_token: &'a str,
    }
    let read: Answer<'_> = serde_json::from_slice(&answer.body).map_err(|_| Fault::ProviderMalformed)?;
    Ok(Secret::copy_from(read.id_token.as_bytes()))
}

#[async_trait]
impl PersonProvider for OidcSignIn {
    #[expect(clippy::disallowed_methods, reason = "the state goes to the provider in the browser's address")]
    async fn depart(&self, departure: &Departure<'_>, now: Timestamp) -> Result<Url, Fault> {
        let metadata = self.metadata(now).await?;
        let challenge = URL_SAFE_NO_PAD.encode(TokenDigest::of(departure.verifier).bytes());
        let mut url = metadata.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", departure.redirect_uri)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &String::from_utf8_lossy(departure.state.expose()))
            .append_pair("nonce", departure.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if departure.again {
            query.append_pair("prompt", "login");
        }
        drop(query);
        Ok(url)
    }

    async fn arrive(&self, arrival: &Arrival<'_>, now: Timestamp) -> Result<Person, Fault> {
        let metadata = self.metadata(now).await?;
        // Before anything else is believed or sent on, an error included (RFC 9207, section 2.4).
        match arrival.issuer {
            Some(issuer) if issuer != self.config.issuer => return Err(Fault::IssuerMixedUp),
            None if metadata.promises_issuer => return Err(Fault::IssuerMissing),
            _ => {}
        }
        let code = match (arrival.error, arrival.code) {
            (None, Some(code)) if !code.is_empty() => code,
            (Some(_), _) => return Err(Fault::ProviderRefused),
            (None, _) => return Err(Fault::RequestMalformed),
        };
        let token = self.redeem(code, arrival, &metadata).await?;
        let (rules, claims) = self.verifier.signed(&token, now).await.map_err(|error| {
            tracing::warn!(%error, "the ID token does not hold");
            Fault::IdTokenRefused
        })?;
        let nonce = claims.text("nonce").map_err(|_| Fault::IdTokenRefused)?;
        if nonce != Some(arrival.nonce) {
            return Err(Fault::NonceMismatch);
        }
        rules.person(&claims, &self.config.client_id, now).map_err(|error| {
            tracing::warn!(%error, "the ID token's claims do not hold");
            Fault::IdTokenRefused
        })
    }

    async fn assertion(
        &self,
        assertion: &Secret,
        audience: &str,
        now: Timestamp,
    ) -> Result<Assertion, Fault> {
        let refused = |error: IdentityError| {
            tracing::debug!(%error, "an assertion does not hold");
            match error {
                IdentityError::KeysUnavailable => Fault::ProviderUnavailable,
                _ => Fault::AssertionRefused,
            }
        };
        let (rules, claims) = self.assertions.signed(assertion, now).await.map_err(refused)?;
        rules.assertion(&claims, audience, now).map_err(refused)
    }
}
