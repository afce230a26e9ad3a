//! A stream of server-sent events, read for its messages, and for the place to go on from.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gateway_adapters::https::OpenAnswer;
use gateway_proxy::mcp::sse::{EventSplitter, data};
use http::HeaderValue;

use super::LARGEST;
use crate::connect::trouble::{Code, Trouble};

/// Before a stream is taken up again, where the server does not say (SSE, `retry`).
const RETRY: Duration = Duration::from_secs(1);
/// The longest that a server may ask for.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Where a stream can be taken up again.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The last event that was seen.
    pub(super) last: Option<HeaderValue>,
    /// How long to wait before.
    pub(super) retry: Duration,
}

impl Default for Place {
    fn default() -> Self {
        Self { last: None, retry: RETRY }
    }
}

impl Place {
    fn read(&mut self, event: &[u8]) {
        for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let (name, value) = match line.iter().position(|byte| *byte == b':') {
                Some(at) => {
                    (line.get(..at).unwrap_or_default(), line.get(at.saturating_add(1)..).unwrap_or_default())
                }
                None => (line, &b""[..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match name {
                // An empty id takes the place away.
                b"id" if value.is_empty() => self.last = None,
                b"id" => self.last = HeaderValue::from_bytes(value).ok().or_else(|| self.last.take()),
                b"retry" => {
                    let asked = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    if let Some(milliseconds) = asked {
                        self.retry = Duration::from_millis(milliseconds).min(LONGEST_RETRY);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The messages of one answer.
pub(super) struct Events {
    answer: OpenAnswer,
    splitter: EventSplitter,
    ready: VecDeque<Bytes>,
}

impl Events {
    pub(super) fn of(answer: OpenAnswer) -> Self {
        Self { answer, splitter: EventSplitter::new(LARGEST), ready: VecDeque::new() }
    }

    /// The next message; nothing at the end of the stream.
    pub(super) async fn next(&mut self, place: &mut Place) -> Result<Option<Bytes>, Trouble> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                place.read(&event);
                if let Some(message) = data(&event).filter(|message| !message.trim_ascii().is_empty()) {
                    return Ok(Some(Bytes::from(message.into_owned())));
                }
            }
            let chunk = self.answer.chunk().await;
            let Some(chunk) = chunk.map_err(|error| Trouble::new(Code::Interrupted).because(error))? else {
                return Ok(None);
            };
            let pieces = self.splitter.push(&chunk).map_err(|_| Trouble::new(Code::TooLarge))?;
            self.ready.extend(pieces);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_last_id_and_the_pause_is_bounded() {
        let mut place = Place::default();
        place.read(b"id: 7\nretry: 250\ndata: x\n\n");
        assert_eq!(
            (place.last.as_ref().unwrap().as_bytes(), place.retry),
            (&b"7"[..], Duration::from_millis(250))
        );
        place.read(b"data: y\n\n");
        assert_eq!(place.last.as_ref().unwrap(), "7");
        place.read(b"id:8\r\nretry: 999999999\r\n\r\n");
        assert_eq!((place.last.as_ref().unwrap().as_bytes(), place.retry), (&b"8"[..], LONGEST_RETRY));
        place.read(b"id\ndata: z\n\n");
        assert_eq!(place.last, None);
    }
}
