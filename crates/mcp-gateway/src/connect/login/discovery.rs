//! Who logs people in for this door: its own metadata (RFC 9728), then the authorization server's (RFC 8414).

use gateway_adapters::https::{OutboundError, OutboundRequest};
use gateway_proxy::mcp::challenge;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Login;
use crate::connect::door::is_safe;
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

#[derive(Deserialize)]
struct Resource {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    registration_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Asks the door, then its authorization server.
pub(super) async fn find(login: &Login, told: Option<String>) -> Result<Authority, Trouble> {
    let place = match told {
        Some(told) => place_told(login, &told)?,
        None => match ask_door(login).await? {
            Some(told) => place_told(login, &told)?,
            None => well_known(login.door.url(), "oauth-protected-resource"),
        },
    };
    let resource: Resource = fetch(login, &place)
        .await?
        .ok_or_else(|| Trouble::new(Code::Metadata).because(format_args!("there is nothing at {place}")))?;
    // A token for another resource would open another door (RFC 9728, section 3.3).
    if resource.resource != login.door.as_str() {
        let why = format!("the metadata is of `{}`, not of `{}`", resource.resource, login.door.as_str());
        return Err(Trouble::new(Code::Metadata).because(why));
    }
    let Some(issuer) = resource.authorization_servers.first() else {
        return Err(Trouble::new(Code::Metadata).because("it names no authorization server"));
    };
    authority(login, issuer, resource.scopes_supported).await
}

/// Only the door's own origin speaks for the door.
fn place_told(login: &Login, told: &str) -> Result<Url, Trouble> {
    let place = Url::parse(told).ok().filter(|place| place.origin() == login.door.url().origin());
    place.ok_or_else(|| Trouble::new(Code::Metadata).because("the challenge leads to another origin"))
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

async fn authority(login: &Login, issuer: &str, mut scopes: Vec<String>) -> Result<Authority, Trouble> {
    let bad = |why: &str| Trouble::new(Code::Metadata).because(format!("`{issuer}` {why}"));
    let place = Url::parse(issuer).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
    let place = place.ok_or_else(|| bad("is no issuer"))?;
    let metadata = document(login, &place).await?.ok_or_else(|| bad("has no metadata"))?;
    if metadata.issuer != issuer {
        let why = format!("asked `{issuer}`, and `{}` answered", metadata.issuer);
        return Err(Trouble::new(Code::Issuer).because(why));
    }
    if !metadata.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(bad("does not know PKCE with S256"));
    }
    let ends = [Some(&metadata.authorization_endpoint), Some(&metadata.token_endpoint)];
    let more = [metadata.registration_endpoint.as_ref(), metadata.revocation_endpoint.as_ref()];
    if !ends.into_iter().chain(more).flatten().all(|url| is_safe(url, login.plain_http)) {
        return Err(bad("names an endpoint that is not https"));
    }
    if metadata.scopes_supported.iter().any(|scope| scope == "offline_access") {
        scopes.push("offline_access".to_owned());
    }
    Ok(Authority {
        issuer: metadata.issuer,
        authorization_endpoint: metadata.authorization_endpoint,
        token_endpoint: metadata.token_endpoint,
        registration_endpoint: metadata.registration_endpoint,
        revocation_endpoint: metadata.revocation_endpoint,
        names_issuer: metadata.authorization_response_iss_parameter_supported,
        reads_documents: metadata.client_id_metadata_document_supported,
        scope: scopes.join(" "),
    })
}

/// In the order of the specification (2026-07-28, "Authorization Server Metadata Discovery").
async fn document(login: &Login, issuer: &Url) -> Result<Option<Metadata>, Trouble> {
    let mut places =
        vec![well_known(issuer, "oauth-authorization-server"), well_known(issuer, "openid-configuration")];
    if issuer.path() != "/" {
        let mut appended = issuer.clone();
        appended
            .set_path(&format!("{}/.well-known/openid-configuration", issuer.path().trim_end_matches('/')));
        places.push(appended);
    }
    for place in places {
        if let Some(found) = fetch(login, &place).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The well-known path goes before the path of the thing itself (RFC 8414, section 3.1; RFC 9728, section 3.1).
fn well_known(of: &Url, name: &str) -> Url {
    let mut place = of.clone();
    place.set_path(&format!("/.well-known/{name}{}", of.path().trim_end_matches('/')));
    place
}

/// A document; nothing where there is none.
async fn fetch<T: DeserializeOwned>(login: &Login, place: &Url) -> Result<Option<T>, Trouble> {
    match login.http.get_json(place).await {
        Ok(found) => Ok(Some(found)),
        Err(OutboundError::Status { status: 400..=499, .. }) => Ok(None),
        Err(error @ (OutboundError::Unreachable { .. } | OutboundError::Timeout(_))) => {
            Err(Trouble::new(Code::Unreachable).because(error))
        }
        Err(error) => Err(Trouble::new(Code::Metadata).because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_places_go_before_the_path() {
        let place = |of: &str, name: &str| well_known(&Url::parse(of).unwrap(), name).to_string();
        assert_eq!(
            place("https://g.example/mcp/dev/a", "oauth-protected-resource"),
            "https://g.example/.well-known/oauth-protected-resource/mcp/dev/a"
        );
        assert_eq!(
            place("https://g.example", "oauth-authorization-server"),
            "https://g.example/.well-known/oauth-authorization-server"
        );
    }
}
