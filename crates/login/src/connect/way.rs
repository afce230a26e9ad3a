//! A person's way to a provider and back: one state, one browser session, one use.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use gateway_core::actor::Actor;
use gateway_core::audit::{Decision, EventKind};
use gateway_core::connect::{ConnectArrival, ConnectDeparture, Offer};
use gateway_core::lock::LockFacts;
use gateway_core::login::Fault;
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::secret::Secret;
use gateway_core::state::GrantRecord;
use http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::link::Link;
use super::{BEGIN, CALLBACK, host, refused, scope_list};
use crate::context::{Login, Source};
use crate::cookie::Kind;
use crate::evidence::About;
use crate::fields::Fields;
use crate::page::{Html, leading_to, page};
use crate::pages::Connected;
use crate::seal::{Purpose, digest, random_secret};
use crate::session::{Signed, unavailable};

/// How long a person may take at the provider.
const WAY: Duration = Duration::from_mins(10);

/// What is remembered of a way; no secret.
#[derive(Serialize, Deserialize)]
struct Content {
    /// The public id of the browser session that began it.
    session: String,
    /// The person, so that a session of somebody else cannot take it over.
    user: String,
    environment: String,
    provider: String,
    resource: Option<String>,
    scopes: Vec<String>,
}

/// The form of the connect page.
pub(super) async fn begin(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let signed = match login.signed(&headers).await {
        Ok(signed) => signed,
        Err(fault) => return refused(&login, fault, None, connected),
    };
    match depart(&login, signed.as_ref(), &headers, &body).await {
        Ok(response) => response,
        Err(fault) => refused(&login, fault, signed.as_ref(), connected),
    }
}

async fn depart(
    login: &Login,
    signed: Option<&Signed>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Body>, Fault> {
    let signed = signed.ok_or(Fault::SessionMissing)?;
    let fields = Fields::form(headers, body)?;
    login.check_form(headers, &fields, Kind::Session, BEGIN)?;
    // Everything is judged again: the form went through the browser.
    let link = Link::read(fields.required("environment")?, fields.required("provider")?, &fields)?;
    let asked = link.judge(login, &signed.person)?;
    heed_locks(login, signed, &asked.offer)?;
    let state = random_secret(&*login.random);
    let content = Content {
        session: signed.id.clone(),
        user: signed.person.user.to_string(),
        environment: link.environment,
        provider: link.provider,
        resource: asked.offer.resource.clone(),
        scopes: asked.scopes,
    };
    let departure = ConnectDeparture {
        redirect_uri: &login.at(CALLBACK),
        state: &state,
        verifier: &login.key.secret(Purpose::ConnectVerifier, &state),
        scopes: &content.scopes,
    };
    let url = login.connections()?.depart(&asked.offer, &departure).await?;
    let now = login.now();
    let ticket = Ticket {
        kind: TicketKind::Connect,
        key: digest(&state),
        content: serde_json::to_string(&content).map_err(|_| Fault::Unavailable)?,
        expires_at: now.plus(WAY),
    };
    if !login.tickets.insert(&ticket, now).await.map_err(unavailable)? {
        return Err(Fault::Unavailable);
    }
    Ok(leading_to(url.as_str(), &host(&asked.offer.provider.issuer)))
}

/// The way back from the provider.
pub(super) async fn callback(
    State(login): State<Arc<Login>>,
    RawQuery(query): RawQuery,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let signed = match login.signed(&headers).await {
        Ok(signed) => signed,
        Err(fault) => return refused(&login, fault, None, connected),
    };
    let source = connected;
    match arrive(&login, signed.as_ref(), query.as_deref().unwrap_or_default(), source).await {
        Ok(response) => response,
        Err(fault) => refused(&login, fault, signed.as_ref(), connected),
    }
}

async fn arrive(
    login: &Login,
    signed: Option<&Signed>,
    query: &str,
    connected: Connected,
) -> Result<Response<Body>, Fault> {
    let fields = Fields::parse(query.as_bytes())?;
    let state = fields.secret("state").ok_or(Fault::ConnectStateUnknown)?;
    let content = taken(login, &state).await?;
    let signed = signed.ok_or(Fault::SessionMissing)?;
    if content.session != signed.id || content.user != signed.person.user.to_string() {
        return Err(Fault::ConnectOtherSession);
    }
    let (environment, provider) = (&content.environment, &content.provider);
    // What may be connected may have changed while the person was away.
    let offers = login.connections()?.offers(&signed.person)?;
    let offer = offers.into_iter().find(|offer| {
        offer.provider.environment.as_str() == environment
            && offer.provider.name.as_str() == provider
            && offer.resource == content.resource
    });
    let offer = offer.ok_or(Fault::ConnectUnknown)?;
    heed_locks(login, signed, &offer)?;
    let about = About {
        user: Some(&signed.person.user),
        session: Some(&signed.id),
        source: connected.map(|Extension(Source(address))| address),
        client: None,
    };
    let mut event = login.event(EventKind::GrantCreated, about);
    event.decision = Some(Decision::Allow);
    let code = fields.secret("code");
    let arrival = ConnectArrival {
        user: &signed.person.user,
        redirect_uri: &login.at(CALLBACK),
        verifier: &login.key.secret(Purpose::ConnectVerifier, &state),
        scopes: &content.scopes,
        code: code.as_ref(),
        issuer: fields.text("iss"),
        error: fields.text("error"),
        event: &event,
    };
    let grant = login.connections()?.arrive(&offer, &arrival).await?;
    Ok(page(StatusCode::OK, "Connected", &connected_page(&grant, &content.scopes)))
}

/// Nobody connects what a lock stops: the person, the provider or the environment.
fn heed_locks(login: &Login, signed: &Signed, offer: &Offer) -> Result<(), Fault> {
    let actor = Actor { user: Some(signed.person.user.clone()), ..Actor::default() };
    login.heed_locks(&LockFacts {
        environment: Some(&offer.provider.environment),
        actor: Some(&actor),
        provider: Some(&offer.provider.name),
        ..LockFacts::default()
    })
}

/// Takes the way out of the records: whatever comes of it, it is used.
async fn taken(login: &Login, state: &Secret) -> Result<Content, Fault> {
    let taken = login.tickets.take(TicketKind::Connect, &digest(state), login.now()).await;
    let ticket = taken.map_err(unavailable)?.ok_or(Fault::ConnectStateUnknown)?;
    serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)
}

fn connected_page(grant: &GrantRecord, asked: &[String]) -> Html {
    let missing: Vec<String> = asked.iter().filter(|scope| !grant.scopes.contains(scope)).cloned().collect();
    let mut content = Html::new()
        .raw("<p role=\"status\">Your account at <strong>")
        .text(grant.provider.as_str())
        .raw(
            "</strong> is connected. You can close this page, go back to your application and try again.</p>",
        )
        .raw("<p>You granted:</p>")
        .html(&scope_list(&grant.scopes));
    if !missing.is_empty() {
        content = content
            .raw("<p>The provider did not grant everything. Calls that need the rest are refused:</p>")
            .html(&scope_list(&missing));
    }
    content.raw("<p><a href=\"/grants\">Your connected accounts</a></p>")
}
