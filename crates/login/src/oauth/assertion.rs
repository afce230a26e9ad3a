//! Assertions of the enterprise's identity provider (ID-JAG; RFC 7523): a client that the provider lets act
//! for a person gets a token without a browser. Each is good once.

use std::net::IpAddr;

use gateway_core::login::Fault;
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::secret::Secret;
use http::{HeaderMap, Response};

use super::resource::Resource;
use super::token::{Issue, client_id};
use crate::context::Login;
use crate::fields::Fields;
use crate::seal::digest;
use crate::session::unavailable;

/// The grant type (RFC 7523, section 2.1).
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Takes an assertion for an access token. There is no refresh token: the client asks its provider again.
pub(super) async fn by_assertion(
    login: &Login,
    headers: &HeaderMap,
    fields: &Fields,
    source: Option<IpAddr>,
) -> Result<Response<axum::body::Body>, Fault> {
    if !login.facade()?.settings.assertions {
        return Err(Fault::GrantType);
    }
    let client = client_id(headers, fields)?;
    let presented = fields.secret("assertion").ok_or(Fault::RequestMalformed)?;
    let now = login.now();
    let assertion = login.provider.assertion(&presented, login.origin(), now).await?;
    if assertion.client != client {
        return Err(Fault::AssertionRefused);
    }
    // The provider's word about the resource, and the client's, must not differ; one of them must be there.
    let asked = fields.text("resource");
    let audience = match (assertion.resource.as_deref(), asked) {
        (Some(named), Some(asked)) if named != asked => return Err(Fault::ResourceRefused),
        (named, asked) => named.or(asked).ok_or(Fault::ResourceRefused)?.to_owned(),
    };
    Resource::parse(&audience, login.origin())?;
    let used = format!("{}\n{}", assertion.person.user.issuer, assertion.id);
    let mark = Ticket {
        kind: TicketKind::Replay,
        key: format!("id-jag:{}", digest(&Secret::new(used.into_bytes()))),
        content: "{}".to_owned(),
        expires_at: assertion.expires_at,
    };
    if !login.tickets.insert(&mark, now).await.map_err(unavailable)? {
        return Err(Fault::AssertionReplayed);
    }
    let scope = super::token::granted_scope(None, false);
    let issue = Issue { client, audience: &audience, scope: &scope, person: &assertion.person, family: None };
    let access = login.access_token(&issue, source).await?;
    login.token_answer(&access, None, &scope)
}
