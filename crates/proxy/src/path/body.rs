//! The body of an answer: whole, or a stream that is scrubbed, watched and recorded to its last byte.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use gateway_core::id::Epoch;
use gateway_core::policy::Permit;
use gateway_core::refusal::Code;
use gateway_core::scrub::Scrubber;
use http_body::{Body, Frame, SizeHint};

use super::admit::Trip;
use super::authorize::Aim;
use super::forward::still_permitted;
use super::heartbeat::{self, Heartbeat};
use super::outcome::Trail;
use crate::gateway::Gateway;
use crate::limits::Place;
use crate::live::Pass;
use crate::mcp::listing::{self, Listing};
use crate::mcp::reply;
use crate::mcp::sse::{self, EventSplitter};
use crate::upstream::UpstreamBody;

/// What goes to the caller.
#[derive(Debug)]
pub enum AnswerBody {
    /// All at once.
    Full(Option<Bytes>),
    /// As it comes.
    Live(Box<LiveBody>),
}

/// A stream that was cut: the connection ends without a proper end of the body.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {0}")]
pub struct Cut(Code);

/// How the bytes of a stream are treated.
pub enum Framing {
    /// As one text.
    Text,
    /// As server-sent events, flushed one by one.
    Events,
    /// As server-sent events of which one holds a result to be made this caller's own: a list to be
    /// filtered, or another one that only its cacheability has to be taken from.
    Edited(Box<EventSplitter>, Option<Listing>),
}

/// A stream under way.
pub struct LiveBody {
    /// The gateway, for decisions made anew.
    pub gateway: Arc<Gateway>,
    /// The upstream's body.
    pub upstream: UpstreamBody,
    /// Its framing.
    pub framing: Framing,
    /// Takes values out.
    pub scrubber: Scrubber,
    /// The facts of the call.
    pub trip: Trip,
    /// What was decided.
    pub aim: Aim,
    /// The permit.
    pub permit: Permit,
    /// The epoch the permit was last checked under.
    pub checked: Epoch,
    /// Presence in the gate.
    pub pass: Pass,
    /// Places among the concurrent calls.
    pub places: Vec<Place>,
    /// The open intent.
    pub trail: Option<Trail>,
    /// Chunks ready to go.
    pub ready: VecDeque<Bytes>,
    /// Comments while the upstream is silent; event streams only.
    pub(crate) heartbeat: Option<Heartbeat>,
}

impl std::fmt::Debug for LiveBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveBody").field("request_id", &self.trip.request_id).finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// A whole body.
    pub const fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Full(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Self::Live(live) => live.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Live(live) => live.trail.is_none() && live.ready.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Live(_) => SizeHint::default(),
        }
    }
}

impl LiveBody {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                if let Some(trail) = &mut self.trail {
                    trail.sent(chunk.len() as u64, self.scrubber.redactions());
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if self.trail.is_none() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(why) = self.pass.poll_stopped(context) {
                return self.cut(why);
            }
            if let Err(why) = self.holds() {
                return self.cut(why);
            }
            match Pin::new(&mut self.upstream).poll_frame(context) {
                Poll::Pending => return self.rest(context),
                Poll::Ready(None) => self.end(),
                Poll::Ready(Some(Err(_))) => return self.break_off(Code::UpstreamUnreachable),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not passed on: nothing in MCP uses them, and they would need scrubbing.
                    if let Ok(data) = frame.into_data()
                        && self.take(&data).is_err()
                    {
                        return self.break_off(Code::UpstreamMalformed);
                    }
                }
            }
        }
    }

    /// The upstream is silent: nothing goes out but a heartbeat when it is due. It is none of the
    /// upstream's bytes, and so not counted as such.
    fn rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.heartbeat.as_mut().map(|heartbeat| heartbeat.poll_due(context)) {
            Some(Poll::Ready(())) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(heartbeat::COMMENT)))))
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }

    /// Whether the decision still holds; asked again only when the epoch has moved.
    fn holds(&mut self) -> Result<(), Code> {
        let epoch = self.gateway.world.epoch();
        if epoch == self.checked {
            return Ok(());
        }
        self.checked = epoch;
        let world = self.gateway.world.current();
        let mut now = self.trip_now();
        std::mem::swap(&mut self.trip.started, &mut now);
        let holds = still_permitted(&self.gateway, &world, &self.trip, &self.aim, &self.permit);
        std::mem::swap(&mut self.trip.started, &mut now);
        holds
    }

    fn trip_now(&self) -> gateway_core::time::Timestamp {
        self.gateway.clock.now()
    }

    fn take(&mut self, data: &Bytes) -> Result<(), ()> {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.heard(data);
        }
        match &mut self.framing {
            Framing::Text | Framing::Events => {
                let mut out = Vec::with_capacity(data.len());
                self.scrubber.push(data, &mut out);
                self.queue(out);
            }
            Framing::Edited(splitter, listing) => {
                let listing = *listing;
                for event in splitter.push(data).map_err(|_| ())? {
                    let event = self.edit(&event, listing)?;
                    let mut out = Vec::with_capacity(event.len());
                    self.scrubber.push(&event, &mut out);
                    self.scrubber.flush_event(&mut out);
                    self.queue(out);
                }
            }
        }
        Ok(())
    }

    fn edit(&self, event: &Bytes, listing: Option<Listing>) -> Result<Bytes, ()> {
        let Some(data) = sse::data(event) else { return Ok(event.clone()) };
        if data.trim_ascii().is_empty() {
            return Ok(event.clone());
        }
        let data = Bytes::copy_from_slice(&data);
        let edited = match listing {
            Some(listing) => {
                let keep = |name: &str| {
                    super::answer::visible(&self.gateway, &self.trip, &self.permit, listing, name)
                };
                listing::filter(&data, listing, keep).map_err(|_| ())?.body
            }
            None => listing::privatize(&data).map_err(|_| ())?,
        };
        Ok(if edited == data { event.clone() } else { sse::with_data(event, &edited) })
    }

    fn queue(&mut self, out: Vec<u8>) {
        if !out.is_empty() {
            self.ready.push_back(Bytes::from(out));
        }
    }

    fn end(&mut self) {
        let mut out = Vec::new();
        if let Framing::Edited(splitter, _) = std::mem::replace(&mut self.framing, Framing::Events)
            && let Some(rest) = splitter.finish()
        {
            self.scrubber.push(&rest, &mut out);
        }
        self.scrubber.finish(&mut out);
        if let Some(mut trail) = self.trail.take() {
            trail.sent(out.len() as u64, self.scrubber.redactions());
            trail.finish();
        }
        self.queue(out);
        self.places.clear();
    }

    /// Ends a stream whose decision no longer holds, or whose session was ended. An event stream that
    /// answers a request gets a last event that says so; one that answers none (the listening stream)
    /// a comment, for there is no id that an error could carry.
    fn cut(&mut self, code: Code) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if matches!(self.framing, Framing::Text) {
            return self.break_off(code);
        }
        if let Some(trail) = self.trail.take() {
            trail.fail(code);
        }
        if self.trip.id.is_none() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(format!(": {code}\n\n"))))));
        }
        let row = code.row();
        let data =
            serde_json::json!({"code": row.code, "hint": row.hint, "request_id": self.trip.request_id});
        let error = reply::error(self.trip.id.as_ref(), i64::from(row.rpc), row.text, Some(&data));
        Poll::Ready(Some(Ok(Frame::data(reply::event(&error)))))
    }

    fn break_off(&mut self, code: Code) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(trail) = self.trail.take() {
            trail.fail(code);
        }
        Poll::Ready(Some(Err(Cut(code))))
    }
}
