//! The body of a request on its way out, which looks once more before it lets a byte go.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use gateway_core::refusal::Refusal;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::path::last_look::LastLook;

/// A body that a connection asks for when it is about to write the request. Over HTTP/1 the head waits in the
/// connection's buffer for it; over HTTP/2 the head may have left, and the stream is reset.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Full<Bytes>,
    look: Option<LastLook>,
}

/// The request was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the request was withheld: {0}")]
pub(super) struct Withheld(pub(super) Refusal);

impl Outgoing {
    /// The bytes, and who is asked before they go.
    pub(super) const fn new(bytes: Full<Bytes>, look: Option<LastLook>) -> Self {
        Self { bytes, look }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        let outgoing = self.get_mut();
        if let Some(Err(refusal)) = outgoing.look.take().map(|look| look.check()) {
            outgoing.bytes = Full::default();
            return Poll::Ready(Some(Err(Withheld(refusal))));
        }
        Pin::new(&mut outgoing.bytes).poll_frame(context).map_err(|never: Infallible| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
