//! Who logs people in for this door: its own metadata, then the authorization server's, read as the adapters read them
//! ([`Discovery`]); here is what a login asks of them beyond that.

use gateway_adapters::https::OutboundRequest;
use gateway_adapters::source::provider::{AdvertisedError, Discovery};
use gateway_proxy::mcp::challenge;
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;

use super::Login;
use crate::connect::trouble::{Code, Trouble};

/// The authorization server, as far as a login needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Authority {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// Whether its answers name it (RFC 9207).
    pub(super) names_issuer: bool,
    /// Whether a client may be known by its metadata document.
    pub(super) reads_documents: bool,
    /// What to ask for; may be empty.
    pub(super) scope: String,
}

/// Asks the door, then its authorization server.
pub(super) async fn find(login: &Login, told: Option<String>) -> Result<Authority, Trouble> {
    let pointed = match told {
        Some(told) => Some(told),
        None => ask_door(login).await?,
    };
    let discovery = Discovery { client: &login.http, plain_http: login.plain_http };
    let resource = discovery.resource(login.door.url(), pointed.as_deref()).await.map_err(trouble)?;
    // A token for another resource would open another door (RFC 9728, section 3.3).
    if resource.resource != login.door.as_str() {
        let why = format!("the metadata is of `{}`, not of `{}`", resource.resource, login.door.as_str());
        return Err(Trouble::new(Code::Metadata).because(why));
    }
    let Some(issuer) = resource.authorization_servers.first() else {
        return Err(Trouble::new(Code::Metadata).because("it names no authorization server"));
    };
    authority(&discovery, issuer, resource.scopes_supported).await
}

/// Knocks without a token, to be told where the metadata is.
async fn ask_door(login: &Login) -> Result<Option<String>, Trouble> {
    let request = OutboundRequest::new(Method::GET, login.door.url().clone())
        .header(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let answer = login.http.open(request).await;
    let answer = answer.map_err(|error| Trouble::new(Code::Unreachable).because(error))?;
    let told = (answer.status == StatusCode::UNAUTHORIZED).then_some(&answer.headers);
    Ok(told.and_then(challenge::resource_metadata))
}

async fn authority(
    discovery: &Discovery<'_>,
    issuer: &str,
    mut scopes: Vec<String>,
) -> Result<Authority, Trouble> {
    let bad = |why: &str| Trouble::new(Code::Metadata).because(format!("`{issuer}` {why}"));
    let metadata = discovery.authorization_server(issuer).await.map_err(|error| match error {
        AdvertisedError::OtherIssuer(found) => {
            Trouble::new(Code::Issuer).because(format!("asked `{issuer}`, and `{found}` answered"))
        }
        AdvertisedError::NoMetadata => bad("has no metadata"),
        other => trouble(other),
    })?;
    if !metadata.offers_s256 {
        return Err(bad("does not know PKCE with S256"));
    }
    let needed = |endpoint: Option<Url>, why: &str| endpoint.ok_or_else(|| bad(why));
    if metadata.scopes.iter().any(|scope| scope == "offline_access") {
        scopes.push("offline_access".to_owned());
    }
    Ok(Authority {
        authorization_endpoint: needed(metadata.authorization, "names no authorization endpoint")?,
        token_endpoint: needed(metadata.token, "names no token endpoint")?,
        registration_endpoint: metadata.registration,
        revocation_endpoint: metadata.revocation,
        names_issuer: metadata.sends_issuer,
        reads_documents: metadata.reads_documents,
        scope: scopes.join(" "),
        issuer: metadata.issuer,
    })
}

fn trouble(error: AdvertisedError) -> Trouble {
    let code = match error {
        AdvertisedError::Unreachable(_) => Code::Unreachable,
        _ => Code::Metadata,
    };
    Trouble::new(code).because(error)
}
