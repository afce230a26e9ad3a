//! What an MCP server and those who issue its tokens say ([`super::discovery`]), for an operator who declares a
//! provider.
//!
//! Nothing of this is used while calls are served: whom a server names is believed by nobody before an operator
//! has read it and an approver has signed it. Only public documents are read; no credential is sent to anybody.

use std::path::PathBuf;

use gateway_core::manifest::AddressScope;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::Url;

use super::discovery::{Discovery, ServerMetadata, shown};
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundError, OutboundRequest};

/// The largest document, in bytes.
const LARGEST: usize = 256 * 1024;
/// The most authorization servers that are asked.
const MOST: usize = 8;

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
    let discovery = Discovery { client: &client, plain_http: false };
    if !discovery.may_be_asked(server) {
        return Err(AdvertisedError::Url(shown(server.as_str())));
    }
    let pointed = knock(&client, server, pointer).await?;
    let resource = discovery.resource(server, pointed.as_deref()).await?;
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
        let said = discovery.authorization_server(&issuer).await.map(said);
        servers.push((shown(&issuer), said));
    }
    let scopes = resource.scopes_supported;
    Ok(Advertised { resource: resource.resource, scopes, authorization_servers: servers })
}

/// Asks the server something harmless without a token: where does its challenge point?
async fn knock(
    client: &OutboundClient,
    server: &Url,
    pointer: impl Fn(&HeaderMap) -> Option<String>,
) -> Result<Option<String>, AdvertisedError> {
    let json = HeaderValue::from_static("application/json");
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    // Harmless where the server asks for no token: it opens no session and names no tool.
    let request = OutboundRequest::new(Method::POST, server.clone())
        .header(header::ACCEPT, accept)
        .header(header::CONTENT_TYPE, json)
        .body(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec());
    let answer = client.send(request).await?;
    Ok((answer.status == StatusCode::UNAUTHORIZED).then(|| pointer(&answer.headers)).flatten())
}

fn said(server: ServerMetadata) -> AuthorizationServer {
    let own = Url::parse(&server.issuer).ok().map(|own| own.origin());
    let endpoints = [&server.token, &server.authorization, &server.registration, &server.revocation];
    let elsewhere =
        endpoints.into_iter().flatten().map(Url::origin).filter(|origin| Some(origin) != own.as_ref());
    let mut origins: Vec<String> = elsewhere.map(|origin| origin.ascii_serialization()).collect();
    origins.sort_unstable();
    origins.dedup();
    AuthorizationServer {
        origins,
        reads_documents: server.reads_documents,
        registers: server.registration.is_some(),
        offers_s256: server.offers_s256,
        sends_issuer: server.sends_issuer,
        revokes: server.revocation.is_some(),
        issuer: server.issuer,
    }
}
