//! Heartbeats of silent event streams, so that no middlebox takes a resting stream for a dead one.
//!
//! A heartbeat is a comment (WHATWG HTML, 9.2.6): clients do not see it. It stands between whole
//! events only, and only where nobody else has sent anything for as long as the setting says.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The comment, with the blank line that sets it apart.
pub(crate) const COMMENT: &[u8] = b":\n\n";

/// The heartbeat of one stream.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    silence: Silence,
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    /// A heartbeat after each `every` of silence; none where that is zero.
    pub(crate) fn new(every: Duration) -> Option<Self> {
        let now = Instant::now();
        (!every.is_zero()).then(|| Self {
            silence: Silence::new(every, now),
            timer: Box::pin(tokio::time::sleep_until(now + every)),
        })
    }

    /// Notes what the upstream sent.
    pub(crate) fn heard(&mut self, bytes: &[u8]) {
        self.silence.heard(bytes, Instant::now());
    }

    /// Ready when a comment is due; to be asked only while the upstream is silent.
    pub(crate) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let due = self.silence.is_due(Instant::now());
            // The timer is set anew here and not with every chunk, which would cost more.
            self.timer.as_mut().reset(self.silence.next);
            if due {
                return Poll::Ready(());
            }
        }
    }
}

/// What the heartbeat decides by: when something was heard last, and how it ended.
#[derive(Debug)]
struct Silence {
    every: Duration,
    since: Instant,
    /// When to look again.
    next: Instant,
    /// The last bytes, newest last; at the start of a stream as after a blank line.
    tail: [u8; 3],
}

impl Silence {
    fn new(every: Duration, now: Instant) -> Self {
        Self { every, since: now, next: now + every, tail: *b"\n\n\n" }
    }

    fn heard(&mut self, bytes: &[u8], now: Instant) {
        self.since = now;
        let new = bytes.iter().rev().take(self.tail.len()).rev();
        for byte in new {
            self.tail.rotate_left(1);
            if let Some(last) = self.tail.last_mut() {
                *last = *byte;
            }
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.since + self.every;
        if now < due {
            self.next = due;
            return false;
        }
        self.next = now + self.every;
        // In the middle of an event the upstream is slow, but not silent for nothing.
        self.is_between_events()
    }

    /// Whether the last line was blank.
    fn is_between_events(&self) -> bool {
        matches!(self.tail, [_, b'\n', b'\n'] | [b'\n', b'\r', b'\n'] | [_, b'\r', b'\r'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(25);

    fn silence() -> (Silence, Instant) {
        let start = Instant::now();
        (Silence::new(EVERY, start), start)
    }

    #[test]
    fn beats_once_for_each_stretch_of_silence() {
        let (mut silence, start) = silence();
        assert!(!silence.is_due(start + EVERY - Duration::from_millis(1)));
        assert_eq!(silence.next, start + EVERY);
        for beat in 1..=3 {
            assert!(silence.is_due(start + EVERY * beat), "beat {beat}");
            assert_eq!(silence.next, start + EVERY * (beat + 1));
        }
    }

    #[test]
    fn what_the_upstream_sends_puts_the_beat_off() {
        let (mut silence, start) = silence();
        let heard = start + Duration::from_secs(20);
        silence.heard(b"data: x\n\n", heard);
        assert!(!silence.is_due(start + EVERY));
        assert_eq!(silence.next, heard + EVERY);
        assert!(silence.is_due(heard + EVERY));
    }

    #[test]
    fn never_beats_inside_an_event() {
        for inside in ["data: x", "data: x\n", "id: 1\r\n", "data: x\r", ": ping\n", "data: x\n\r"] {
            let (mut silence, start) = silence();
            silence.heard(inside.as_bytes(), start);
            assert!(!silence.is_due(start + EVERY), "{inside:?}");
            assert_eq!(silence.next, start + EVERY * 2, "{inside:?}");
        }
    }

    #[test]
    fn beats_after_each_kind_of_blank_line_however_it_is_cut_into_chunks() {
        for whole in ["data: x\n\n", "data: x\r\n\r\n", "data: x\r\r", ": ping\n\n", "\n\n"] {
            for cut in 0..=whole.len() {
                let (mut silence, start) = silence();
                let (first, second) = whole.as_bytes().split_at(cut);
                silence.heard(first, start);
                silence.heard(second, start);
                assert!(silence.is_due(start + EVERY), "{whole:?} cut at {cut}");
            }
        }
    }
}
