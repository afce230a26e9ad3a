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
use crate::pages::locks;
use crate::parts::{Facts, SEEN, card_address, link, text, words};
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

    /// The field with the name that has to be typed.
    const fn confirmation(self) -> Option<&'static str> {
        match self {
            Self::Revoke | Self::RevokeServer | Self::DisableAgent | Self::DisableWorkload => Some("confirm"),
            Self::RevokeAgent | Self::RevokeWorkload => Some("confirm_revoke"),
            _ => None,
        }
    }

    /// Whether it lets something through: then it is done only on what its page showed. What stops something is done
    /// whatever has changed meanwhile.
    const fn opens(self) -> bool {
        matches!(
            self,
            Self::Approve
                | Self::ApproveObject
                | Self::Review
                | Self::Rotate
                | Self::Enable
                | Self::EnableAgent
                | Self::EnableWorkload
        )
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
    /// The tag of what the page showed, for acts that let something through.
    seen: Option<String>,
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
    let order = match order(&visit, act) {
        Ok(order) => order,
        Err(Unsaid::Minutes) => {
            let asked = unsaid("say for how many minutes, as a whole number");
            let form = locks::form(&visit);
            return visit.answer(Ok(Sheet { content: asked.content.html(&form), ..asked }));
        }
        Err(Unsaid::Malformed) => return visit.answer(Err(Trouble::NotThere)),
    };
    if act.confirmation().is_some_and(|field| !confirmed(&visit, field)) {
        let asked = unsaid("to do that, type the name as it stands");
        return visit.answer(Ok(asked.with(way_back(&order, "Back to it"))));
    }
    match visit.send::<Value>(&order.path, &order.body, order.seen.as_deref()).await {
        Ok(answer) => visit.answer(Ok(done(act, &order, &answer))),
        // What was filled in is not lost.
        Err(trouble) if act == Act::Lock => visit.failed(&trouble, &locks::form(&visit)),
        Err(trouble) => visit.failed(&trouble, &way_back(&order, "Back to it, as it is now")),
    }
}

fn way_back(order: &Order, words: &str) -> Html {
    Html::new().raw("<p>").html(&link(&order.back, words)).raw("</p>")
}

fn done(act: Act, order: &Order, answer: &Value) -> Sheet {
    let facts = answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let facts = facts.fold(Facts::default(), |facts, (name, value)| {
        facts.named(&name.replace('_', " "), &text(&words(value)))
    });
    let waits = answer.get("missing").and_then(Value::as_array).is_some_and(|missing| !missing.is_empty());
    let title = if waits && act == Act::Rotate { "Waits for signatures" } else { act.done() };
    Sheet::new(title, notice(act, answer).html(&facts.finish()).html(&way_back(order, "Go on")))
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
    /// For how long.
    Minutes,
    /// Something that our own pages always send.
    Malformed,
}

fn order(visit: &Visit, act: Act) -> Result<Order, Unsaid> {
    let order = request(visit, act)?;
    let seen = act.opens().then(|| tag(visit)).transpose()?;
    Ok(Order { seen, ..order })
}

/// A tag as the API writes them: nothing that could be a second one.
fn tag(visit: &Visit) -> Result<String, Unsaid> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let tag = visit.query.text(SEEN).filter(|tag| tag.bytes().all(safe));
    tag.map(str::to_owned).ok_or(Unsaid::Malformed)
}

fn request(visit: &Visit, act: Act) -> Result<Order, Unsaid> {
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
        Act::Revoke => binding(visit, "revoke", json!({})),
        Act::ApproveObject => {
            let [kind, environment, name] = ["kind", "environment", "name"].map(|field| plain(visit, field));
            let path = format!("/v1/objects/{}/{}/{}/approve", kind?, environment?, name?);
            let body = json!({ "revision": revision(visit)? });
            Ok(Order { path, body, back: "/console/approvals".to_owned(), seen: None })
        }
        Act::DisableAgent => named(visit, "agents", "disable"),
        Act::EnableAgent => named(visit, "agents", "enable"),
        Act::RevokeAgent => named(visit, "agents", "revoke"),
        Act::DisableWorkload => named(visit, "workloads", "disable"),
        Act::EnableWorkload => named(visit, "workloads", "enable"),
        Act::RevokeWorkload => named(visit, "workloads", "revoke"),
        Act::RevokeServer => {
            let [environment, name] = ["environment", "name"].map(|field| plain(visit, field));
            let place = format!("servers/{}/{}", environment?, name?);
            let (path, back) = (format!("/v1/{place}/revoke"), format!("/console/{place}"));
            Ok(Order { path, body: json!({}), back, seen: None })
        }
        Act::ProbeStore => {
            let path = format!("/v1/stores/{}/probe", plain(visit, "name")?);
            Ok(Order { path, body: json!({}), back: "/console/stores".to_owned(), seen: None })
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
    Ok(Order { path: "/v1/locks".to_owned(), body, back: "/console/locks".to_owned(), seen: None })
}

fn binding(visit: &Visit, verb: &str, body: Value) -> Result<Order, Unsaid> {
    let said = |field| visit.query.text(field).ok_or(Unsaid::Malformed);
    let environment = EnvironmentName::parse(said("environment")?).map_err(|_| Unsaid::Malformed)?;
    let name = BindingName::parse(said("name")?).map_err(|_| Unsaid::Malformed)?;
    let back = card_address(environment.as_str(), name.as_str());
    Ok(Order { path: format!("/v1/bindings/{environment}/{name}/{verb}"), body, back, seen: None })
}

/// Whether the name was typed as it stands.
fn confirmed(visit: &Visit, field: &str) -> bool {
    let typed = visit.query.text(field).map(str::trim);
    typed.is_some() && typed == visit.query.text("name")
}

/// An act on an object that is of no environment.
fn named(visit: &Visit, list: &str, verb: &str) -> Result<Order, Unsaid> {
    let name = plain(visit, "name")?;
    let back = format!("/console/{list}/{name}");
    Ok(Order { path: format!("/v1/{list}/{name}/{verb}"), body: json!({}), back, seen: None })
}

fn ended(visit: &Visit, list: &str, verb: &str) -> Result<Order, Unsaid> {
    let id = plain(visit, "id")?;
    let (path, back) = (format!("/v1/{list}/{id}/{verb}"), format!("/console/{list}"));
    Ok(Order { path, body: json!({}), back, seen: None })
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
