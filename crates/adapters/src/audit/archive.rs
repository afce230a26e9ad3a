//! Keeps removed segments in a directory that verifies by itself: the segments, the checkpoints that vouch
//! for them, the anchors that say where they end, and the handovers of the keys.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use gateway_core::audit::{Anchor, SignedAnchor, SignedCheckpoint};

use super::directory::{
    ANCHORS, CHECKPOINTS, HANDOVERS, Line, Lines, prepare, read_signed, segment_path, segments as present,
};
use super::disk::sync_directory;

/// Copies these segments there, durably. One that is there already must be the same.
pub(super) fn keep(directory: &Path, archive: &Path, segments: &[u64], newest: &Anchor) -> io::Result<()> {
    prepare(archive)?;
    for number in segments {
        let (from, to) = (segment_path(directory, *number), segment_path(archive, *number));
        if to.exists() {
            if !same(&from, &to)? {
                return Err(io::Error::other(format!("another segment {number} is there already")));
            }
            continue;
        }
        copy(&from, &to)?;
    }
    let handovers = directory.join(HANDOVERS);
    if handovers.exists() {
        copy(&handovers, &archive.join(HANDOVERS))?;
    }
    anchors(directory, archive, newest)?;
    checkpoints(directory, archive, newest)?;
    sync_directory(archive)
}

/// The anchor at which the archive ends, and the one at which it begins, where it was not there from the
/// start. Those between would let a beginning be taken away unseen.
fn anchors(directory: &Path, archive: &Path, newest: &Anchor) -> io::Result<()> {
    let first = present(archive)?.first().copied().unwrap_or(1);
    let (all, _) = read_signed::<SignedAnchor>(&directory.join(ANCHORS))?;
    whole(&archive.join(ANCHORS), |file| {
        for signed in all {
            let segment = signed.anchor.segment;
            if segment == newest.segment || segment.saturating_add(1) == first {
                serde_json::to_writer(&mut *file, &signed)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

/// The checkpoints that vouch for what is there; later ones would ask for records that are not.
fn checkpoints(directory: &Path, archive: &Path, newest: &Anchor) -> io::Result<()> {
    let mut lines = match Lines::open(&directory.join(CHECKPOINTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    whole(&archive.join(CHECKPOINTS), |file| {
        while let Line::Whole(line) = lines.next()? {
            let signed: SignedCheckpoint = serde_json::from_slice(line)?;
            if signed.checkpoint.sequence <= newest.sequence {
                file.write_all(line)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    whole(to, |file| io::copy(&mut from, file).map(|_| ()))
}

/// A file that is there whole or not at all.
fn whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    std::fs::rename(&beside, path)
}

/// Whether two files hold the same lines; none of them ends in half a line.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    if std::fs::metadata(one)?.len() != std::fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (Lines::open(one)?, Lines::open(other)?);
    loop {
        match (one.next()?, other.next()?) {
            (Line::Whole(left), Line::Whole(right)) if left == right => {}
            (Line::End, Line::End) => return Ok(true),
            _ => return Ok(false),
        }
    }
}
