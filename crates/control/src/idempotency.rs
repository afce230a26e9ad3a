//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): an act that is sent twice is done once.
//!
//! The key is claimed before the act, in the records that all replicas share, and the answer is kept under it for a
//! day. An answer that shows a token is not kept. Where nobody knows whether the act was done, the next request with
//! the key is refused, and nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway_core::lifecycle::rule;
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::time::Timestamp;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::Caller;
use crate::context::ControlContext;
use crate::problem::Problem;
use crate::wrote::{Wrote, watched};

/// The header.
const NAME: &str = "idempotency-key";
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How many keys are kept at a time: of one operator, so that nobody uses up everybody's, and of all together.
const MOST_OF_ONE: u64 = 1_000;
const MOST: u64 = 10_000;
/// The largest request body that is read and the largest answer that is kept, in bytes.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
const LARGEST_ANSWER: usize = 64 * 1024;
/// What is done by the last words of the paths that take a key.
const ACTS: [&str; 11] = [
    "apply",
    "locks",
    "tokens",
    "approve",
    "review",
    "disable",
    "enable",
    "revoke",
    "rotate",
    "lift",
    "terminate",
];

/// Marks an answer that shows a secret, once: it is never kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownOnce;

/// What is kept under a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// A digest of the request.
    request: String,
    /// How it was answered; absent until it was.
    answer: Option<Answered>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Answered {
    status: u16,
    etag: Option<String>,
    /// Absent where it is not kept: it showed a secret, or is large.
    body: Option<String>,
}

/// Whether a path takes a key.
pub(crate) fn takes_key(method: &str, path: &str) -> bool {
    method == "POST" && path.rsplit('/').next().is_some_and(|word| ACTS.contains(&word))
}

/// Does what is asked under a key once.
pub(crate) async fn once(
    State(context): State<Arc<ControlContext>>,
    request: Request,
    next: Next,
) -> Response {
    match claimed(&context, request).await {
        Ok(Claim::Free(request)) => next.run(request).await,
        Ok(Claim::Ours(request, ticket)) => {
            // A caller who goes away, which is what a key is for, does not end the act halfway (`carried`): its answer
            // is there when the caller comes back.
            let (answer, wrote) = watched(next.run(request)).await;
            settled(&context, ticket, answer, wrote).await
        }
        Ok(Claim::Before(answer)) => answer,
        Err(problem) => problem.into_response(),
    }
}

enum Claim {
    /// No key was sent, or it means nothing here.
    Free(Request),
    /// The first request with the key.
    Ours(Request, Ticket),
    /// A further one, and the answer of the first.
    Before(Response),
}

async fn claimed(context: &ControlContext, request: Request) -> Result<Claim, Problem> {
    let Some(key) = key_of(request.headers())? else { return Ok(Claim::Free(request)) };
    // Every act's path ends in a word of its own, never in a name.
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST && path == "/v1/secrets" {
        return Err(Problem::new(&rule::IDEMPOTENCY_UNSUPPORTED, "a value is stored anew each time"));
    }
    if !takes_key(request.method().as_str(), &path) {
        return Ok(Claim::Free(request));
    }
    let operator = request.extensions().get::<Caller>().map(|caller| caller.0.name.to_string());
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.map_err(|_| Problem::too_large())?;
    let place = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    // The key itself is kept nowhere: what is kept cannot be tried against bodies without it.
    let request = digest(&[key.as_bytes(), place.as_bytes(), &body]);
    let operator = operator.unwrap_or_default();
    let owner = format!("{}.", digest(&[operator.as_bytes()]));
    let ticket_key = format!("{owner}{}", digest(&[operator.as_bytes(), key.as_bytes()]));
    let ticket = ticket(ticket_key, &Kept { request: request.clone(), answer: None }, context.now());
    let rebuilt = Request::from_parts(parts, Body::from(body));
    claim(context, rebuilt, &owner, ticket, &request).await
}

