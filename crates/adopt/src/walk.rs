//! Reads a file or a directory with everything below it. The only part that touches the disk, and it only
//! reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::finding::Note;
use crate::scan::{Scanned, scan};

/// Larger files are not looked at.
pub const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// Directories that hold other people's code or copies of what is looked at anyway.
const LEFT_OUT: [&str; 10] =
    [".git", ".hg", ".svn", "node_modules", "target", ".venv", "venv", "__pycache__", ".tox", ".mypy_cache"];

/// Directories whose name says whose configuration a file in them is.
const TELLING_PARENTS: [&str; 8] =
    [".cursor", ".vscode", ".codex", ".gemini", ".claude", ".codeium", ".windsurf", ".zed"];

/// What was asked for cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` cannot be read")]
pub struct WalkError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Everything found below a path.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found.
    pub scanned: Scanned,
    /// How many files were looked at.
    pub files: usize,
    root: PathBuf,
    alone: bool,
}

impl Report {
    /// Where a file of a finding is on the disk.
    #[must_use]
    pub fn path_of(&self, file: &str) -> PathBuf {
        if self.alone { self.root.clone() } else { self.root.join(file) }
    }
}

/// Looks through `root`: a file, or a directory with everything below it. Git's own ignore lists are not
/// asked: what they hide is where keys are. Symbolic links below `root` are never followed; `root` itself
/// may be one.
///
/// # Errors
/// `root` itself cannot be read. What cannot be read below it is a note.
pub fn walk(root: &Path) -> Result<Report, WalkError> {
    let failed = |cause| WalkError { path: root.to_owned(), cause };
    let real = fs::canonicalize(root).map_err(failed)?;
    let mut report = Report { root: real.clone(), ..Report::default() };
    if fs::metadata(&real).map_err(failed)?.is_dir() {
        fs::read_dir(&real).map_err(failed)?;
        directory(&real, "", &mut report);
    } else {
        report.alone = true;
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        file(&real, &in_context(root, &name), &mut report);
    }
    Ok(report)
}

/// A file alone is told with the directories that say whose it is (`.cursor/mcp.json`).
fn in_context(root: &Path, name: &str) -> String {
    let parent = root.parent().and_then(Path::file_name).map(|parent| parent.to_string_lossy().into_owned());
    match parent.filter(|parent| TELLING_PARENTS.contains(&parent.as_str())) {
        Some(parent) => format!("{parent}/{name}"),
        None => name.to_owned(),
    }
}

fn directory(path: &Path, shown: &str, report: &mut Report) {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return note(report, shown, &format!("cannot be read: {}", error.kind())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let below = if shown.is_empty() { name.clone() } else { format!("{shown}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && LEFT_OUT.contains(&name.as_str()) => {}
            Ok(kind) if kind.is_dir() => directory(&entry.path(), &below, report),
            Ok(kind) if kind.is_file() => file(&entry.path(), &below, report),
            Ok(kind) if kind.is_symlink() => note(report, &below, "a symbolic link: not followed"),
            // Sockets, pipes and devices hold nothing.
            Ok(_) => {}
            Err(error) => note(report, &below, &format!("cannot be read: {}", error.kind())),
        }
    }
}

fn file(path: &Path, shown: &str, report: &mut Report) {
    match read(path) {
        Ok(Some(bytes)) => {
            report.files = report.files.saturating_add(1);
            report.scanned.absorb(scan(shown, &bytes));
        }
        Ok(None) => note(report, shown, "larger than 8 MiB: not looked at"),
        Err(error) => note(report, shown, &format!("cannot be read: {}", error.kind())),
    }
}

/// The bytes; none where there are too many.
fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST_FILE {
        return Ok(None);
    }
    // Sized at once, so that growing leaves no copies behind.
    let capacity = usize::try_from(length).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut bytes)?;
    let grown = u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_FILE);
    Ok(Some(bytes).filter(|_| !grown))
}

/// Never through a link that came in between, and never waiting for a pipe's other end.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

fn note(report: &mut Report, file: &str, what: &str) {
    report.scanned.notes.push(Note { file: file.to_owned(), at: None, what: what.to_owned() });
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";

    #[test]
    fn what_git_ignores_is_looked_at_and_what_others_wrote_is_not() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("API_KEY={KEY}\n")).unwrap();
        };
        ["node_modules/a/.env", ".git/x.env", "target/y.env", "app/.env"].into_iter().for_each(put);
        fs::write(root.path().join(".gitignore"), ".env\n").unwrap();
        let report = walk(root.path()).unwrap();
        let files: Vec<&str> = report.scanned.findings.iter().map(|one| one.file.as_str()).collect();
        assert_eq!((files, report.files), (vec!["app/.env"], 2));
    }

    #[test]
    fn links_are_not_followed_and_large_and_binary_files_are_told() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("a.env"), format!("API_KEY={KEY}\n")).unwrap();
        symlink(outside.path(), root.path().join("directory")).unwrap();
        symlink(outside.path().join("a.env"), root.path().join("link.env")).unwrap();
        fs::write(root.path().join("blob"), b"a\0b").unwrap();
        File::create(root.path().join("huge.log")).unwrap().set_len(LARGEST_FILE + 1).unwrap();
        let report = walk(root.path()).unwrap();
        assert!(report.scanned.findings.is_empty());
        let notes: Vec<String> =
            report.scanned.notes.iter().map(|note| format!("{}: {}", note.file, note.what)).collect();
        assert_eq!(
            notes,
            [
                "blob: binary: not looked at",
                "directory: a symbolic link: not followed",
                "huge.log: larger than 8 MiB: not looked at",
                "link.env: a symbolic link: not followed",
            ]
        );
    }

    #[test]
    fn a_link_that_is_asked_for_by_name_is_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("real.env"), format!("API_KEY={KEY}\n")).unwrap();
        symlink(root.path().join("real.env"), root.path().join("asked.env")).unwrap();
        assert_eq!(walk(&root.path().join("asked.env")).unwrap().scanned.findings[0].file, "asked.env");
        assert!(walk(&root.path().join("none")).is_err());
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe.env");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert!(walk(root.path()).unwrap().scanned.findings.is_empty());
        let alone = walk(&pipe).unwrap();
        assert_eq!(alone.scanned.notes.len(), 1);
    }
}
