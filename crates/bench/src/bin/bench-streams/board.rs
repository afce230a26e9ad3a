//! What has arrived where: every event is expected on known streams, once, in order, and in time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The other end of all streams.
#[derive(Default)]
pub(crate) struct Board {
    sent: Cell<Option<Instant>>,
    number: Cell<u64>,
    latencies: RefCell<Vec<Duration>>,
    calm: Cell<usize>,
    comments: Cell<u64>,
    ended: Cell<u64>,
    faults: RefCell<Vec<String>>,
    changed: Notify,
    paused: Cell<bool>,
    resumed: Notify,
}

/// One stream as its client sees it.
pub(crate) struct Seat {
    /// The upstream's number of the stream.
    pub(crate) number: Cell<u64>,
    /// Whether its client stops reading while the board is paused.
    pub(crate) pausable: Cell<bool>,
    flood: Cell<u64>,
    last: Cell<u64>,
    opened: Notify,
}

#[derive(Deserialize)]
struct Notification<'a> {
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Parameters {
    data: Said,
}

#[derive(Deserialize)]
struct Said {
    stream: u64,
    kind: String,
    number: u64,
}

impl Board {
    pub(crate) fn seat() -> Rc<Seat> {
        Rc::new(Seat {
            number: Cell::new(u64::MAX),
            pausable: Cell::new(false),
            flood: Cell::new(0),
            last: Cell::new(0),
            opened: Notify::new(),
        })
    }

    /// From now on the next event is expected; its number is returned.
    pub(crate) fn expect(&self) -> u64 {
        self.number.set(self.number.get() + 1);
        self.latencies.borrow_mut().clear();
        self.sent.set(Some(Instant::now()));
        self.number.get()
    }

    /// Waits until the expected event has arrived on this many streams; how long each took.
    pub(crate) async fn arrivals(&self, count: usize, within: Duration) -> Vec<Duration> {
        self.until(within, || self.latencies.borrow().len() >= count).await;
        let mut latencies = self.latencies.take();
        if latencies.len() != count {
            let number = self.number.get();
            self.fault(format!("event {number} arrived {} times, not {count}", latencies.len()));
        }
        latencies.sort_unstable();
        latencies
    }

    /// Waits until this many floods have ended with their last event.
    pub(crate) async fn calm(&self, count: usize, within: Duration) {
        self.until(within, || self.calm.get() >= count).await;
        let calm = self.calm.get();
        if calm != count {
            self.fault(format!("{calm} floods of {count} came whole"));
        }
    }

    async fn until(&self, within: Duration, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                self.changed.notified().await;
            }
        };
        // What is missing is counted by the caller.
        let _ = tokio::time::timeout(within, waiting).await;
    }

    /// One event of a stream.
    pub(crate) fn event(&self, seat: &Seat, event: &[u8]) {
        if event.starts_with(b":") {
            self.comments.set(self.comments.get() + 1);
            return;
        }
        match read(event) {
            Some(Some(said)) => self.said(seat, &said),
            // The acknowledgement of a listening stream.
            Some(None) => {}
            None => self.fault(format!("not an event: {}", String::from_utf8_lossy(event))),
        }
    }

    fn said(&self, seat: &Seat, said: &Said) {
        if said.kind == "opened" {
            seat.number.set(said.stream);
            seat.opened.notify_one();
            return;
        }
        if said.stream != seat.number.get() {
            self.fault(format!("an event of stream {} on stream {}", said.stream, seat.number.get()));
        }
        match said.kind.as_str() {
            "flood" if said.number == seat.flood.get() => seat.flood.set(said.number + 1),
            "calm" if said.number == seat.flood.get() => self.calm.set(self.calm.get() + 1),
            "event" if said.number == self.number.get() && seat.last.get() < said.number => {
                seat.last.set(said.number);
                if let Some(sent) = self.sent.get() {
                    self.latencies.borrow_mut().push(sent.elapsed());
                }
            }
            kind => self.fault(format!("{kind} {} is lost, late or double", said.number)),
        }
        self.changed.notify_waiters();
    }

    /// A stream ended although nobody ended it.
    pub(crate) fn ended(&self, why: &str) {
        self.ended.set(self.ended.get() + 1);
        self.fault(format!("a stream ended early: {why}"));
    }

    pub(crate) fn fault(&self, why: String) {
        let mut faults = self.faults.borrow_mut();
        // One cause may break thousands of streams.
        if faults.len() < 10 {
            faults.push(why);
        }
    }

    /// Stops or resumes the reading of pausable streams.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
        self.resumed.notify_waiters();
    }

    /// Returns when the stream may be read.
    pub(crate) async fn readable(&self, seat: &Seat) {
        while self.paused.get() && seat.pausable.get() {
            self.resumed.notified().await;
        }
    }

    pub(crate) fn comments(&self) -> u64 {
        self.comments.get()
    }

    pub(crate) fn early_ends(&self) -> u64 {
        self.ended.get()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.borrow().clone()
    }
}

impl Seat {
    /// Waits for the stream's first event.
    pub(crate) async fn opened(&self) {
        self.opened.notified().await;
    }
}

/// What an event says; the inner `None` for a notification of another kind.
fn read(event: &[u8]) -> Option<Option<Said>> {
    let text = std::str::from_utf8(event).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "))?;
    let notification: Notification<'_> = serde_json::from_str(data).ok()?;
    if notification.method != "notifications/message" {
        return Some(None);
    }
    let parameters: Parameters = serde_json::from_str(notification.params?.get()).ok()?;
    Some(Some(parameters.data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, number: u64) -> Vec<u8> {
        let message = serde_json::json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {
            "level": "info", "data": {"stream": 3, "kind": kind, "number": number, "filler": ""}
        }});
        format!("event: message\ndata: {message}\n\n").into_bytes()
    }

    #[tokio::test]
    async fn an_event_that_is_missing_or_double_is_a_fault() {
        let board = Board::default();
        let seat = Board::seat();
        board.event(&seat, &event("opened", 0));
        let number = board.expect();
        board.event(&seat, &event("event", number));
        assert_eq!(board.arrivals(1, Duration::from_secs(1)).await.len(), 1);
        assert!(board.faults().is_empty());
        board.event(&seat, &event("event", number));
        assert_eq!(board.faults().len(), 1, "double");
        board.expect();
        board.arrivals(1, Duration::ZERO).await;
        assert_eq!(board.faults().len(), 2, "missing");
    }

    #[test]
    fn a_gap_in_a_flood_is_a_fault() {
        let board = Board::default();
        let seat = Board::seat();
        board.event(&seat, &event("opened", 0));
        board.event(&seat, &event("flood", 0));
        board.event(&seat, &event("flood", 2));
        assert_eq!(board.faults().len(), 1);
        board.event(&seat, b": a comment\n\n");
        assert_eq!((board.faults().len(), board.comments()), (1, 1));
    }
}
