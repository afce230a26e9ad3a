//! Installations of an application (GitHub Apps and what follows their API): a JWT of the application's is
//! exchanged for a token that is narrowed to repositories and permissions.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::manifest::{AppInstallation, ClientAuthentication, ProviderSpec};
use gateway_core::ports::StoreLease;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::ProviderClient;
use super::answer::{LARGEST_ANSWER, failure};
use super::error::ProviderError;
use super::signing_key::SigningKey;
use crate::https::{OutboundRequest, OutboundResponse};
use crate::store::json_text::{Fields, secret_field};

/// How far the application's JWT reaches back, for clocks that differ, and forward: one request.
const BACK: i64 = 60;
const FORWARD: i64 = 300;
/// The longest life of a token that is believed.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The answer, but for the token.
#[derive(Deserialize)]
struct Granted {
    expires_at: String,
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    repository_selection: Option<String>,
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
}

impl ProviderClient {
    /// Asks for a token of the installation, for these repositories and permissions and nothing more.
    ///
    /// # Errors
    /// `provider.refused`, `provider.unavailable`; `provider.malformed` also where the token may do more
    /// than was asked for.
    pub(in crate::source) async fn installation_token(
        &self,
        spec: &ProviderSpec,
        app: &AppInstallation,
    ) -> Result<StoreLease, ProviderError> {
        let number = app.installation_id.to_string();
        let path = ["app", "installations", &number, "access_tokens"];
        let asked = json!({ "repositories": app.repositories, "permissions": app.permissions }).to_string();
        let mut request = request(spec, Method::POST, &path, &self.application(spec).await?)?;
        let kind = HeaderValue::from_static("application/json");
        request = request.header(header::CONTENT_TYPE, kind);
        request.body = Some(Zeroizing::new(asked.into_bytes()));
        let link = self.links.of(spec)?;
        let answer = link.client(spec, &self.settings)?.send(request).await?;
        if answer.status.as_u16() != 201 {
            return Err(failure(&answer));
        }
        read(&answer, app, self.clock.now())
    }

    /// Gives the token back; one that the provider does not know any more is given back.
    ///
    /// # Errors
    /// As above.
    pub(in crate::source) async fn end_installation_token(
        &self,
        spec: &ProviderSpec,
        token: &Secret,
    ) -> Result<(), ProviderError> {
        let request = request(spec, Method::DELETE, &["installation", "token"], token)?;
        let link = self.links.of(spec)?;
        let answer = link.client(spec, &self.settings)?.send(request).await?;
        match answer.status.as_u16() {
            204 | 401 => Ok(()),
            _ => Err(failure(&answer)),
        }
    }

    /// The application's own JWT: `iss` is its client id.
    async fn application(&self, spec: &ProviderSpec) -> Result<Secret, ProviderError> {
        let ClientAuthentication::PrivateKeyJwt { key, key_id } = &spec.client.authentication else {
            return Err(ProviderError::refused("an application needs `private_key_jwt`"));
        };
        let now = self.clock.now().seconds();
        let (start, end) = (now.saturating_sub(BACK), now.saturating_add(FORWARD));
        let claims = json!({ "iss": self.client_id(spec).await?, "iat": start, "exp": end });
        let pem = self.fetch(spec, key).await?;
        SigningKey::from_pem(&pem.secret)?.sign("JWT", key_id.as_deref(), &claims)
    }
}

/// A request below the provider's issuer, with this bearer token.
fn request(
    spec: &ProviderSpec,
    method: Method,
    path: &[&str],
    bearer: &Secret,
) -> Result<OutboundRequest, ProviderError> {
    let unusable = || ProviderError::malformed("the issuer is no base URL");
    let mut url = Url::parse(&spec.issuer).map_err(|_| unusable())?;
    url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(path);
    let mut request = OutboundRequest::new(method, url)
        .header(header::AUTHORIZATION, authorization(bearer)?)
        .header(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
        .header(header::USER_AGENT, HeaderValue::from_static("mcp-gateway"));
    request.max_body = Some(LARGEST_ANSWER);
    Ok(request)
}

#[expect(clippy::disallowed_methods, reason = "the bearer token goes into the provider's own header")]
fn authorization(bearer: &Secret) -> Result<HeaderValue, ProviderError> {
    let mut text = Zeroizing::new(b"Bearer ".to_vec());
    text.reserve_exact(bearer.len());
    text.extend_from_slice(bearer.expose());
    let unusable = |_| ProviderError::refused("the token fits into no header field");
    let mut value = HeaderValue::from_bytes(&text).map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(
    answer: &OutboundResponse,
    app: &AppInstallation,
    now: Timestamp,
) -> Result<StoreLease, ProviderError> {
    let malformed = ProviderError::malformed;
    let granted: Granted = serde_json::from_slice(&answer.body)
        .map_err(|_| malformed("the answer does not say what the token may do, and until when"))?;
    let selected = granted.repository_selection.as_deref() != Some("all");
    let asked = |repository: &Repository| app.repositories.contains(&repository.name);
    if !selected || !granted.repositories.iter().all(asked) {
        return Err(malformed("the token reaches more repositories than were asked for"));
    }
    if !granted.permissions.iter().all(|(name, level)| is_asked(app, name, level)) {
        return Err(malformed("the token may do more than was asked for"));
    }
    let ends = Timestamp::parse(&granted.expires_at).map_err(|_| malformed("`expires_at` is no time"))?;
    let duration = ends.since(now).min(LONGEST);
    if duration.is_zero() {
        return Err(malformed("the token has expired already"));
    }
    let fields: Fields<'_> =
        serde_json::from_slice(&answer.body).map_err(|_| malformed("the answer is no object"))?;
    let secret = secret_field(&fields, "token").map_err(|_| malformed("there is no token"))?;
    if !secret.is_header_safe() {
        return Err(malformed("the token fits into no header field"));
    }
    // The provider has no name for it: when it was made tells it apart in evidence.
    let version = VersionId::new(&format!("{}-{}", app.installation_id, now.micros()));
    let material = SecretVersion {
        secret,
        version: version.clone(),
        created_at: Some(now),
        expires_at: Some(now.plus(duration)),
        store_request_id: None,
    };
    Ok(StoreLease { id: version.to_string(), material, duration, renewable: false, account: None })
}

/// Whether that much was asked for. Reading metadata comes with every token.
fn is_asked(app: &AppInstallation, name: &str, level: &str) -> bool {
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|known| *known == level);
    if (name, level) == ("metadata", "read") {
        return true;
    }
    match (app.permissions.get(name), rank(level)) {
        (Some(asked), Some(rank_granted)) => rank(asked).is_some_and(|rank_asked| rank_granted <= rank_asked),
        _ => false,
    }
}
