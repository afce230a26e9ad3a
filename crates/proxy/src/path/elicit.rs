//! Beside the way: a call that lacks a user's consent at a provider, and could be made with it. The person is
//! asked through the client, in the client's generation; who cannot be asked is told where to go.

use bytes::Bytes;
use gateway_core::connect::ConnectWish;
use gateway_core::consent::Consent;
use gateway_core::manifest::CredentialSource;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use http::Response;
use url::Url;

use super::admit::Trip;
use super::authorize::authorize;
use super::body::AnswerBody;
use super::forward::is_still;
use super::identify::{Call, Misread};
use super::journey::Journey;
use super::refuse::{described, json, record, refuse_saying};
use crate::bridge::{self, Outcome, edit};
use crate::mcp::elicitation::{self, Answer, KEY};
use crate::mcp::headers::PROTOCOL_VERSION;
use crate::mcp::message::{Invocation, Message};
use crate::mcp::method::MethodKind;
use crate::mcp::reply;
use crate::mcp::version::{Generation, ProtocolVersion};

/// The way in which a client can be asked to show a person an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `URLElicitationRequiredError` (2025-11-25).
    Error,
    /// A result that asks for input (2026-07-28).
    Result,
}

/// A person's no ends the call, also where consent has come about meanwhile.
///
/// # Errors
/// [`Code::GrantMissing`].
pub(crate) fn heed(call: &Call, permit: &Permit) -> Result<(), Refusal> {
    let asks = matches!(permit.binding().spec.source, Some(CredentialSource::Grant(_)));
    if asks && call.answer() == Some(Answer::Refused) {
        let declined = Refusal::new(Code::GrantMissing).because("the person declined to connect an account");
        return Err(declined.under(permit));
    }
    Ok(())
}

/// The body without the answer to the gateway's own question, which the server has not asked. Every other
/// byte stays as it was written.
///
/// # Errors
/// The body is not acceptable JSON, which its parser has ruled out before.
pub(crate) fn without_answer(call: &Call) -> Result<Bytes, Refusal> {
    let malformed = |error: &dyn std::fmt::Display| Refusal::new(Code::RequestMalformed).because(error);
    let text = std::str::from_utf8(&call.body).map_err(|error| malformed(&error))?;
    let invocation = call.message.as_ref().and_then(Message::invocation);
    let cut: edit::Path = if invocation.is_some_and(|invocation| invocation.params.answers.others) {
        &["params", "inputResponses", KEY]
    } else {
        &["params", "inputResponses"]
    };
    edit::without(text, &[cut]).map(Bytes::from).map_err(|error| malformed(&error))
}

/// Asks for what is lacking. A retry of a person who said yes waits a while for what they are doing in the
/// browser, and goes on once that is done: clients come back at once, and only a few times.
///
/// # Errors
/// What the call meets when it goes on.
pub(crate) async fn elicit(journey: Journey<'_>, refusal: Refusal) -> Result<Outcome, Misread> {
    let Some(consent) = refusal.consent() else { return Err(refusal.into()) };
    let Journey { gateway, trip, call, aim, .. } = journey;
    let way = way(call);
    let said_yes = way == Some(Way::Result) && call.answer() == Some(Answer::Accepted);
    if !(said_yes && is_given_in_time(journey, consent).await) {
        return Ok(Outcome::Own(ask(journey, &refusal, consent, way)));
    }
    let world = gateway.world.current();
    if !is_still(&world, trip, &call.identity) {
        return Err(Refusal::new(Code::BindingEnded)
            .because("the caller is no longer the same actor")
            .into());
    }
    // Decided as a call that begins now: what the person took their time for has to hold now.
    let trip = &Trip { started: gateway.clock.now(), ..trip.clone() };
    let journey = Journey { trip, ..journey };
    let permit = authorize(gateway, &world, trip, &call.identity, aim)?;
    match bridge::travel(journey, permit).await {
        Err(Misread::Refusal(refusal)) => match refusal.consent() {
            Some(consent) => Ok(Outcome::Own(ask(journey, &refusal, consent, way))),
            None => Err(refusal.into()),
        },
        outcome => outcome,
    }
}

/// Waits until the user's grant covers what is lacking; `false` where it does not within the time.
async fn is_given_in_time(journey: Journey<'_>, consent: &Consent) -> bool {
    let Journey { gateway, trip, .. } = journey;
    let Some(user) = trip.actor.as_ref().and_then(|actor| actor.user.as_ref()) else { return false };
    let Some(_waiting) = gateway.wait_for_person() else { return false };
    let given = gateway.world.until(|world| {
        let grant = world.snapshot.grant(&trip.environment, &consent.provider, user);
        gateway.is_draining() || grant.is_some_and(|grant| consent.is_given(grant))
    });
    tokio::time::timeout(gateway.settings.connect_wait, given).await.is_ok() && !gateway.is_draining()
}

