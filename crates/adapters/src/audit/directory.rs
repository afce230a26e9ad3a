//! The audit directory: what its files are called, and how their lines are read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gateway_core::audit::chain::Header;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::sync_directory;

/// The signed checkpoints, one JSON line each.
pub(super) const CHECKPOINTS: &str = "checkpoints.jsonl";
/// The signed anchors, one JSON line each: which segments were removed on purpose.
pub(super) const ANCHORS: &str = "anchors.jsonl";
/// Which key followed which, one signed JSON line each.
pub(super) const HANDOVERS: &str = "checkpoint-keys.jsonl";
/// The derived indexes; whoever deletes them loses nothing.
pub(super) const INDEXES: &str = "index";
/// Locked as long as a process writes here.
pub(super) const LOCK: &str = "lock";

/// The file of a segment.
pub(super) fn segment_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("segment-{segment:08}.jsonl"))
}

/// The segments that are there, in order.
pub(super) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix("segment-")?.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes the directory for its owner alone; refuses one that everybody may write to.
pub(super) fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if std::fs::metadata(directory)?.mode() & 0o002 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "everybody may write to the directory"));
    }
    Ok(())
}

/// One line of a file.
pub(super) enum Line<'l> {
    /// A whole line, without its newline.
    Whole(&'l [u8]),
    /// The last bytes of a file that does not end in a newline.
    Torn(u64),
    /// There are no more.
    End,
}

/// The lines of a file, in order.
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(256 * 1024, File::open(path)?);
        Ok(Self { reader, line: Vec::with_capacity(2_048), offset: 0 })
    }

    /// From this offset on, where a line must begin.
    pub(super) fn open_at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut lines = Self::open(path)?;
        lines.reader.seek(io::SeekFrom::Start(offset))?;
        lines.offset = offset;
        Ok(lines)
    }

    /// Where the next line begins.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line)?;
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        Ok(match self.line.strip_suffix(b"\n") {
            Some(line) => {
                self.offset = self.offset.saturating_add(read);
                Line::Whole(line)
            }
            None if read == 0 => Line::End,
            None => Line::Torn(read),
        })
    }
}

/// The header of a segment; nothing where its first line is not whole or is none.
pub(super) fn header(path: &Path) -> io::Result<Option<Header>> {
    Ok(match Lines::open(path)?.next()? {
        Line::Whole(line) => Header::parse(line),
        Line::Torn(_) | Line::End => None,
    })
}

/// The last whole line of a file, without its newline; nothing where there is no such file or line.
pub(super) fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut lines = match Lines::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut last = None;
    while let Line::Whole(line) = lines.next()? {
        last = Some(line.to_vec());
    }
    Ok(last)
}

/// The whole lines of a small file, each read as JSON, up to the first that is none; and whether there was
/// such a one. A last line without its newline counts for nothing: a crash, or a write under way.
pub(super) fn read_signed<T: DeserializeOwned>(path: &Path) -> io::Result<(Vec<T>, bool)> {
    let mut lines = match Lines::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        other => other?,
    };
    let mut found = Vec::new();
    while let Line::Whole(line) = lines.next()? {
        match serde_json::from_slice(line) {
            Ok(value) => found.push(value),
            Err(_) => return Ok((found, true)),
        }
    }
    Ok((found, false))
}

/// Adds a line to a small file, durably. A part of a line that an earlier attempt left is cut off.
pub(super) fn append_signed(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut lines = Lines::open(path)?;
    while let Line::Whole(_) = lines.next()? {}
    file.set_len(lines.offset())?;
    file.write_all(&line)?;
    file.sync_data()?;
    sync_directory(path.parent().unwrap_or_else(|| Path::new(".")))
}
