//! What an MCP server says about who issues its tokens (RFC 9728), and what those say of themselves (RFC 8414),
//! for an operator who declares a provider.
//!
//! Nothing of this is used while calls are served: whom a server names is believed by nobody before an operator
//! has read it and an approver has signed it. Only public documents are read; no credential is sent to anybody.

use std::path::PathBuf;

use gateway_core::manifest::AddressScope;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::metadata::locations;
use crate::https::{
    OutboundBuildError, OutboundClient, OutboundConfig, OutboundError, OutboundRequest, is_loopback,
};

/// The largest document, in bytes.
const LARGEST: usize = 256 * 1024;
/// The most authorization servers that are asked.
const MOST: usize = 8;
/// The longest text of somebody else's in an error, in characters.
const SHOWN: usize = 200;

/// How servers are reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Kinds of address beyond public ones that may be connected to.
    pub addresses: Vec<AddressScope>,
    /// PEM file of the only certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
}

/// What a server advertises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advertised {
    /// The resource that tokens are for (RFC 8707): the server's own address, exactly.
    pub resource: String,
    /// The scopes that it knows.
    pub scopes: Vec<String>,
    /// The issuers that it names, each with what that one says of itself, or why it is of no use.
    pub authorization_servers: Vec<(String, Result<AuthorizationServer, AdvertisedError>)>,
}

/// What an authorization server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationServer {
    /// Its issuer identifier.
    pub issuer: String,
    /// Origins of its endpoints other than the issuer's own, sorted.
    pub origins: Vec<String>,
    /// Whether it reads client id metadata documents.
    pub reads_documents: bool,
    /// Whether clients can register themselves (RFC 7591).
    pub registers: bool,
    /// Whether it offers PKCE with S256, without which the gateway sends nobody there.
    pub offers_s256: bool,
    /// Whether it promises `iss` in its answers (RFC 9207).
    pub sends_issuer: bool,
    /// Whether tokens can be given back (RFC 7009).
    pub revokes: bool,
}

/// Why nothing can be learnt from a server.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdvertisedError {
    /// No answer, or none that is acceptable.
    #[error("{0}")]
    Unreachable(String),
    /// An address that is not https, or has a user or a fragment.
    #[error("`{0}` is no https URL without user and fragment")]
    Url(String),
    /// A redirect or a failure where a document was looked for.
    #[error("`{place}` answered {status}")]
    Status {
        /// Where.
        place: String,
        /// The status.
        status: u16,
    },
    /// The server publishes nothing.
    #[error("the server publishes no metadata of a protected resource (RFC 9728)")]
    Nothing,
    /// The server's challenge leads to another origin.
    #[error("the server points to `{0}`, which is not its own origin")]
    Elsewhere(String),
    /// A document is not what its standard describes.
    #[error("the document at `{0}` is not the JSON that was expected")]
    Malformed(String),
    /// The metadata is of another resource.
    #[error("the metadata is of the resource `{found}`, not of `{asked}`")]
    Resource {
        /// What it says.
        found: String,
        /// The server's address.
        asked: String,
    },
    /// The metadata names no authorization server, or too many.
    #[error("the metadata names {0} authorization servers")]
    Servers(usize),
    /// What a server calls an issuer is none.
    #[error("`{0}` is no issuer identifier")]
    Issuer(String),
    /// The authorization server publishes nothing.
    #[error("the authorization server publishes no metadata")]
    NoMetadata,
    /// The metadata is of another issuer.
    #[error("the metadata is of the issuer `{0}`")]
    OtherIssuer(String),
}