/// How the client can be asked.
fn way(call: &Call) -> Option<Way> {
    let Some(Message::Request { call: invocation, .. }) = &call.message else { return None };
    match call.generation {
        Generation::Modern => {
            let params = &invocation.params;
            // A round that the server has begun is not broken into: its state could not be given back.
            let own = !params.resumes_state && !params.answers.others;
            let takes_input = matches!(
                invocation.kind,
                MethodKind::CallTool | MethodKind::GetPrompt | MethodKind::ReadResource
            );
            (takes_input && own && params.shows_addresses).then_some(Way::Result)
        }
        Generation::Legacy => shows_addresses_in_session(call, invocation).then_some(Way::Error),
    }
}

/// Whether a client of the older generation speaks 2025-11-25, the only version of it with addresses, and has
/// said in its handshake that it shows them.
fn shows_addresses_in_session(call: &Call, invocation: &Invocation) -> bool {
    let knowing = ProtocolVersion::V20251125.as_str();
    if invocation.kind == MethodKind::Initialize {
        let params = &invocation.params;
        return params.proposed_version.as_deref() == Some(knowing) && params.shows_addresses;
    }
    let stated = call.headers.get(PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    let handshake = call.session.as_ref().and_then(|session| Message::parse(&session.handshake).ok());
    let declared =
        handshake.as_ref().and_then(Message::invocation).is_some_and(|said| said.params.shows_addresses);
    stated == Some(knowing) && declared
}

/// Asks in the client's own way, or says where to go. Either is a refused call in the evidence.
fn ask(journey: Journey<'_>, refusal: &Refusal, consent: &Consent, way: Option<Way>) -> Response<AnswerBody> {
    let Journey { gateway, trip, .. } = journey;
    let address = address(journey, consent);
    let mut data = described(refusal.code(), trip);
    let text = refusal.code().row().text;
    match (address, way) {
        (Some(address), Some(Way::Result)) => {
            record(gateway, trip, refusal);
            let result = elicitation::input_required(&address, &question(journey, refusal, consent));
            json(200, reply::result(trip.id.as_ref(), &result), trip)
        }
        (Some(address), Some(Way::Error)) => {
            record(gateway, trip, refusal);
            // The elicitation is named by the request, so that its trace can be found.
            let message = question(journey, refusal, consent);
            let wanted = elicitation::required(trip.request_id.as_str(), &address, &message);
            add(&mut data, "elicitations", wanted);
            json(200, reply::error(trip.id.as_ref(), elicitation::REQUIRED, text, Some(&data)), trip)
        }
        (address, _) => {
            add(&mut data, "needs", needs(journey, consent));
            let Some(address) = address else { return refuse_saying(gateway, trip, refusal, text, data) };
            add(&mut data, "connect_url", serde_json::Value::from(address.as_str()));
            refuse_saying(gateway, trip, refusal, &format!("{text}: {address}"), data)
        }
    }
}

fn add(data: &mut serde_json::Value, name: &str, value: serde_json::Value) {
    if let Some(members) = data.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The page on which the caller's own user agrees.
fn address(journey: Journey<'_>, consent: &Consent) -> Option<Url> {
    let Journey { gateway, trip, .. } = journey;
    let user = trip.actor.as_ref()?.user.as_ref()?;
    let scopes: Vec<&str> = consent.scopes.iter().map(String::as_str).collect();
    gateway.connect.as_ref()?.address(&ConnectWish {
        user,
        environment: &trip.environment,
        server: &trip.server,
        provider: &consent.provider,
        scopes: &scopes,
        resource: consent.resource.as_deref(),
        now: gateway.clock.now(),
    })
}

/// Who has to agree to what, where: about the caller's own user only.
fn needs(journey: Journey<'_>, consent: &Consent) -> serde_json::Value {
    let user = journey.trip.actor.as_ref().and_then(|actor| actor.user.as_ref()).map(ToString::to_string);
    serde_json::json!({ "user": user, "provider": consent.provider.as_str(), "scopes": consent.scopes })
}

/// What the person reads beside the address.
fn question(journey: Journey<'_>, refusal: &Refusal, consent: &Consent) -> String {
    let Consent { provider, .. } = consent;
    let server = &journey.trip.server;
    match refusal.code() {
        Code::GrantScopeMissing => format!(
            "This call to `{server}` needs more rights than you have granted at `{provider}`. Open the page and agree to them, then go on."
        ),
        _ => format!(
            "`{server}` acts for you with your account at `{provider}`. Open the page and connect the account, then go on."
        ),
    }
}
