//! Standard output: messages and nothing else, each on a line of its own.

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::Ending;

/// Writes until `closing`, and then what is still there. Says `gone` where nobody reads.
pub(super) async fn write(
    mut messages: mpsc::Receiver<Bytes>,
    mut output: impl AsyncWrite + Unpin,
    closing: Ending,
    gone: Ending,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = messages.recv() => next,
            () = closing.cancelled() => {
                messages.close();
                messages.recv().await
            }
        };
        let Some(message) = next else { return };
        if line(&mut output, &message).await.is_err() {
            gone.cancel();
            return;
        }
    }
}

/// Line breaks within a JSON message stand between its tokens only, where a space says the same.
async fn line(output: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> std::io::Result<()> {
    for part in message.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        match part.split_last() {
            Some((b'\n' | b'\r', text)) => {
                output.write_all(text).await?;
                output.write_all(b" ").await?;
            }
            _ => output.write_all(part).await?,
        }
    }
    output.write_all(b"\n").await?;
    output.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_that_was_written_over_lines_becomes_one() {
        let mut output = Vec::new();
        line(&mut output, b"{\r\n  \"a\": \"x\\ny\"\n}").await.unwrap();
        assert_eq!(output, b"{    \"a\": \"x\\ny\" }\n");
    }

    #[tokio::test]
    async fn what_was_said_before_the_end_is_written() {
        let (send, messages) = mpsc::channel(4);
        let (closing, gone) = (Ending::new(), Ending::new());
        for text in ["1", "2", "3"] {
            send.send(Bytes::from_static(text.as_bytes())).await.unwrap();
        }
        closing.cancel();
        let (mut reader, output) = tokio::io::duplex(64);
        write(messages, output, closing, gone.clone()).await;
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut text).await.unwrap();
        assert_eq!(text, "1\n2\n3\n");
        assert!(!gone.is_cancelled());
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_bridge() {
        let (send, messages) = mpsc::channel(4);
        let gone = Ending::new();
        let (reader, output) = tokio::io::duplex(64);
        drop(reader);
        send.send(Bytes::from_static(b"1")).await.unwrap();
        write(messages, output, Ending::new(), gone.clone()).await;
        assert!(gone.is_cancelled());
    }
}
