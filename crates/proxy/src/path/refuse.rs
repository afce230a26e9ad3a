//! The one place that turns refusals into answers and evidence.

use bytes::Bytes;
use gateway_core::audit::{Decision, EventKind};
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderValue, Response, StatusCode, header};

use super::admit::Trip;
use super::body::AnswerBody;
use super::inject::REQUEST_ID;
use super::intent::facts;
use crate::bridge::Untranslatable;
use crate::gateway::Gateway;
use crate::mcp::headers::HeaderFault;
use crate::mcp::reply;

/// Answers a refusal and records it.
pub fn refuse(gateway: &Gateway, trip: &Trip, refusal: &Refusal) -> Response<AnswerBody> {
    let text = match (&trip.tool, refusal.code()) {
        // The specification's own words for a tool that does not exist.
        (Some(tool), Code::ToolUnknown) => format!("Unknown tool: {tool}"),
        (_, code) => code.row().text.to_owned(),
    };
    refuse_saying(gateway, trip, refusal, &text, described(refusal.code(), trip))
}

/// Answers a refusal in these words, with more to say than its row does, and records it.
pub(super) fn refuse_saying(
    gateway: &Gateway,
    trip: &Trip,
    refusal: &Refusal,
    text: &str,
    data: serde_json::Value,
) -> Response<AnswerBody> {
    record(gateway, trip, refusal);
    let row = refusal.code().row();
    let body = reply::error(trip.id.as_ref(), i64::from(row.rpc), text, Some(&data));
    let mut response = json(row.status, body, trip);
    if row.status == 401
        && let Ok(challenge) = HeaderValue::from_str(&challenge(gateway, trip, refusal.code()))
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = refusal.retry() {
        let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What every refusal says besides its text.
pub(super) fn described(code: Code, trip: &Trip) -> serde_json::Value {
    let row = code.row();
    serde_json::json!({
        "code": row.code,
        "hint": row.hint,
        "fixer": row.fixer.words(),
        "request_id": trip.request_id,
    })
}

/// Answers a header fault in the protocol's own way, with our stable code beside it.
pub fn refuse_headers(gateway: &Gateway, trip: &Trip, fault: &HeaderFault) -> Response<AnswerBody> {
    let code = match fault {
        HeaderFault::Version { .. } => Code::ProtocolVersion,
        HeaderFault::Metadata(_) => Code::MetadataMissing,
        HeaderFault::Missing(_) | HeaderFault::Malformed(_) | HeaderFault::Mismatch(_) => {
            Code::HeaderMismatch
        }
        HeaderFault::Response => Code::RequestMalformed,
    };
    record(gateway, trip, &Refusal::new(code).because(fault));
    let mut data = described(code, trip);
    if let (Some(members), Some(serde_json::Value::Object(protocol))) = (data.as_object_mut(), fault.data()) {
        members.extend(protocol);
    }
    json(400, reply::error(trip.id.as_ref(), fault.code(), &fault.to_string(), Some(&data)), trip)
}

/// Answers what cannot be said in the server's generation, in the words of the client's.
pub fn refuse_translation(gateway: &Gateway, trip: &Trip, what: &Untranslatable) -> Response<AnswerBody> {
    record(gateway, trip, &Refusal::new(Code::Untranslatable).because(&what.text));
    let data = described(Code::Untranslatable, trip);
    json(what.status, reply::error(trip.id.as_ref(), what.code, &what.text, Some(&data)), trip)
}

/// A JSON answer of ours.
pub(crate) fn json(status: u16, body: Bytes, trip: &Trip) -> Response<AnswerBody> {
    let mut response = plain(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(trip.request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// An answer that belongs to no trip.
pub fn plain(status: u16, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// RFC 6750, section 3, with RFC 9728's pointer to the metadata.
fn challenge(gateway: &Gateway, trip: &Trip, code: Code) -> String {
    let metadata = format!(
        "{}/.well-known/oauth-protected-resource/mcp/{}/{}",
        gateway.settings.public_url, trip.environment, trip.server
    );
    match code {
        Code::TokenMissing => format!("Bearer resource_metadata=\"{metadata}\""),
        _ => format!("Bearer error=\"invalid_token\", resource_metadata=\"{metadata}\""),
    }
}

/// Identified callers leave a record each; strangers are counted, so that they cannot fill the disk.
pub(super) fn record(gateway: &Gateway, trip: &Trip, refusal: &Refusal) {
    let code = refusal.code();
    gateway.metrics.refused(code);
    if let Some(recording) = &trip.recording {
        match &trip.actor {
            Some(_) => recording.refused(code),
            // Whether a stranger's call is recorded must not be up to the stranger.
            None => recording.forget(),
        }
    }
    tracing::debug!(
        request_id = %trip.request_id, code = code.as_str(), inside = refusal.inside().unwrap_or(""), "refused"
    );
    if trip.actor.is_none() {
        gateway.metrics.refused_unidentified();
        return;
    }
    let mut event = facts(trip, EventKind::Refused, gateway.clock.now());
    event.decision = Some(Decision::Deny);
    if let Some(decided) = refusal.decided() {
        decided.clone().enter(&mut event);
    }
    event.reason = Some(code.as_str().to_owned());
    event.epoch = Some(gateway.world.epoch());
    event.lock = refusal.lock().map(Into::into);
    if let Err(error) = gateway.audit.note(event) {
        tracing::error!(%error, "a refusal could not be recorded");
    }
}
