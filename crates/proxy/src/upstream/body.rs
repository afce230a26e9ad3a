//! The body of an upstream's answer, whatever the way it came.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::stdio::ChildStream;
use crate::bridge::stream::Translated;

/// What a server answers with.
#[derive(Debug)]
pub enum UpstreamBody {
    /// From a connection.
    Http(Incoming),
    /// One message, or none.
    Whole(Option<Bytes>),
    /// Events in the client's generation.
    Translated(Box<Translated>),
    /// Messages of a process.
    Child(Box<ChildStream>),
}

/// The upstream's answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct Broken(String);

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Http(body) => Pin::new(body).poll_frame(context).map_err(|error| Broken(error.to_string())),
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Translated(stream) => {
                stream.poll(context).map(|event| event.map(|event| event.map(Frame::data).map_err(Broken)))
            }
            Self::Child(stream) => {
                stream.poll(context).map(|event| event.map(|event| event.map(Frame::data).map_err(Broken)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_none(),
            Self::Translated(stream) => stream.is_over(),
            Self::Child(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(body) => body.size_hint(),
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Translated(_) | Self::Child(_) => SizeHint::default(),
        }
    }
}