impl From<OutboundError> for AdvertisedError {
    fn from(error: OutboundError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<OutboundBuildError> for AdvertisedError {
    fn from(error: OutboundBuildError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// RFC 9728, section 2. Unknown members are none of ours.
#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// RFC 8414, section 2.
#[derive(Deserialize)]
struct Server {
    issuer: String,
    token_endpoint: Option<String>,
    authorization_endpoint: Option<String>,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
}

/// Asks the MCP server at this address, and then whom it names. `pointer` reads out of the headers of a 401
/// where its metadata is (RFC 9728, section 5.1).
///
/// # Errors
/// See [`AdvertisedError`]; what is wrong with one authorization server stands beside its issuer.
pub async fn advertised(
    server: &Url,
    reach: &Reach,
    pointer: impl Fn(&HeaderMap) -> Option<String>,
) -> Result<Advertised, AdvertisedError> {
    let client = OutboundClient::new(&OutboundConfig {
        ca_file: reach.ca_file.clone(),
        max_body: LARGEST,
        guard: Some(reach.addresses.clone()),
        ..OutboundConfig::default()
    })?;
    if !is_safe(server) {
        return Err(AdvertisedError::Url(shown(server.as_str())));
    }
    let resource = resource(&client, server, pointer).await?;
    let same = Url::parse(&resource.resource).is_ok_and(|found| found == *server);
    if !same {
        let found = shown(&resource.resource);
        return Err(AdvertisedError::Resource { found, asked: shown(server.as_str()) });
    }
    let named = resource.authorization_servers;
    if !(1..=MOST).contains(&named.len()) {
        return Err(AdvertisedError::Servers(named.len()));
    }
    let mut servers = Vec::with_capacity(named.len());
    for issuer in named {
        let said = authorization_server(&client, &issuer).await;
        servers.push((shown(&issuer), said));
    }
    let mut scopes = resource.scopes_supported;
    scopes.retain(|scope| is_scope(scope));
    Ok(Advertised { resource: resource.resource, scopes, authorization_servers: servers })
}

/// The server's own metadata: where its challenge says, else where the standard puts it.
async fn resource(
    client: &OutboundClient,
    server: &Url,
    pointer: impl Fn(&HeaderMap) -> Option<String>,
) -> Result<Resource, AdvertisedError> {
    let json = HeaderValue::from_static("application/json");
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    // Harmless where the server asks for no token: it opens no session and names no tool.
    let request = OutboundRequest::new(Method::POST, server.clone())
        .header(header::ACCEPT, accept)
        .header(header::CONTENT_TYPE, json)
        .body(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec());
    let answer = client.send(request).await?;
    let pointed = (answer.status == StatusCode::UNAUTHORIZED).then(|| pointer(&answer.headers)).flatten();
    let places = match pointed {
        Some(text) => {
            let place = Url::parse(&text).map_err(|_| AdvertisedError::Url(shown(&text)))?;
            if place.origin() != server.origin() || !is_safe(&place) {
                return Err(AdvertisedError::Elsewhere(shown(&text)));
            }
            vec![place]
        }
        None => well_known(server),
    };
    for place in places {
        if let Some(resource) = document(client, place).await? {
            return Ok(resource);
        }
    }
    Err(AdvertisedError::Nothing)
}

/// RFC 9728, section 3.1: before the path; MCP clients look at the root then.
fn well_known(server: &Url) -> Vec<Url> {
    let path = server.path().trim_end_matches('/');
    let at = |path: &str| {
        let mut place = server.clone();
        place.set_query(None);
        place.set_path(&format!("/.well-known/oauth-protected-resource{path}"));
        place
    };
    let mut places = vec![at(path)];
    if !path.is_empty() {
        places.push(at(""));
    }
    places
}

async fn authorization_server(
    client: &OutboundClient,
    issuer: &str,
) -> Result<AuthorizationServer, AdvertisedError> {
    let not_one = || AdvertisedError::Issuer(shown(issuer));
    let own = Url::parse(issuer).map_err(|_| not_one())?;
    if !is_safe(&own) || own.query().is_some() || !issuer.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(not_one());
    }
    for place in locations(issuer).map_err(|_| not_one())? {
        let Some(server) = document::<Server>(client, place).await? else { continue };
        if server.issuer != issuer {
            return Err(AdvertisedError::OtherIssuer(shown(&server.issuer)));
        }
        return said(&own, server);
    }
    Err(AdvertisedError::NoMetadata)
}

fn said(own: &Url, server: Server) -> Result<AuthorizationServer, AdvertisedError> {
    let mut origins = Vec::new();
    let endpoints = [
        &server.token_endpoint,
        &server.authorization_endpoint,
        &server.registration_endpoint,
        &server.revocation_endpoint,
    ];
    for text in endpoints.into_iter().flatten() {
        let endpoint = Url::parse(text).ok().filter(is_safe);
        let endpoint = endpoint.ok_or_else(|| AdvertisedError::Url(shown(text)))?;
        if endpoint.origin() != own.origin() {
            origins.push(endpoint.origin().ascii_serialization());
        }
    }
    origins.sort_unstable();
    origins.dedup();
    Ok(AuthorizationServer {
        origins,
        reads_documents: server.client_id_metadata_document_supported,
        registers: server.registration_endpoint.is_some(),
        offers_s256: server.code_challenge_methods_supported.iter().any(|method| method == "S256"),
        sends_issuer: server.authorization_response_iss_parameter_supported,
        revokes: server.revocation_endpoint.is_some(),
        issuer: server.issuer,
    })
}

/// A document, or nothing where there is none. A place that fails or leads elsewhere leads to no other place.
async fn document<T: DeserializeOwned>(
    client: &OutboundClient,
    place: Url,
) -> Result<Option<T>, AdvertisedError> {
    let name = shown(place.as_str());
    let json = HeaderValue::from_static("application/json");
    let answer = client.send(OutboundRequest::new(Method::GET, place).header(header::ACCEPT, json)).await?;
    match answer.status.as_u16() {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|_| AdvertisedError::Malformed(name)),
        401 | 403..=405 | 410 => Ok(None),
        status => Err(AdvertisedError::Status { place: name, status }),
    }
}

fn is_safe(url: &Url) -> bool {
    let spoken = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    spoken && bare && url.has_host()
}

/// RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Somebody else's text, short and without what could steer a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|one| matches!(one, '!'..='~') && *one != '`').take(SHOWN).collect()
}
