//! Streams that are held open: an event to one or to all, and floods that show who holds back.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// Text of one event of a flood.
const FLOOD_EVENT: usize = 16 * 1024;

/// All open streams.
#[derive(Default)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u64, Rc<Stream>>>,
    next: Cell<u64>,
}

#[derive(Default)]
struct Stream {
    queue: RefCell<VecDeque<Bytes>>,
    waker: RefCell<Option<Waker>>,
    /// Bytes of the flood still to come, or none.
    left: Cell<u64>,
    /// Flood events taken by the connection so far.
    taken: Cell<u64>,
}

/// The body of one open stream; dropping it ends the stream.
pub(crate) struct Held {
    number: u64,
    stream: Rc<Stream>,
    streams: Rc<Streams>,
}

impl Streams {
    /// Opens a stream whose first events are `first` and one that says its number.
    pub(crate) fn open(self: &Rc<Self>, first: Option<Bytes>) -> Held {
        let number = self.next.replace(self.next.get() + 1);
        let stream = Rc::new(Stream::default());
        stream.queue.borrow_mut().extend(first);
        stream.send(event(number, "opened", 0, ""));
        self.open.borrow_mut().insert(number, Rc::clone(&stream));
        Held { number, stream, streams: Rc::clone(self) }
    }

    /// Does what the path and query say, and answers with the state of all streams in JSON; `None`
    /// for a path that is not known.
    pub(crate) fn command(&self, path: &str, query: &str) -> Option<String> {
        if !path.starts_with("/streams") {
            return None;
        }
        let values = |name: &str| {
            let prefix = format!("{name}=");
            let of = query.split('&').filter_map(move |pair| pair.strip_prefix(&prefix)?.parse::<u64>().ok());
            of.collect::<Vec<_>>()
        };
        let (streams, value) = (values("stream"), |name: &str| values(name).first().copied().unwrap_or(0));
        match path {
            "/streams" => {}
            "/streams/event" => self.each(&streams, |number, stream| {
                stream.send(event(number, "event", value("number"), ""));
            }),
            "/streams/flood" => self.each(&streams, |_, stream| {
                stream.left.set(value("bytes"));
                stream.wake();
            }),
            // Each flooded stream ends its flood with an event that says how many there were.
            "/streams/calm" => self.each(&streams, |number, stream| {
                stream.left.set(0);
                stream.send(event(number, "calm", stream.taken.get(), ""));
            }),
            _ => return None,
        }
        Some(self.state())
    }

    /// The named streams, or all where none is named.
    fn each(&self, numbers: &[u64], act: impl Fn(u64, &Stream)) {
        let open = self.open.borrow();
        if numbers.is_empty() {
            open.iter().for_each(|(number, stream)| act(*number, stream));
        }
        for number in numbers {
            if let Some(stream) = open.get(number) {
                act(*number, stream);
            }
        }
    }

    fn state(&self) -> String {
        let open = self.open.borrow();
        let taken: u64 = open.values().map(|stream| stream.taken.get()).sum();
        let held_back = open.values().filter(|stream| stream.left.get() > 0).count();
        format!(r#"{{"open":{},"flood_events":{taken},"held_back":{held_back}}}"#, open.len())
    }
}

impl Stream {
    fn send(&self, event: Bytes) {
        self.queue.borrow_mut().push_back(event);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn next(&self, number: u64) -> Option<Bytes> {
        let left = self.left.get();
        if left > 0 {
            self.left.set(left.saturating_sub(FLOOD_EVENT as u64));
            let count = self.taken.replace(self.taken.get() + 1);
            return Some(event(number, "flood", count, &"x".repeat(FLOOD_EVENT)));
        }
        self.queue.borrow_mut().pop_front()
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(event) = self.stream.next(self.number) {
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        *self.stream.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.streams.open.borrow_mut().remove(&self.number);
    }
}

fn event(stream: u64, kind: &str, number: u64, filler: &str) -> Bytes {
    Bytes::from(format!(
        concat!(
            "event: message\ndata: ",
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"#,
            r#"{{"stream":{stream},"kind":"{kind}","number":{number},"filler":"{filler}"}}}}}}"#,
            "\n\n"
        ),
        stream = stream,
        kind = kind,
        number = number,
        filler = filler
    ))
}
