//! What an MCP server says about who issues its tokens (RFC 9728), and what those say of themselves (RFC 8414,
//! `OpenID` Connect Discovery 1.0): the documents, where they stand, and what makes them worth nothing.
//!
//! For those who ask on a person's behalf before anything is pinned: an operator who declares a provider, and somebody
//! who logs in at a door. Only public documents are read; no credential is sent to anybody.

use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::advertised::AdvertisedError;
use super::document::{Document, or_default};
use super::metadata::locations;
use crate::https::{OutboundClient, OutboundRequest, is_loopback};

/// The longest text of somebody else's in an error, in characters.
const SHOWN: usize = 200;

/// Reads documents by this client.
#[derive(Clone, Copy, Debug)]
pub struct Discovery<'a> {
    /// How it is asked; its own limits and guards hold.
    pub client: &'a OutboundClient,
    /// Whether plain `http://` may leave this machine.
    pub plain_http: bool,
}

/// RFC 9728, section 2. Unknown members are none of ours.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ResourceMetadata {
    /// The resource that it is about, as it is written there.
    pub resource: String,
    /// The issuers that it names.
    #[serde(default, deserialize_with = "or_default")]
    pub authorization_servers: Vec<String>,
    /// The scopes that it knows; what is none (RFC 6749, section 3.3) is left out.
    #[serde(default, deserialize_with = "or_default")]
    pub scopes_supported: Vec<String>,
}

/// What an authorization server says of itself; every endpoint is one that may be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerMetadata {
    /// Its issuer identifier.
    pub issuer: String,
    /// The token endpoint.
    pub token: Option<Url>,
    /// The authorization endpoint.
    pub authorization: Option<Url>,
    /// The registration endpoint (RFC 7591).
    pub registration: Option<Url>,
    /// The revocation endpoint (RFC 7009).
    pub revocation: Option<Url>,
    /// Whether it offers PKCE with S256 (RFC 7636).
    pub offers_s256: bool,
    /// Whether it promises `iss` in its answers (RFC 9207).
    pub sends_issuer: bool,
    /// Whether it reads client id metadata documents.
    pub reads_documents: bool,
    /// The scopes that it names.
    pub scopes: Vec<String>,
}

impl Discovery<'_> {
    /// The metadata of a server: where its challenge pointed, else where the standard puts it. Whether it is the asked
    /// server's is the caller's to judge.
    ///
    /// # Errors
    /// See [`AdvertisedError`]; `Elsewhere` where the challenge leads to another origin.
    pub async fn resource(
        &self,
        server: &Url,
        pointed: Option<&str>,
    ) -> Result<ResourceMetadata, AdvertisedError> {
        let places = match pointed {
            Some(text) => {
                let place = Url::parse(text).map_err(|_| AdvertisedError::Url(shown(text)))?;
                if place.origin() != server.origin() || !self.may_be_asked(&place) {
                    return Err(AdvertisedError::Elsewhere(shown(text)));
                }
                vec![place]
            }
            None => well_known(server),
        };
        for place in places {
            if let Some(mut found) = self.document::<ResourceMetadata>(place).await? {
                found.scopes_supported.retain(|scope| is_scope(scope));
                return Ok(found);
            }
        }
        Err(AdvertisedError::Nothing)
    }

    /// What the authorization server of this issuer identifier says of itself.
    ///
    /// # Errors
    /// See [`AdvertisedError`].
    pub async fn authorization_server(&self, issuer: &str) -> Result<ServerMetadata, AdvertisedError> {
        let not_one = || AdvertisedError::Issuer(shown(issuer));
        let own = Url::parse(issuer).map_err(|_| not_one())?;
        let plain = issuer.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.may_be_asked(&own) || own.query().is_some() || !plain {
            return Err(not_one());
        }
        for place in locations(issuer).map_err(|_| not_one())? {
            let Some(document) = self.document::<Document>(place).await? else { continue };
            if document.issuer != issuer {
                return Err(AdvertisedError::OtherIssuer(shown(&document.issuer)));
            }
            return self.read(document);
        }
        Err(AdvertisedError::NoMetadata)
    }

    fn read(&self, document: Document) -> Result<ServerMetadata, AdvertisedError> {
        let endpoint = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                let url = Url::parse(&text).ok().filter(|url| self.may_be_asked(url));
                url.map(Some).ok_or_else(|| AdvertisedError::Url(shown(&text)))
            }
        };
        let offers_s256 = document.offers_s256();
        Ok(ServerMetadata {
            token: endpoint(document.token_endpoint)?,
            authorization: endpoint(document.authorization_endpoint)?,
            registration: endpoint(document.registration_endpoint)?,
            revocation: endpoint(document.revocation_endpoint)?,
            offers_s256,
            sends_issuer: document.authorization_response_iss_parameter_supported,
            reads_documents: document.client_id_metadata_document_supported,
            scopes: document.scopes_supported,
            issuer: document.issuer,
        })
    }

    /// A document, or nothing where there is none. A place that fails or leads elsewhere leads to no other place.
    async fn document<T: DeserializeOwned>(&self, place: Url) -> Result<Option<T>, AdvertisedError> {
        let name = shown(place.as_str());
        let json = HeaderValue::from_static("application/json");
        let request = OutboundRequest::new(Method::GET, place).header(header::ACCEPT, json);
        let answer = self.client.send(request).await?;
        match answer.status.as_u16() {
            200 => {
                let read = serde_json::from_slice(&answer.body);
                read.map(Some).map_err(|_| AdvertisedError::Malformed(name))
            }
            401 | 403..=405 | 410 => Ok(None),
            status => Err(AdvertisedError::Status { place: name, status }),
        }
    }

    /// Whether an address is one that may be asked: https, or http where that stays on this machine or is wanted, with
    /// neither user nor fragment.
    pub(super) fn may_be_asked(&self, url: &Url) -> bool {
        let plain = url.scheme() == "http" && (self.plain_http || is_loopback(url));
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        (url.scheme() == "https" || plain) && bare && url.has_host()
    }
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

/// RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Somebody else's text, short and without what could steer a terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|one| matches!(one, '!'..='~') && *one != '`').take(SHOWN).collect()
}
