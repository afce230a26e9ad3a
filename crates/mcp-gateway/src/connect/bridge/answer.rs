//! What comes back for a message: a document, or a stream that ends with the answer.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway_adapters::https::OpenAnswer;
use gateway_proxy::bridge::mirror;
use gateway_proxy::mcp::message::{Message, RawId};
use gateway_proxy::mcp::method::MethodKind;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::events::{Events, Place};
use super::headers::SESSION;
use super::send::Outgoing;
use super::{LARGEST, Wire};
use crate::connect::trouble::{Code, Trouble};

/// How often a stream is taken up again without a message in between.
const MOST_RESUMPTIONS: u32 = 10;
/// How long a stream may go on after its answer.
const TAIL: Duration = Duration::from_secs(2);

/// What the bridge itself learns from an answer.
struct Asked<'a> {
    id: &'a RawId,
    kind: Option<MethodKind>,
    body: &'a Bytes,
    session: Option<HeaderValue>,
    resumes: bool,
}

impl Wire {
    /// Sends a request and brings back its answer, with everything that comes before it.
    pub(super) async fn ask(&self, id: &RawId, message: &Message, body: &Bytes) -> Result<(), Trouble> {
        let kind = message.invocation().map(|call| call.kind);
        let outgoing = match kind {
            Some(MethodKind::Initialize) => Outgoing::first(message, body),
            _ => Outgoing::message(message, body),
        };
        let answer = self.send(&outgoing).await?;
        let session = answer.headers.get(SESSION).cloned();
        let asked = Asked { id, kind, body, session, resumes: !self.is_modern(message) };
        if is_stream(&answer.headers) && answer.status.is_success() {
            return self.follow(answer, &asked).await;
        }
        let reply = self.whole_answer(answer, id).await?;
        self.learn(&asked, &reply);
        self.emit(reply).await;
        Ok(())
    }

    /// Sends what has no answer. Whether it was taken; where it was not, the person hears of it, for the
    /// client cannot.
    pub(super) async fn tell(&self, message: &Message, body: &Bytes) -> bool {
        let sent = Box::pin(self.send(&Outgoing::message(message, body))).await;
        let why = match sent {
            Ok(answer) if answer.status.is_success() => return true,
            Ok(answer) => {
                let status = answer.status.as_u16();
                let words = collected(answer).await.ok().and_then(|bytes| said(&bytes));
                format!("the gateway answered {status}: {}", words.unwrap_or_default())
            }
            Err(trouble) => trouble.to_string(),
        };
        let what = message.invocation().map_or("the client's answer", |call| &*call.method);
        self.notes.say(format_args!("{what} was not delivered: {why}"));
        false
    }

    /// The answer to a request, whatever the form it comes in, and nothing else.
    pub(super) async fn whole_answer(&self, answer: OpenAnswer, id: &RawId) -> Result<Bytes, Trouble> {
        let status = answer.status;
        if is_stream(&answer.headers) && status.is_success() {
            let (mut events, mut place) = (Events::of(answer), Place::default());
            while let Some(message) = events.next(&mut place).await? {
                if answers(&message, id) {
                    return Ok(message);
                }
                self.pass_on(message).await;
            }
            return Err(Trouble::new(Code::Interrupted));
        }
        let bytes = collected(answer).await?;
        if answers(&bytes, id) {
            return Ok(bytes);
        }
        if let Some(addressed) = addressed(&bytes, id) {
            return Ok(addressed);
        }
        Err(Trouble::new(Code::Answer).because(format_args!("HTTP status {}", status.as_u16())))
    }

