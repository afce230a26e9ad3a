//! What the buttons do: one request of the API each, as the operator who pressed it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::id::{BindingName, EnvironmentName};
use gateway_core::login::Fault;
use gateway_login::page::{Html, refusal};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::frame::Sheet;
use crate::parts::{Facts, card_address, link, text, words};
use crate::router::Console;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Approve,
    ApproveObject,
    Review,
    Rotate,
    Disable,
    Enable,
    Revoke,
    EndGrant,
    EndSession,
    Lock,
    LiftLock,
    DisableAgent,
    EnableAgent,
    RevokeAgent,
    DisableWorkload,
    EnableWorkload,
    RevokeWorkload,
    RevokeServer,
    ProbeStore,
}

impl Act {
    const ALL: [Self; 19] = [
        Self::Approve,
        Self::ApproveObject,
        Self::Review,
        Self::Rotate,
        Self::Disable,
        Self::Enable,
        Self::Revoke,
        Self::EndGrant,
        Self::EndSession,
        Self::Lock,
        Self::LiftLock,
        Self::DisableAgent,
        Self::EnableAgent,
        Self::RevokeAgent,
        Self::DisableWorkload,
        Self::EnableWorkload,
        Self::RevokeWorkload,
        Self::RevokeServer,
        Self::ProbeStore,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::ApproveObject => "approve-object",
            Self::Review => "review",
            Self::Rotate => "rotate",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Revoke => "revoke",
            Self::EndGrant => "end-grant",
            Self::EndSession => "end-session",
            Self::Lock => "lock",
            Self::LiftLock => "lift-lock",
            Self::DisableAgent => "disable-agent",
            Self::EnableAgent => "enable-agent",
            Self::RevokeAgent => "revoke-agent",
            Self::DisableWorkload => "disable-workload",
            Self::EnableWorkload => "enable-workload",
            Self::RevokeWorkload => "revoke-workload",
            Self::RevokeServer => "revoke-server",
            Self::ProbeStore => "probe-store",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Approve | Self::ApproveObject | Self::Review => "Signed",
            Self::Rotate => "Rotated",
            Self::Disable | Self::DisableAgent | Self::DisableWorkload => "Disabled",
            Self::Enable | Self::EnableAgent | Self::EnableWorkload => "Enabled",
            Self::Revoke | Self::RevokeAgent | Self::RevokeWorkload | Self::RevokeServer => "Revoked",
            Self::ProbeStore => "Asked",
            Self::EndGrant => "The grant has ended",
            Self::EndSession => "Ended",
            Self::Lock => "Locked",
            Self::LiftLock => "Lifted",
        }
    }
}

/// The request that an act is, and the page to go on to.
#[derive(Debug)]
struct Order {
    path: String,
    body: Value,
    back: String,
}

/// Takes a form of ours and does what it says.
pub(crate) async fn act(
    State(console): State<Arc<Console>>,
    Path(word): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(act) = Act::ALL.into_iter().find(|act| act.word() == word) else {
        return refusal(Fault::RequestMalformed, &Html::new()).into_response();
    };
    let action = format!("/console/act/{}", act.word());
    let visit = match Visit::of_form(&console, &headers, &body, &action).await {
        Ok(visit) => visit,
        Err(instead) => return instead.into_response(),
    };
    let made = perform(&visit, act).await;
    visit.answer(made)
}

async fn perform(visit: &Visit, act: Act) -> Result<Sheet, Trouble> {
    let order = match order(visit, act) {
        Ok(order) => order,
        Err(Unsaid::Name) => {
            return Ok(unsaid("to do that, type the name as it stands"));
        }
        Err(Unsaid::Minutes) => return Ok(unsaid("say for how many minutes, as a whole number")),
        Err(Unsaid::Malformed) => return Err(Trouble::NotThere),
    };
    let answer = visit.send(&order.path, &order.body).await?;
    let facts = answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let facts = facts.fold(Facts::default(), |facts, (name, value)| {
        facts.named(&name.replace('_', " "), &text(&words(value)))
    });
    let waits = answer.get("missing").and_then(Value::as_array).is_some_and(|missing| !missing.is_empty());
    let title = if waits && act == Act::Rotate { "Waits for signatures" } else { act.done() };
    let content =
        notice(act, &answer).html(&facts.finish()).raw("<p>").html(&link(&order.back, "Go on")).raw("</p>");
    Ok(Sheet::new(title, content))
}

/// What came of it. Asking a store changes nothing, so there is no evidence of it.
fn notice(act: Act, answer: &Value) -> Html {
    let reachable = answer.get("reachable").and_then(Value::as_bool);
    Html::new().raw(match (act, reachable) {
        (Act::ProbeStore, Some(true)) => {
            "<div class=\"notice good\" role=\"status\">The store answers and takes the gateway's login.</div>"
        }
        (Act::ProbeStore, _) => {
            "<div class=\"notice bad\" role=\"alert\">The store does not answer, or refuses the gateway's login.</div>"
        }
        _ => {
            "<div class=\"notice good\" role=\"status\">The gateway has done it, and its evidence is written.</div>"
        }
    })
}

fn unsaid(what: &'static str) -> Sheet {
    let start = Html::new().raw("<p class=\"notice wait\" role=\"alert\">Nothing was done: ");
    Sheet::new("Not confirmed", start.raw(what).raw(".</p>"))
}

/// What a form does not say.
enum Unsaid {
    /// The name that confirms a revocation.
    Name,
    /// For how long.
    Minutes,
    /// Something that our own pages always send.
    Malformed,
}

