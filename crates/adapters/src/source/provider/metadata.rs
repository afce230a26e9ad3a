//! What a provider says about itself (RFC 8414, `OpenID` Connect Discovery 1.0), judged against the pinned
//! specification: the issuer must be the very one, and every endpoint must be at an approved origin.

use gateway_core::manifest::{ProviderEndpoints, ProviderSpec, Registration};
use url::{Origin, Url};

use super::document::Document;
use super::error::ProviderError;
use crate::https::is_loopback;

/// Where a provider is asked, and what it can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProviderMetadata {
    /// The issuer identifier.
    pub issuer: String,
    /// The token endpoint.
    pub token: Url,
    /// The authorization endpoint, where it has one.
    pub authorization: Option<Url>,
    /// The revocation endpoint (RFC 7009), where it offers revocation.
    pub revocation: Option<Url>,
    /// The user info endpoint (`OpenID` Connect Core 1.0, section 5.3), where it has one.
    pub userinfo: Option<Url>,
    /// Whether it promises `iss` in authorization responses (RFC 9207).
    pub sends_issuer: bool,
    /// Whether it offers PKCE with S256 (RFC 7636); what is written out in the manifest is taken to.
    pub offers_s256: bool,
    /// Whether all this was read from the provider, and not written out in the manifest.
    pub discovered: bool,
    /// Whether it says that it reads client id metadata documents.
    pub reads_documents: bool,
    /// The registration endpoint (RFC 7591), where the manifest lets the gateway register itself.
    pub registration: Option<Url>,
    /// The ways of client authentication at the token endpoint; absent where it does not say.
    pub authentication_methods: Option<Vec<String>>,
    /// The same endpoints for clients that prove themselves by certificate (RFC 8705, section 5).
    pub(super) mutual_tls: Aliases,
}

/// Endpoints for connections with a client certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Aliases {
    pub(super) token: Option<Url>,
    pub(super) revocation: Option<Url>,
}

impl ProviderMetadata {
    /// Reads a metadata document.
    ///
    /// # Errors
    /// `provider.malformed`: no such document, another issuer, an endpoint elsewhere.
    pub(super) fn read(spec: &ProviderSpec, document: &[u8]) -> Result<Self, ProviderError> {
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| ProviderError::malformed("the metadata is not the JSON that RFC 8414 describes"))?;
        if document.issuer != spec.issuer {
            return Err(ProviderError::malformed("the metadata is of another issuer"));
        }
        let places = Places::of(spec)?;
        let token = document.token_endpoint.as_deref();
        let token = token.ok_or_else(|| ProviderError::malformed("the metadata names no token endpoint"))?;
        let aliases = &document.mtls_endpoint_aliases;
        // Of no concern to clients that somebody registered: it may be anywhere then.
        let dynamic = spec.client.registration == Registration::Dynamic;
        let registration = document.registration_endpoint.as_deref().filter(|_| dynamic);
        Ok(Self {
            token: places.endpoint("token", token)?,
            authorization: places.optional("authorization", document.authorization_endpoint.as_deref())?,
            revocation: places.optional("revocation", document.revocation_endpoint.as_deref())?,
            userinfo: places.optional("userinfo", document.userinfo_endpoint.as_deref())?,
            sends_issuer: document.authorization_response_iss_parameter_supported,
            offers_s256: document.offers_s256(),
            discovered: true,
            reads_documents: document.client_id_metadata_document_supported,
            registration: places.optional("registration", registration)?,
            authentication_methods: document.token_endpoint_auth_methods_supported,
            mutual_tls: Aliases {
                token: places.optional("token", aliases.token_endpoint.as_deref())?,
                revocation: places.optional("revocation", aliases.revocation_endpoint.as_deref())?,
            },
            issuer: document.issuer,
        })
    }

    /// Takes the endpoints that the manifest writes out.
    ///
    /// # Errors
    /// As [`ProviderMetadata::read`].
    pub(super) fn written(spec: &ProviderSpec, endpoints: &ProviderEndpoints) -> Result<Self, ProviderError> {
        let places = Places::of(spec)?;
        Ok(Self {
            issuer: spec.issuer.clone(),
            token: places.endpoint("token", &endpoints.token)?,
            authorization: places.optional("authorization", endpoints.authorization.as_deref())?,
            revocation: places.optional("revocation", endpoints.revocation.as_deref())?,
            userinfo: None,
            sends_issuer: false,
            offers_s256: true,
            discovered: false,
            reads_documents: false,
            registration: None,
            authentication_methods: None,
            mutual_tls: Aliases::default(),
        })
    }
}

/// The origins that the provider's endpoints may have.
struct Places(Vec<Origin>);

impl Places {
    fn of(spec: &ProviderSpec) -> Result<Self, ProviderError> {
        let all = std::iter::once(&spec.issuer).chain(&spec.origins);
        let parsed = all.map(|text| Url::parse(text).map(|url| url.origin())).collect::<Result<Vec<_>, _>>();
        parsed.map(Self).map_err(|_| ProviderError::malformed("the issuer or one of `origins` is no URL"))
    }

    fn optional(&self, name: &str, text: Option<&str>) -> Result<Option<Url>, ProviderError> {
        text.map(|text| self.endpoint(name, text)).transpose()
    }

    /// Parsed and compared as a whole, never by pattern.
    fn endpoint(&self, name: &str, text: &str) -> Result<Url, ProviderError> {
        let refuse = |why: &str| ProviderError::malformed(format!("the {name} endpoint {why}"));
        let url = Url::parse(text).map_err(|_| refuse("is no URL"))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(refuse("is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refuse("has a user or a fragment"));
        }
        let origin = url.origin();
        if self.0.contains(&origin) { Ok(url) } else { Err(refuse("is at an origin that is not approved")) }
    }
}

/// Where the metadata may be, in the order of asking: RFC 8414, section 3.1 (the well-known part goes before
/// the issuer's path), the same for `OpenID` Connect, and that specification's own way (behind the path).
pub(super) fn locations(issuer: &str) -> Result<Vec<Url>, ProviderError> {
    let base = Url::parse(issuer).map_err(|_| ProviderError::malformed("the issuer is no URL"))?;
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        url
    };
    let mut places = vec![at(&format!("/.well-known/oauth-authorization-server{path}"))];
    places.push(at(&format!("/.well-known/openid-configuration{path}")));
    if !path.is_empty() {
        places.push(at(&format!("{path}/.well-known/openid-configuration")));
    }
    Ok(places)
}
