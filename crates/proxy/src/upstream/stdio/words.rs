//! What a process says on its standard error: for the operator's log, scrubbed of what it was given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::id::ServerName;
use gateway_core::scrub::{Needles, Scrubber};
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};
use tokio::time::Instant;

/// The longest line that is logged, in bytes.
const LINE: usize = 2_048;
/// Lines a second that are logged; the rest is counted.
const RATE: u32 = 50;
/// Lines kept for the story of an unexpected end.
const KEPT: usize = 3;

/// Hears a process out.
pub(super) struct Words {
    server: ServerName,
    binding: String,
    scrubber: Scrubber,
    line: Vec<u8>,
    last: VecDeque<String>,
    window: Instant,
    logged: u32,
    silenced: u64,
}

impl Words {
    pub(super) fn new(server: ServerName, binding: String, needles: Arc<Needles>) -> Self {
        Self {
            server,
            binding,
            scrubber: Scrubber::new(needles),
            line: Vec::new(),
            last: VecDeque::new(),
            window: Instant::now(),
            logged: 0,
            silenced: 0,
        }
    }

    /// Reads to the end; returns the last lines.
    pub(super) async fn hear(mut self, mut words: BufReader<impl AsyncRead + Unpin>) -> String {
        let mut chunk = vec![0_u8; 4_096];
        let mut clean = Vec::new();
        while let Ok(length) = words.read(&mut chunk).await {
            clean.clear();
            if length == 0 {
                self.scrubber.finish(&mut clean);
                self.take(&clean);
                self.end_line();
                break;
            }
            self.scrubber.push(chunk.get(..length).unwrap_or_default(), &mut clean);
            self.take(&clean);
        }
        self.last.make_contiguous().join(" | ")
    }

    fn take(&mut self, clean: &[u8]) {
        for byte in clean {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        // Control characters could repaint the operator's terminal.
        let text: String = String::from_utf8_lossy(&self.line)
            .chars()
            .map(|character| if character.is_control() && character != '\t' { ' ' } else { character })
            .collect();
        self.line.clear();
        if text.trim().is_empty() {
            return;
        }
        if self.window.elapsed() > Duration::from_secs(1) {
            self.window = Instant::now();
            self.logged = 0;
            if self.silenced > 0 {
                tracing::warn!(server = %self.server, lines = self.silenced, "a server's process said more than is logged");
                self.silenced = 0;
            }
        }
        self.logged += 1;
        if self.logged <= RATE {
            tracing::info!(target: "stdio", server = %self.server, binding = %self.binding, "{text}");
        } else {
            self.silenced += 1;
        }
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(text.chars().take(200).collect());
    }
}

#[cfg(test)]
mod tests {
    use gateway_core::id::BindingName;
    use gateway_core::scrub::{Marker, NeedleSource};
    use gateway_core::secret::Secret;

    use super::*;

    #[tokio::test]
    async fn what_is_said_is_scrubbed_and_bounded() {
        let secret = Secret::new(b"sk-canary-0123456789abcdef".to_vec());
        let marker = Marker::new(&BindingName::parse("b").unwrap());
        let needles = Needles::build([NeedleSource::Value(&secret)], marker).unwrap();
        let words = Words::new(ServerName::parse("s").unwrap(), "b@1".to_owned(), Arc::new(needles));
        let said = "first\nkey=sk-canary-0123456789abcdef\x1b[2J\nthird\nfourth";
        let heard = words.hear(BufReader::with_capacity(7, said.as_bytes())).await;
        assert!(!heard.contains("canary") && !heard.contains('\x1b'), "{heard}");
        assert!(heard.contains("third") && heard.contains("fourth") && !heard.contains("first"), "{heard}");
    }
}