    async fn follow(&self, answer: OpenAnswer, asked: &Asked<'_>) -> Result<(), Trouble> {
        let (mut events, mut place, mut resumptions) = (Events::of(answer), Place::default(), 0);
        loop {
            match events.next(&mut place).await {
                Ok(Some(message)) if answers(&message, asked.id) => {
                    self.learn(asked, &message);
                    self.emit(message).await;
                    let rest = async {
                        while let Ok(Some(message)) = events.next(&mut place).await {
                            self.pass_on(message).await;
                        }
                    };
                    drop(tokio::time::timeout(TAIL, rest).await);
                    return Ok(());
                }
                Ok(Some(message)) => {
                    resumptions = 0;
                    self.pass_on(message).await;
                }
                Err(trouble) if trouble.code != Code::Interrupted => return Err(trouble),
                ended => {
                    let lost = ended.err().unwrap_or_else(|| Trouble::new(Code::Interrupted));
                    if !asked.resumes || place.last.is_none() || resumptions >= MOST_RESUMPTIONS {
                        return Err(lost);
                    }
                    resumptions += 1;
                    tokio::time::sleep(place.retry).await;
                    events = self.resumed(&place).await.ok_or(lost)?;
                }
            }
        }
    }

    /// Takes a stream up after the last event that was seen (2025-11-25, "Resumability and Redelivery").
    async fn resumed(&self, place: &Place) -> Option<Events> {
        let outgoing = Outgoing::without_body(Method::GET, place.last.as_ref());
        let answer = Box::pin(self.send(&outgoing)).await.ok()?;
        (answer.status.is_success() && is_stream(&answer.headers)).then(|| Events::of(answer))
    }

    /// To the client, if it is a message: standard output carries nothing else.
    pub(super) async fn pass_on(&self, message: Bytes) {
        if serde_json::from_slice::<&RawValue>(&message).is_ok() {
            self.emit(message).await;
        } else {
            self.notes.say("the gateway sent an event that is no JSON; it was dropped");
        }
    }

    fn learn(&self, asked: &Asked<'_>, reply: &[u8]) {
        match asked.kind {
            Some(MethodKind::Initialize) if asked.resumes => {
                self.talk().begins(asked.body.clone(), asked.session.clone(), reply);
            }
            Some(MethodKind::ListTools) => {
                let (found, _) = mirror::annotations(reply);
                self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            }
            _ => {}
        }
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether a message is the answer to the request of this id, however its server writes it.
fn answers(message: &[u8], id: &RawId) -> bool {
    let Ok(Message::Response { id: of, .. }) = Message::parse(message) else { return false };
    let value = |id: &RawId| serde_json::from_str::<serde_json::Value>(id.as_json()).ok();
    of == *id || value(&of) == value(id)
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

/// A refusal that names no request is the answer to the one that was sent.
fn addressed(bytes: &[u8], id: &RawId) -> Option<Bytes> {
    let refusal: Refusal<'_> = serde_json::from_slice(bytes).ok()?;
    let error = refusal.error.get();
    error
        .starts_with('{')
        .then(|| Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{error}}}", id.as_json())))
}

/// The words of a refusal.
fn said(bytes: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    Some(body.pointer("/error/message")?.as_str()?.chars().take(200).collect())
}

async fn collected(mut answer: OpenAnswer) -> Result<Bytes, Trouble> {
    let mut bytes = BytesMut::new();
    let broken = |error| Trouble::new(Code::Interrupted).because(error);
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if bytes.len().saturating_add(chunk.len()) > LARGEST {
            return Err(Trouble::new(Code::TooLarge));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RawId {
        RawId::parse(text).unwrap().unwrap()
    }

    #[test]
    fn an_answer_is_known_by_its_id_in_any_spelling() {
        assert!(answers(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", &id("7")));
        assert!(answers(b"{\"jsonrpc\":\"2.0\",\"id\":\"ab\",\"error\":{}}", &id("\"a\\u0062\"")));
        for other in [
            &b"{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":{}}"[..],
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}",
            b"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}",
            b"7",
        ] {
            assert!(!answers(other, &id("7")));
        }
    }

    #[test]
    fn a_refusal_without_an_id_reaches_its_request_as_it_was_written() {
        let refusal =
            b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-31401, \"data\":{\"z\":1,\"a\":1.0}}}";
        assert_eq!(
            addressed(refusal, &id("\"q\"")).unwrap(),
            "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"error\":{\"code\":-31401, \"data\":{\"z\":1,\"a\":1.0}}}"
        );
        for other in [&b"<html>"[..], b"{}", b"{\"error\":\"invalid_token\"}", b""] {
            assert_eq!(addressed(other, &id("1")), None);
        }
    }
}
