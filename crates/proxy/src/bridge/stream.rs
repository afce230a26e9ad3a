//! A server's events on their way to a client of the other generation.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use gateway_core::refusal::Code;
use http_body::Body as _;

use super::client::{Bridged, Running};
use super::link::{Cancelling, Link};
use super::pool::InUse;
use super::{from_legacy, from_modern, mirror};
use crate::mcp::message::RawId;
use crate::mcp::reply;
use crate::mcp::sse::{self, EventSplitter};
use crate::upstream::UpstreamBody;

/// Who listens, and what it needs.
#[derive(Debug)]
pub enum Ear {
    /// A modern client.
    Newer(Box<Newer>),
    /// A client of the older generation.
    Older(Box<Older>),
}

/// A modern client's call at a server of the older generation.
#[derive(Debug)]
pub struct Newer {
    /// What was asked.
    pub asked: from_legacy::Asked,
    /// The way to the server's session, for answering what it asks.
    pub link: Link,
    /// Tells the server when the client goes away.
    pub guard: Cancelling,
    /// Keeps the session from resting.
    pub in_use: InUse,
}

/// A call of the older generation at a modern server.
#[derive(Debug)]
pub struct Older {
    /// The client's id of it.
    pub id: RawId,
    /// The client's session.
    pub session: Arc<Bridged>,
    /// The call among those that may be cancelled.
    pub running: Running,
    /// Whether the answer tells about tools.
    pub lists_tools: bool,
}

/// Something for the client.
#[derive(Debug)]
enum Item {
    Comment(Bytes),
    Note(Bytes),
    Answer(Answer),
}

/// The answer to the call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The message.
    pub body: Bytes,
    /// The HTTP status that goes with it, where it comes alone.
    pub status: u16,
    /// Whether the server found that headers and body differ.
    pub mismatch: bool,
}

/// The stream.
pub struct Translated {
    inner: Box<UpstreamBody>,
    splitter: Option<EventSplitter>,
    queue: VecDeque<Item>,
    ear: Ear,
    /// An answer to the server that is being sent: nothing is read meanwhile.
    work: Option<BoxFuture<'static, ()>>,
    over: bool,
}

impl std::fmt::Debug for Translated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translated").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Ear {
    /// Hears one message out; returns what the client gets, or what the server is to be answered.
    fn hear(&mut self, message: &Bytes) -> Result<(Option<Item>, Option<BoxFuture<'static, ()>>), String> {
        match self {
            Self::Newer(newer) => {
                let heard = from_legacy::hear(&newer.asked, message).map_err(|error| error.to_string())?;
                Ok(match heard {
                    from_legacy::Heard::Answer(body, status) => {
                        newer.guard.disarm();
                        (Some(Item::Answer(Answer { body, status, mismatch: false })), None)
                    }
                    from_legacy::Heard::Note(note) => (Some(Item::Note(note)), None),
                    from_legacy::Heard::Request(answer) => {
                        let answering: BoxFuture<'static, ()> =
                            Box::pin(newer.link.clone().tell("response", answer));
                        (None, Some(answering))
                    }
                    from_legacy::Heard::Aside => (None, None),
                })
            }
            Self::Older(older) => {
                let heard = from_modern::hear(&older.id, message).map_err(|error| error.to_string())?;
                let (body, mismatch) = match heard {
                    from_modern::Heard::Answer(body) => (body, false),
                    from_modern::Heard::Mismatch(body) => (body, true),
                    from_modern::Heard::Note(note) => return Ok((Some(Item::Note(note)), None)),
                    from_modern::Heard::Aside => return Ok((None, None)),
                };
                if older.lists_tools {
                    older.session.learn(mirror::annotations(&body).0);
                }
                Ok((Some(Item::Answer(Answer { body, status: 200, mismatch })), None))
            }
        }
    }

    /// The one message of an answer that is no stream; `None` where it answers something else.
    ///
    /// # Errors
    /// It is no message.
    pub fn hear_whole(&mut self, message: &Bytes) -> Result<Option<Answer>, String> {
        Ok(match self.hear(message)?.0 {
            Some(Item::Answer(answer)) => Some(answer),
            _ => None,
        })
    }
}

