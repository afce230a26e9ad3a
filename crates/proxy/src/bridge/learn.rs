//! Finding out which generation a server speaks: by its answers, never by its silence. Only a handshake
//! that succeeds in the other generation decides.

use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use http::{Response, StatusCode};

use super::known::Known;
use super::line::{Line, is_events, read};
use super::to_modern::Client;
use super::{Outcome, newer, older};
use crate::gateway::Gateway;
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::method::MethodKind;
use crate::path::forward::{Forwarded, forward};
use crate::path::identify::{Call, Misread};
use crate::path::journey::Journey;
use crate::upstream::UpstreamBody;

/// A modern request to a server nobody knows: sent as it is, and where the answer is no modern one, the
/// server is asked in both generations.
///
/// # Errors
/// As [`super::travel`].
pub(super) async fn modern(journey: Journey<'_>, permit: Permit) -> Result<Outcome, Misread> {
    let Journey { gateway, trip, call, .. } = journey;
    let line = Line::of(journey);
    let first = match forward(journey, permit.clone()).await {
        Ok(forwarded) => judge(gateway, forwarded, call, is_foreign_to_modern).await,
        Err(refusal) if refusal.code() == Code::ProtocolGeneration => Err(Suspect::Refused(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let suspect = match first {
        Ok(forwarded) => {
            if forwarded.response.status().is_success() {
                gateway.generations.note(forwarded.permit.binding(), Known::Modern, trip.started);
            }
            return Ok(Outcome::Upstream(forwarded));
        }
        Err(suspect) => suspect,
    };
    let asked = call.kind() == Some(MethodKind::Discover) || matches!(suspect, Suspect::Refused(_));
    let modern = !asked && older::discover(&line, &permit, &Client::default()).await?.is_some();
    if modern {
        gateway.generations.note(permit.binding(), Known::Modern, trip.started);
        return suspect.stands();
    }
    match newer::session(&line, &permit).await {
        Ok(session) => {
            gateway.generations.note(&session.opened.binding, Known::LegacyOnly, trip.started);
            suspect.discard();
            newer::serve(&line, call, permit).await
        }
        Err(refusal) if refusal.code() == Code::ProtocolGeneration => suspect.stands(),
        Err(refusal) => Err(refusal.into()),
    }
}

/// A handshake of the older generation: sent as it is, and where it is refused, the server is asked
/// whether it is a modern one.
///
/// # Errors
/// As [`super::travel`].
pub(super) async fn legacy(journey: Journey<'_>, permit: Permit) -> Result<Outcome, Misread> {
    let Journey { gateway, trip, call, .. } = journey;
    let line = Line::of(journey);
    let first = match forward(journey, permit.clone()).await {
        Ok(forwarded) => judge(gateway, forwarded, call, is_error).await,
        Err(refusal) if refusal.code() == Code::ProtocolGeneration => Err(Suspect::Refused(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let suspect = match first {
        Ok(forwarded) => return Ok(Outcome::Upstream(forwarded)),
        Err(suspect) => suspect,
    };
    match older::open(&line, call, &permit).await {
        Ok(outcome) => {
            gateway.generations.note(permit.binding(), Known::ModernOnly, trip.started);
            suspect.discard();
            Ok(outcome)
        }
        Err(Misread::Refusal(refusal)) if refusal.code() == Code::ProtocolGeneration => suspect.stands(),
        Err(misread) => Err(misread),
    }
}

/// An answer that may mean the other generation.
enum Suspect {
    Answer(Box<Forwarded>),
    Refused(Refusal),
}

impl Suspect {
    /// It meant what it said.
    fn stands(self) -> Result<Outcome, Misread> {
        match self {
            Self::Answer(forwarded) => Ok(Outcome::Upstream(forwarded)),
            Self::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// The client gets another answer.
    fn discard(self) {
        if let Self::Answer(forwarded) = self {
            forwarded.trail.fail(Code::ProtocolGeneration);
        }
    }
}

/// Looks at an answer that may be foreign. It is read whole for that only where its status, or the
/// handshake it answers, gives reason to.
async fn judge(
    gateway: &Gateway,
    mut forwarded: Forwarded,
    call: &Call,
    is_foreign: fn(&[u8]) -> bool,
) -> Result<Box<Forwarded>, Suspect> {
    let status = forwarded.response.status();
    let handshake = matches!(call.kind(), Some(MethodKind::Discover | MethodKind::Initialize));
    let looks_odd = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    let events = is_events(forwarded.response.headers());
    // A stream that answers a handshake with success is one of the generation it was asked in.
    let whole = looks_odd
        || (handshake && status.is_success() && (!events || call.kind() == Some(MethodKind::Discover)));
    if !whole {
        return Ok(Box::new(forwarded));
    }
    let (mut head, body) = forwarded.response.into_parts();
    let most = gateway.settings.held_answer_bytes;
    let read = tokio::select! {
        biased;
        why = forwarded.pass.stopped() => Err(why),
        read = read(body, events, most) => read,
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(refusal) => {
            forwarded.trail.fail(refusal.code());
            return Err(Suspect::Refused(refusal));
        }
    };
    if events {
        let json = http::HeaderValue::from_static("application/json");
        head.headers.insert(http::header::CONTENT_TYPE, json);
    }
    let foreign = is_foreign(&bytes);
    forwarded.response = Response::from_parts(head, UpstreamBody::Whole(Some(bytes)));
    let forwarded = Box::new(forwarded);
    if foreign { Err(Suspect::Answer(forwarded)) } else { Ok(forwarded) }
}

/// Whether an answer is none that a modern server gives: neither a result nor a modern error.
fn is_foreign_to_modern(body: &[u8]) -> bool {
    match outcome(body) {
        // An answer to `server/discover` with success is judged here too: any server of 2026-07-28 has it.
        Ok((true, _)) => false,
        Ok((false, Some(code))) => !matches!(code, -32022..=-32020 | -32602 | -32603 | -32700),
        Ok((false, None)) | Err(_) => true,
    }
}

/// Whether an answer to `initialize` is anything but a result.
fn is_error(body: &[u8]) -> bool {
    !outcome(body).is_ok_and(|(result, _)| result)
}

/// Whether there is a result, and the code of the error.
fn outcome(body: &[u8]) -> Result<(bool, Option<i64>), JsonError> {
    let (mut result, mut code) = (false, None);
    let mut scanner = Scanner::new(body)?;
    if scanner.peek()? != Kind::Object {
        return Ok((false, None));
    }
    scanner.object(|scanner, key| match key {
        "result" => scanner.skip().map(|()| result = true),
        "error" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| {
            if key == "code" { scanner.raw().map(|raw| code = raw.parse().ok()) } else { scanner.skip() }
        }),
        _ => scanner.skip(),
    })?;
    scanner.finish()?;
    Ok((result, code))
}
