//! Server-sent events (WHATWG HTML, 9.2.6): cuts a byte stream into events as the bytes arrive.
//!
//! The pieces, one after the other, are the stream itself, byte for byte. How the stream is
//! chunked makes no difference to where it is cut.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// An event outgrew the limit; the stream must end, for what follows cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {limit} bytes")]
pub struct EventTooLarge {
    /// The limit, in bytes.
    pub limit: usize,
}

/// Finds the borders of events. A piece is one of: an event with its blank line; a comment line
/// that stands before any field (a keep-alive must not wait for the next event); a blank line alone.
#[derive(Debug)]
pub struct EventSplitter {
    limit: usize,
    held: BytesMut,
    line: Line,
    /// Whether the event has a line already.
    has_lines: bool,
    /// Whether the last line of this event ended in a CR alone.
    lone_cr: bool,
    after_cr: AfterCr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    Comment,
    Field,
}

/// What to do once it is known whether an LF follows the CR just read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterCr {
    Nothing,
    EndLine,
    Cut,
}

impl EventSplitter {
    /// `limit` bounds the bytes of one event, and so what is held in memory.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BytesMut::new(),
            line: Line::Empty,
            has_lines: false,
            lone_cr: false,
            after_cr: AfterCr::Nothing,
        }
    }

    /// Takes the next bytes and returns the pieces that are complete now.
    ///
    /// # Errors
    /// [`EventTooLarge`]; the splitter is of no use after it.
    pub fn push(&mut self, chunk: &Bytes) -> Result<Vec<Bytes>, EventTooLarge> {
        let mut pieces = Vec::new();
        let (mut start, mut at) = (0, 0);
        while let Some(&byte) = chunk.get(at) {
            let (read, cut) = if self.after_cr == AfterCr::Nothing {
                self.step(chunk.get(at..).unwrap_or_default())
            } else {
                self.settle(byte)
            };
            at += read;
            if cut {
                pieces.push(self.cut(chunk.slice(start..at))?);
                start = at;
            }
        }
        self.hold(chunk.get(start..).unwrap_or_default())?;
        Ok(pieces)
    }

    /// What is left when the stream ends: an unfinished event, which clients discard, or one that
    /// waited to see whether an LF follows.
    #[must_use]
    pub fn finish(self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.freeze())
    }

    /// Reads up to the next line end: how many bytes, and whether a piece ends there.
    fn step(&mut self, rest: &[u8]) -> (usize, bool) {
        let end = memchr::memchr2(b'\n', b'\r', rest);
        if self.line == Line::Empty && end != Some(0) {
            self.line = if rest.first() == Some(&b':') { Line::Comment } else { Line::Field };
        }
        let Some(end) = end else { return (rest.len(), false) };
        let cuts = match self.line {
            Line::Empty => true,
            Line::Comment => !self.has_lines,
            Line::Field => false,
        };
        if rest.get(end) == Some(&b'\n') {
            self.end_line(false);
            return (end + 1, cuts);
        }
        if cuts && self.lone_cr {
            // The stream ends its lines by CR alone: waiting for one byte more could wait forever.
            // Should an LF follow all the same, it becomes a piece of its own, which carries nothing.
            return (end + 1, true);
        }
        self.after_cr = if cuts { AfterCr::Cut } else { AfterCr::EndLine };
        (end + 1, false)
    }

    /// Reads the LF after a CR, if it is one.
    fn settle(&mut self, byte: u8) -> (usize, bool) {
        let is_lf = byte == b'\n';
        let after = std::mem::replace(&mut self.after_cr, AfterCr::Nothing);
        if after == AfterCr::EndLine {
            self.end_line(!is_lf);
        }
        (usize::from(is_lf), after == AfterCr::Cut)
    }

    fn end_line(&mut self, lone_cr: bool) {
        self.line = Line::Empty;
        self.has_lines = true;
        self.lone_cr = lone_cr;
    }

    fn cut(&mut self, tail: Bytes) -> Result<Bytes, EventTooLarge> {
        self.line = Line::Empty;
        self.has_lines = false;
        self.lone_cr = false;
        if self.held.is_empty() {
            let fits = tail.len() <= self.limit;
            return if fits { Ok(tail) } else { Err(EventTooLarge { limit: self.limit }) };
        }
        self.hold(&tail)?;
        Ok(self.held.split().freeze())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        if self.held.len().saturating_add(bytes.len()) > self.limit {
            return Err(EventTooLarge { limit: self.limit });
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

/// The data of an event: its `data` lines joined by LF; `None` where it has none (a comment, a
/// keep-alive, an `id` alone).
#[must_use]
pub fn data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut joined: Option<Cow<'_, [u8]>> = None;
    for (line, _) in lines(event) {
        let Some(value) = data_line(line) else { continue };
        match &mut joined {
            None => joined = Some(Cow::Borrowed(value)),
            Some(text) => {
                let text = text.to_mut();
                text.push(b'\n');
                text.extend_from_slice(value);
            }
        }
    }
    joined
}

/// The event with other data: all lines but the `data` lines stay as they are, and the new data
/// stands where the first of them stood. An event without data is returned unchanged.
#[must_use]
pub fn with_data(event: &[u8], replacement: &[u8]) -> Bytes {
    let mut output = Vec::with_capacity(event.len().max(replacement.len()) + 16);
    let mut placed = false;
    for (line, ending) in lines(event) {
        if data_line(line).is_none() {
            output.extend_from_slice(line);
            output.extend_from_slice(ending);
        } else if !placed {
            placed = true;
            // An ending may be missing only at the end of an unfinished stream.
            let ending = if ending.is_empty() { b"\n" } else { ending };
            for part in parts(replacement) {
                output.extend_from_slice(b"data: ");
                output.extend_from_slice(part);
                output.extend_from_slice(ending);
            }
        }
    }
    Bytes::from(output)
}

/// The value of a `data` line. A byte order mark, which clients drop at the start of a stream, is
/// looked through anywhere: nothing may hide behind it.
fn data_line(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).strip_prefix(b"data")?;
    let Some(value) = rest.strip_prefix(b":") else { return rest.is_empty().then_some(rest) };
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Lines with their endings (LF, CRLF, CR, or nothing at the very end).
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end)?;
        let length = if after.starts_with(b"\r\n") { 2 } else { after.len().min(1) };
        let (ending, next) = after.split_at_checked(length)?;
        rest = next;
        Some((line, ending))
    })
}

/// What stands between the line ends: one part more than there are line ends.
fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last: &[u8] = b"";
    let open_end = text.is_empty() || text.ends_with(b"\n") || text.ends_with(b"\r");
    lines(text).map(|(line, _)| line).chain(open_end.then_some(last))
}

#[cfg(test)]
mod tests;
