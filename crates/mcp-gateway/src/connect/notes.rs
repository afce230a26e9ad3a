//! What the person is told beside the protocol: standard error, for standard output belongs to the client.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines for the person.
#[derive(Clone)]
pub struct Notes(Arc<Mutex<dyn Write + Send>>);

impl Notes {
    /// To standard error.
    #[must_use]
    pub fn standard() -> Self {
        Self::into(io::stderr())
    }

    /// To somewhere else.
    pub fn into(sink: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    /// One line. What others wrote may be part of it: control characters do not reach a terminal.
    pub fn say(&self, text: impl fmt::Display) {
        let mut line: String =
            text.to_string().chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        line.insert_str(0, "mcp-gateway connect: ");
        line.push('\n');
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(sink.write_all(line.as_bytes()).and_then(|()| sink.flush()));
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sheet(Arc<Mutex<Vec<u8>>>);

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_note_is_one_line_and_steers_no_terminal() {
        let sheet = Sheet::default();
        Notes::into(sheet.clone()).say("a\u{1b}[2Jb\nc");
        assert_eq!(sheet.0.lock().unwrap().as_slice(), b"mcp-gateway connect: a [2Jb c\n");
    }
}