impl Translated {
    /// Translates these events; one of them may have `most` bytes.
    pub fn new(inner: UpstreamBody, ear: Ear, most: usize) -> Self {
        let splitter = Some(EventSplitter::new(most));
        Self { inner: Box::new(inner), splitter, queue: VecDeque::new(), ear, work: None, over: false }
    }

    /// Waits for the first message; the answer, if that is it. Then no stream is needed.
    ///
    /// # Errors
    /// The stream is not acceptable, or broke off.
    pub async fn begin(&mut self) -> Result<Option<Answer>, String> {
        loop {
            match self.queue.iter().find(|item| !matches!(item, Item::Comment(_))) {
                Some(Item::Answer(answer)) => return Ok(Some(answer.clone())),
                Some(_) => return Ok(None),
                None if self.over => return Ok(None),
                None => std::future::poll_fn(|context| self.step(context)).await?,
            }
        }
    }

    /// The next bytes for the client.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        loop {
            match self.queue.pop_front() {
                Some(Item::Comment(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(Item::Note(message)) => return Poll::Ready(Some(Ok(event(&message)))),
                Some(Item::Answer(answer)) => return Poll::Ready(Some(Ok(event(&answer.body)))),
                None if self.over => return Poll::Ready(None),
                None => {}
            }
            match self.step(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(why)) => return Poll::Ready(Some(Err(why))),
            }
        }
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.over && self.queue.is_empty()
    }

    /// One step: something was queued, or the end was reached, or neither.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        if let Ear::Older(older) = &self.ear
            && older.running.stop.poll(context).is_ready()
        {
            // The client wants no answer any more, and dropping the stream tells the server.
            self.over = true;
            return Poll::Ready(Ok(()));
        }
        if let Some(work) = &mut self.work {
            if work.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.work = None;
        }
        match Pin::new(&mut *self.inner).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error.to_string())),
            Poll::Ready(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { return Poll::Ready(Ok(())) };
                Poll::Ready(self.take(&data))
            }
        }
    }

    fn take(&mut self, data: &Bytes) -> Result<(), String> {
        let Some(splitter) = &mut self.splitter else { return Ok(()) };
        for piece in splitter.push(data).map_err(|error| error.to_string())? {
            self.hear(&piece)?;
            if self.over {
                break;
            }
        }
        Ok(())
    }

    /// Event ids and retry times go: neither generation can take up the other's streams.
    fn hear(&mut self, piece: &Bytes) -> Result<(), String> {
        let Some(message) = sse::data(piece).filter(|message| !message.trim_ascii().is_empty()) else {
            if piece.starts_with(b":") {
                self.queue.push_back(Item::Comment(piece.clone()));
            }
            return Ok(());
        };
        let (item, work) = self.ear.hear(&Bytes::copy_from_slice(&message))?;
        self.over |= matches!(item, Some(Item::Answer(_)));
        self.queue.extend(item);
        if let Some(work) = work {
            // One after the other; a server that asks much waits for its answers.
            self.work = Some(match self.work.take() {
                None => work,
                Some(earlier) => Box::pin(async move {
                    earlier.await;
                    work.await;
                }),
            });
        }
        Ok(())
    }

    /// The server ended the stream. Without an answer the modern client is told so; a client of the older
    /// generation learns it from the end itself.
    fn end(&mut self) {
        self.over = true;
        if let Ear::Newer(newer) = &mut self.ear {
            newer.guard.disarm();
            let row = Code::UpstreamMalformed.row();
            let data = serde_json::json!({"code": row.code, "hint": row.hint, "fixer": row.fixer.words()});
            let text = "the server ended its stream without an answer";
            let body = reply::error(Some(&newer.asked.id), i64::from(row.rpc), text, Some(&data));
            self.queue.push_back(Item::Answer(Answer { body, status: row.status, mismatch: false }));
        }
    }
}

fn event(message: &[u8]) -> Bytes {
    sse::with_data(b"event: message\ndata: \n\n", message)
}
