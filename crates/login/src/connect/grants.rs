//! The page of a person's own grants: what they connected, what they could connect, and the end of either.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use gateway_core::audit::{Decision, EventKind};
use gateway_core::connect::Offer;
use gateway_core::grant::GivenBack;
use gateway_core::login::Fault;
use gateway_core::state::GrantRecord;
use gateway_core::time::Timestamp;
use http::{HeaderMap, Response, StatusCode};

use super::link::Link;
use super::{END, GRANTS, refused, scope_list};
use crate::context::{Login, Source};
use crate::cookie::Kind;
use crate::evidence::About;
use crate::fields::Fields;
use crate::form::FIELD;
use crate::page;
use crate::page::Html;
use crate::pages::{Connected, going, sign_out_form};
use crate::session::Signed;
use crate::sign_in::ReturnTo;

pub(super) async fn page(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    match shown(&login, &headers, source).await {
        Ok(response) => response,
        Err(fault) => refused(&login, fault, None, connected),
    }
}

async fn shown(login: &Login, headers: &HeaderMap, source: Option<IpAddr>) -> Result<Response<Body>, Fault> {
    let Some(signed) = login.signed(headers).await? else {
        let way = login.begin(headers, ReturnTo::parse(GRANTS)?, false, source).await?;
        return Ok(going(&way));
    };
    let connections = login.connections()?;
    let (grants, offers) = (connections.grants(&signed.person.user)?, connections.offers(&signed.person)?);
    let mut content = Html::new()
        .raw("<p>You are logged in as <strong>")
        .text(&signed.person.user.subject)
        .raw("</strong> of ")
        .text(&signed.person.user.issuer)
        .raw(". Tools act for you with these accounts, and with no others.</p>");
    if grants.is_empty() {
        content = content.raw("<p>You have connected no account.</p>");
    }
    for grant in &grants {
        content = content.html(&one(login, grant, &signed));
    }
    let open = |offer: &&Offer| {
        grants.iter().all(|grant| {
            grant.provider != offer.provider.name || grant.environment != offer.provider.environment
        })
    };
    let open: Vec<&Offer> = offers.iter().filter(open).collect();
    if !open.is_empty() {
        content = content.raw("<h2>You could connect</h2>");
    }
    for offer in open {
        content = content.html(&could(login, offer));
    }
    let content = content.html(&sign_out_form(login, &signed.cookie));
    Ok(page::page(StatusCode::OK, "Your connected accounts", &content))
}

fn one(login: &Login, grant: &GrantRecord, signed: &Signed) -> Html {
    Html::new()
        .raw("<section><h2>")
        .text(grant.provider.as_str())
        .raw("</h2><dl><dt>Environment</dt><dd>")
        .text(grant.environment.as_str())
        .html(&account(grant))
        .raw("</dd><dt>Connected</dt><dd><time datetime=\"")
        .text(&grant.created_at.to_string())
        .raw("\">")
        .text(&minute(grant.created_at))
        .raw("</time></dd><dt>You granted</dt><dd>")
        .html(&scope_list(&grant.scopes))
        .raw("</dd></dl><form method=\"post\" action=\"/grants/end\">")
        .hidden("grant", &grant.id)
        .hidden(FIELD, &login.form_token(&signed.cookie, END))
        .raw("<button>Disconnect ")
        .text(grant.provider.as_str())
        .raw("</button></form></section>")
}

/// The time for people, to the minute.
fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    let minute: String = text.chars().take("2026-11-26T18:15".len()).collect();
    format!("{} UTC", minute.replace('T', " "))
}

/// The account there, where the provider told it.
fn account(grant: &GrantRecord) -> Html {
    let Some(account) = &grant.account else { return Html::new() };
    Html::new().raw("</dd><dt>Your account there</dt><dd>").text(account)
}

fn could(login: &Login, offer: &Offer) -> Html {
    let provider = &offer.provider;
    let link = Link::plain(offer);
    let address = link.address(login).map(String::from).unwrap_or_default();
    let servers: Vec<&str> = offer.servers.iter().map(gateway_core::id::ServerName::as_str).collect();
    Html::new()
        .raw("<p><a class=\"button\" href=\"")
        .text(&address)
        .raw("\">Connect ")
        .text(provider.name.as_str())
        .raw("</a> in ")
        .text(provider.environment.as_str())
        .raw(", for ")
        .text(&servers.join(", "))
        .raw("</p>")
}

/// The form that ends one.
pub(super) async fn end(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let signed = match login.signed(&headers).await {
        Ok(signed) => signed,
        Err(fault) => return refused(&login, fault, None, connected),
    };
    let source = connected;
    match ended(&login, signed.as_ref(), &headers, &body, source).await {
        Ok(response) => response,
        Err(fault) => refused(&login, fault, signed.as_ref(), connected),
    }
}

async fn ended(
    login: &Login,
    signed: Option<&Signed>,
    headers: &HeaderMap,
    body: &[u8],
    connected: Connected,
) -> Result<Response<Body>, Fault> {
    let signed = signed.ok_or(Fault::SessionMissing)?;
    let fields = Fields::form(headers, body)?;
    login.check_form(headers, &fields, Kind::Session, END)?;
    let about = About {
        user: Some(&signed.person.user),
        session: Some(&signed.id),
        source: connected.map(|Extension(Source(address))| address),
        client: None,
    };
    let mut event = login.event(EventKind::GrantEnded, about);
    event.decision = Some(Decision::Allow);
    let grant = fields.required("grant")?;
    let given = login.connections()?.end(&signed.person.user, grant, &event).await?;
    Ok(page::page(StatusCode::OK, "Disconnected", &told(&given)))
}

/// What ended, and what the provider said: nothing is called revoked that only ended here.
fn told(given: &GivenBack) -> Html {
    let content = Html::new().raw("<p role=\"status\">No call uses this account any more.</p>");
    let content = if given.is_revoked() {
        content.raw("<p>The provider says that it has taken the access back.</p>")
    } else {
        content
            .raw("<p>The provider did not confirm that it has taken the access back (its answer: <code>")
            .text(&given.answer())
            .raw("</code>). Look at the list of connected applications there, or tell your operator.</p>")
    };
    content.raw("<p><a href=\"/grants\">Your connected accounts</a></p>")
}