fn order(visit: &Visit, act: Act) -> Result<Order, Unsaid> {
    match act {
        Act::Approve => binding(visit, "approve", json!({ "revision": revision(visit)? })),
        Act::Rotate => {
            let reference = visit.query.text("reference").map(str::trim).filter(|text| !text.is_empty());
            binding(visit, "rotate", reference.map_or_else(|| json!({}), |to| json!({ "reference": to })))
        }
        Act::Review => {
            let until = visit.query.text("until").map(str::trim).filter(|text| !text.is_empty());
            binding(visit, "review", json!({ "revision": revision(visit)?, "until": until }))
        }
        Act::Disable => binding(visit, "disable", json!({})),
        Act::Enable => binding(visit, "enable", json!({})),
        Act::Revoke => {
            confirmed(visit, "confirm")?;
            binding(visit, "revoke", json!({}))
        }
        Act::ApproveObject => {
            let [kind, environment, name] = ["kind", "environment", "name"].map(|field| plain(visit, field));
            let path = format!("/v1/objects/{}/{}/{}/approve", kind?, environment?, name?);
            let body = json!({ "revision": revision(visit)? });
            Ok(Order { path, body, back: "/console/approvals".to_owned() })
        }
        Act::DisableAgent => named(visit, "agents", "disable", Some("confirm")),
        Act::EnableAgent => named(visit, "agents", "enable", None),
        Act::RevokeAgent => named(visit, "agents", "revoke", Some("confirm_revoke")),
        Act::DisableWorkload => named(visit, "workloads", "disable", Some("confirm")),
        Act::EnableWorkload => named(visit, "workloads", "enable", None),
        Act::RevokeWorkload => named(visit, "workloads", "revoke", Some("confirm_revoke")),
        Act::RevokeServer => {
            confirmed(visit, "confirm")?;
            let [environment, name] = ["environment", "name"].map(|field| plain(visit, field));
            let place = format!("servers/{}/{}", environment?, name?);
            let (path, back) = (format!("/v1/{place}/revoke"), format!("/console/{place}"));
            Ok(Order { path, body: json!({}), back })
        }
        Act::ProbeStore => {
            let path = format!("/v1/stores/{}/probe", plain(visit, "name")?);
            Ok(Order { path, body: json!({}), back: "/console/stores".to_owned() })
        }
        Act::EndGrant => ended(visit, "grants", "revoke"),
        Act::EndSession => ended(visit, "sessions", "terminate"),
        Act::LiftLock => ended(visit, "locks", "lift"),
        Act::Lock => lock(visit),
    }
}

/// A lock names what was filled in, and nothing else.
fn lock(visit: &Visit) -> Result<Order, Unsaid> {
    let parts = ["environment", "server", "tool", "binding", "agent", "user"];
    let said =
        parts.iter().filter_map(|part| Some(((*part).to_owned(), json!(visit.query.text(part)?.trim()))));
    let selector: Map<String, Value> = said.collect();
    let minutes = visit.query.text("minutes").and_then(|text| text.trim().parse::<u64>().ok());
    let minutes = minutes.ok_or(Unsaid::Minutes)?;
    let reason = visit.query.text("reason").unwrap_or_default();
    let body = json!({ "selector": selector, "reason": reason, "seconds": minutes.saturating_mul(60) });
    Ok(Order { path: "/v1/locks".to_owned(), body, back: "/console/locks".to_owned() })
}

fn binding(visit: &Visit, verb: &str, body: Value) -> Result<Order, Unsaid> {
    let said = |field| visit.query.text(field).ok_or(Unsaid::Malformed);
    let environment = EnvironmentName::parse(said("environment")?).map_err(|_| Unsaid::Malformed)?;
    let name = BindingName::parse(said("name")?).map_err(|_| Unsaid::Malformed)?;
    let back = card_address(environment.as_str(), name.as_str());
    Ok(Order { path: format!("/v1/bindings/{environment}/{name}/{verb}"), body, back })
}

/// Whether the name was typed as it stands.
fn confirmed(visit: &Visit, field: &str) -> Result<(), Unsaid> {
    let typed = visit.query.text(field).map(str::trim);
    if typed.is_none() || typed != visit.query.text("name") { Err(Unsaid::Name) } else { Ok(()) }
}

/// An act on an object that is of no environment.
fn named(visit: &Visit, list: &str, verb: &str, confirmation: Option<&str>) -> Result<Order, Unsaid> {
    if let Some(field) = confirmation {
        confirmed(visit, field)?;
    }
    let name = plain(visit, "name")?;
    let back = format!("/console/{list}/{name}");
    Ok(Order { path: format!("/v1/{list}/{name}/{verb}"), body: json!({}), back })
}

fn ended(visit: &Visit, list: &str, verb: &str) -> Result<Order, Unsaid> {
    let id = plain(visit, "id")?;
    Ok(Order { path: format!("/v1/{list}/{id}/{verb}"), body: json!({}), back: format!("/console/{list}") })
}

fn revision(visit: &Visit) -> Result<u32, Unsaid> {
    visit.query.text("revision").and_then(|text| text.parse().ok()).ok_or(Unsaid::Malformed)
}

/// A part of a path that cannot be more than one.
fn plain<'a>(visit: &'a Visit, field: &str) -> Result<&'a str, Unsaid> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    visit
        .query
        .text(field)
        .filter(|text| text.bytes().all(safe) && *text != "." && *text != "..")
        .ok_or(Unsaid::Malformed)
}