async fn claim(
    context: &ControlContext,
    whole: Request,
    owner: &str,
    ticket: Ticket,
    request: &str,
) -> Result<Claim, Problem> {
    let (kind, now) = (TicketKind::Idempotency, context.now());
    let is_full = context.tickets.count(kind, owner, now).await? >= MOST_OF_ONE
        || context.tickets.count(kind, "", now).await? >= MOST;
    if is_full && context.tickets.read(kind, &ticket.key, now).await?.is_none() {
        return Err(Problem::new(&rule::IDEMPOTENCY_FULL, "no further keys are kept now").after(60));
    }
    if context.tickets.insert(&ticket, now).await? {
        return Ok(Claim::Ours(whole, ticket));
    }
    let found = context.tickets.read(kind, &ticket.key, now).await?;
    let kept = found.and_then(|found| serde_json::from_str::<Kept>(&found.content).ok());
    let unfinished = || {
        Problem::new(&rule::IDEMPOTENCY_UNFINISHED, "the first request with this key has not been answered")
            .after(1)
    };
    let kept = kept.ok_or_else(unfinished)?;
    if kept.request != request {
        let what = "this key was sent with another request";
        return Err(Problem::new(&rule::IDEMPOTENCY_OTHER_REQUEST, what));
    }
    again(kept.answer.ok_or_else(unfinished)?).map(Claim::Before)
}

/// The answer of the first request, once more.
fn again(answered: Answered) -> Result<Response, Problem> {
    let gone = || Problem::new(&rule::IDEMPOTENCY_NOT_KEPT, "it was done, and its answer was not kept");
    let body = answered.body.ok_or_else(gone)?;
    let status = StatusCode::from_u16(answered.status).map_err(|_| gone())?;
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    let etag = answered.etag.and_then(|etag| HeaderValue::from_str(&etag).ok());
    headers.extend(etag.map(|etag| (header::ETAG, etag)));
    Ok(response)
}

/// Keeps the answer of what was done; lets go of the key where nothing was.
async fn settled(context: &ControlContext, ticket: Ticket, answer: Response, wrote: Wrote) -> Response {
    let status = answer.status();
    if !status.is_success() && wrote == Wrote::Nothing {
        let taken = context.tickets.take(TicketKind::Idempotency, &ticket.key, context.now()).await;
        if let Err(error) = taken {
            tracing::warn!(%error, "a key for one act stays claimed although nothing was done");
        }
        return answer;
    }
    if !status.is_success() {
        // Written, or perhaps, and not in force everywhere: the next request must not write it again.
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Problem::busy().into_response() };
    let secret = parts.extensions.get::<ShownOnce>().is_some();
    let etag = parts.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let answered = Answered { status: status.as_u16(), etag, body: kept_body(&body, secret) };
    if let Ok(before) = serde_json::from_str::<Kept>(&ticket.content) {
        let kept = Kept { answer: Some(answered), ..before };
        let full = self::ticket(ticket.key.clone(), &kept, context.now());
        let replaced = context.tickets.replace(&ticket.content, &full, context.now()).await;
        if !matches!(replaced, Ok(true)) {
            tracing::warn!("an answer could not be kept under its key: the next request with it is refused");
        }
    }
    Response::from_parts(parts, Body::from(body))
}

fn kept_body(body: &Bytes, secret: bool) -> Option<String> {
    let keeps = !secret && body.len() <= LARGEST_ANSWER;
    keeps.then(|| String::from_utf8(body.to_vec()).ok()).flatten()
}

fn ticket(key: String, kept: &Kept, now: Timestamp) -> Ticket {
    let content = serde_json::to_string(kept).unwrap_or_default();
    Ticket { kind: TicketKind::Idempotency, key, content, expires_at: now.plus(KEPT) }
}

/// A structured string in quotes, as the draft has it, or the same without them.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if values.next().is_some() || !(8..=128).contains(&key.len()) || !key.bytes().all(allowed) {
        let what = "a key is 8 to 128 letters, digits, `.`, `_`, `:` and `-`, and is sent once";
        return Err(Problem::new(&rule::IDEMPOTENCY_KEY, what));
    }
    Ok(Some(key.to_owned()))
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}
