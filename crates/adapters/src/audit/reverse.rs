//! Whole lines of a file from its end to its beginning, a block at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: u64 = 256 * 1024;

/// The lines of a file, last first. A last line without its newline is left out.
pub(super) struct ReverseLines {
    file: File,
    /// Bytes of the file before `buffer`.
    before: u64,
    /// What was read and not yet given out; ends where the next line ends, after its newline.
    buffer: Vec<u8>,
    started: bool,
}

impl ReverseLines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let before = file.metadata()?.len();
        Ok(Self { file, before, buffer: Vec::new(), started: false })
    }

    /// The next line towards the beginning, without its newline.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.started {
            self.started = true;
            self.skip_torn()?;
        }
        let mut searched = 1;
        loop {
            let end = self.buffer.len().saturating_sub(searched);
            let newline = self.buffer.get(..end).and_then(|bytes| memchr::memrchr(b'\n', bytes));
            if let Some(newline) = newline {
                return Ok(Some(self.give_from(newline.saturating_add(1))));
            }
            if self.before == 0 {
                return Ok((!self.buffer.is_empty()).then(|| self.give_from(0)));
            }
            let known = self.buffer.len();
            self.read_block()?;
            // Only the new block has not been searched, and the last newline is the line's own.
            searched = known.max(1);
        }
    }

    fn give_from(&mut self, start: usize) -> Vec<u8> {
        let mut line = self.buffer.split_off(start);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        line
    }

    fn skip_torn(&mut self) -> io::Result<()> {
        loop {
            if let Some(newline) = memchr::memrchr(b'\n', &self.buffer) {
                self.buffer.truncate(newline.saturating_add(1));
                return Ok(());
            }
            self.buffer.clear();
            if self.before == 0 {
                return Ok(());
            }
            self.read_block()?;
        }
    }

    fn read_block(&mut self) -> io::Result<()> {
        let length = self.before.min(BLOCK);
        self.before = self.before.saturating_sub(length);
        let mut block = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut block, self.before)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
