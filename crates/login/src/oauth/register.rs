//! Clients that register themselves (RFC 7591): public ones only, so that a registration holds nothing
//! that anybody could steal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use gateway_core::audit::{Decision, EventKind};
use gateway_core::login::Fault;
use gateway_core::ports::{Ticket, TicketKind};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::client::Written;
use super::{json_answer, json_refusal};
use crate::allowance::Allowance;
use crate::context::{Login, Source};
use crate::evidence::About;
use crate::pages::Connected;
use crate::seal::random_id;
use crate::session::unavailable;

/// How long a registration lasts that is not used.
pub(super) const CLIENT_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// The largest registration, in bytes.
const MOST_BYTES: usize = 8 * 1024;
/// Registrations: how many in an hour, of one address and of all.
pub(super) fn allowance() -> Allowance {
    Allowance::new(3_600, 30, 300)
}

pub(super) async fn register(
    State(login): State<Arc<Login>>,
    connected: Connected,
    body: Bytes,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    match take(&login, source, &body).await {
        Ok(document) => json_answer(StatusCode::CREATED, &document),
        Err(fault) => {
            login.refused(fault, About { source, ..About::default() });
            json_refusal(fault)
        }
    }
}

async fn take(login: &Login, source: Option<IpAddr>, body: &[u8]) -> Result<Value, Fault> {
    let facade = login.facade()?;
    if !facade.settings.registration {
        return Err(Fault::RegistrationOff);
    }
    if body.len() > MOST_BYTES {
        return Err(Fault::RegistrationRefused);
    }
    let asked: Written = serde_json::from_slice(body).map_err(|_| Fault::RegistrationRefused)?;
    asked.redirects()?;
    let mut grant_types = vec!["authorization_code".to_owned()];
    if asked.refreshes() {
        grant_types.push("refresh_token".to_owned());
    }
    let id = format!("mcpgw-client-{}", random_id(&*login.random));
    // Every method of authentication becomes `none`, which the answer says (RFC 7591, section 3.2.1).
    let written = Written {
        client_id: None,
        client_name: asked.name(),
        redirect_uris: asked.redirect_uris,
        grant_types: Some(grant_types),
        token_endpoint_auth_method: Some("none".to_owned()),
    };
    let now = login.now();
    if !facade.registrations.admit(source, now) {
        return Err(Fault::RegistrationLimit);
    }
    let mut event =
        login.event(EventKind::ClientRegistered, About { client: Some(&id), source, ..About::default() });
    event.decision = Some(Decision::Allow);
    login.record(event).await?;
    let ticket = Ticket {
        kind: TicketKind::Client,
        key: id.clone(),
        content: serde_json::to_string(&written).map_err(|_| Fault::Unavailable)?,
        expires_at: now.plus(CLIENT_LIFETIME),
    };
    if !login.tickets.insert(&ticket, now).await.map_err(unavailable)? {
        return Err(Fault::Unavailable);
    }
    let mut answer = serde_json::to_value(&written).map_err(|_| Fault::Unavailable)?;
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("client_id".to_owned(), id.into());
        fields.insert("client_id_issued_at".to_owned(), now.seconds().into());
        fields.insert("response_types".to_owned(), json!(["code"]));
    }
    Ok(answer)
}
