//! Standard input: one message on a line (stdio transport), of a size that is bounded.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use super::LARGEST;

/// What stands on a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// Something that may be a message.
    Message(Bytes),
    /// More than is carried; it was read to its end and dropped.
    TooLarge,
}

/// Reads until the client closes its side, or nobody listens any more.
pub(super) async fn read(input: impl AsyncRead + Unpin, lines: mpsc::Sender<Line>) -> io::Result<()> {
    read_up_to(LARGEST, input, lines).await
}

async fn read_up_to(
    limit: usize,
    mut input: impl AsyncRead + Unpin,
    lines: mpsc::Sender<Line>,
) -> io::Result<()> {
    let (mut held, mut searched, mut too_large) = (BytesMut::with_capacity(64 * 1024), 0, false);
    loop {
        held.reserve(64 * 1024);
        let ended = input.read_buf(&mut held).await? == 0;
        while let Some(end) = memchr::memchr(b'\n', held.get(searched..).unwrap_or_default()) {
            let mut line = held.split_to(searched.saturating_add(end).saturating_add(1));
            searched = 0;
            line.truncate(line.len().saturating_sub(1));
            let whole =
                if std::mem::take(&mut too_large) { Some(Line::TooLarge) } else { message(line.freeze()) };
            if let Some(line) = whole
                && lines.send(line).await.is_err()
            {
                return Ok(());
            }
        }
        searched = held.len();
        if held.len() > limit {
            (too_large, searched) = (true, 0);
            held.clear();
        }
        if ended {
            // A last line without its end is a message as well.
            let last = if too_large { Some(Line::TooLarge) } else { message(held.freeze()) };
            if let Some(line) = last {
                drop(lines.send(line).await);
            }
            return Ok(());
        }
    }
}

/// Blank lines say nothing.
fn message(line: Bytes) -> Option<Line> {
    if line.trim_ascii().is_empty() { None } else { Some(Line::Message(line)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(limit: usize, input: &'static [u8]) -> Vec<Line> {
        let (send, mut received) = mpsc::channel(64);
        read_up_to(limit, input, send).await.unwrap();
        let mut all = Vec::new();
        while let Some(line) = received.recv().await {
            all.push(line);
        }
        all
    }

    fn message(text: &'static str) -> Line {
        Line::Message(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn each_line_is_a_message_and_blank_ones_are_none() {
        assert_eq!(
            lines(64, b"{\"a\":1}\n\n \r\n{\"b\":2}\r\n{}").await,
            [message("{\"a\":1}"), message("{\"b\":2}\r"), message("{}")]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_large_is_said_and_the_next_one_is_read() {
        let (send, mut received) = mpsc::channel(64);
        let (mut client, input) = tokio::io::duplex(16);
        let reading = tokio::spawn(read_up_to(32, input, send));
        tokio::io::AsyncWriteExt::write_all(&mut client, &[b'x'; 200]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, b"\n{}\n").await.unwrap();
        drop(client);
        reading.await.unwrap().unwrap();
        assert_eq!(received.recv().await, Some(Line::TooLarge));
        assert_eq!(received.recv().await, Some(message("{}")));
        assert_eq!(received.recv().await, None);
    }
}
