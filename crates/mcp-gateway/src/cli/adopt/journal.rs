//! What `adopt --write` changed, and the way back. Neither the journal nor any other file of ours holds a
//! value: where one stood, the way back puts its reference.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gateway_adopt::{Reverse, reversed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cli::failure::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::view::View;

/// One adoption.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    version: u32,
    /// Its id.
    pub(super) id: String,
    /// The files that were changed.
    pub(super) files: Vec<Changed>,
    /// The references that stand for the values now.
    pub(super) references: Vec<String>,
    /// What was declared.
    pub(super) objects: Vec<String>,
}

/// A file that was changed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it became.
    pub(super) sha256: String,
    /// The way back.
    pub(super) back: Vec<Reverse>,
}

impl Journal {
    /// A new one.
    pub(super) const fn new(id: String) -> Self {
        Self { version: 1, id, files: Vec::new(), references: Vec::new(), objects: Vec::new() }
    }

    /// Keeps it; before any file is changed, and again after each.
    pub(super) fn keep(&self, directory: Option<&Path>) -> Result<(), Failure> {
        let path = path(directory, &self.id)?;
        let failed = |error: &io::Error| {
            Failure::usage(format!("the journal `{}` cannot be written", path.display())).because(error)
        };
        if let Some(directory) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| failed(&error))?;
        }
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        replace(&path, &text, 0o600).map_err(|error| failed(&error))
    }

    fn read(directory: Option<&Path>, id: &str) -> Result<Self, Failure> {
        let path = path(directory, id)?;
        let unusable = || Failure::usage(format!("there is no adoption `{id}` to undo"));
        let text = fs::read(&path).map_err(|error| unusable().because(&error))?;
        serde_json::from_slice(&text).map_err(|error| unusable().because(&error))
    }
}

/// In the directory, or under the user's state directory (XDG Base Directory).
fn path(directory: Option<&Path>, id: &str) -> Result<PathBuf, Failure> {
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage("an adoption's id is the hexadecimal word that `--write` printed"));
    }
    let file = format!("{id}.json");
    if let Some(directory) = directory {
        return Ok(directory.join(file));
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let base = base.ok_or_else(|| Failure::usage("there is no home directory to keep a journal in"))?;
    Ok(base.join("mcp-gateway/adopt").join(file))
}

/// How a file's bytes are named.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Replaces a file whole or not at all, with the permissions that are asked for.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = write_synced(&beside, bytes, mode).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// The permissions that a file has.
pub(super) fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Takes the changes of files back. A file that somebody changed since is left alone, and said so.
pub(super) fn undo(session: &mut Session, directory: Option<&Path>, id: &str) -> Result<Exit, Failure> {
    let journal = Journal::read(directory, id)?;
    let (mut restored, mut left) = (Vec::new(), Vec::new());
    for changed in &journal.files {
        let shown = changed.path.display().to_string();
        match restore(changed) {
            Ok(true) => restored.push(shown),
            Ok(false) => left.push(format!("{shown}: changed since, left alone")),
            Err(error) => left.push(format!("{shown}: {error}")),
        }
    }
    let answer = json!({
        "id": id, "restored": restored, "left": left,
        "references": journal.references, "objects": journal.objects,
    });
    session.printer.show(&answer, |_| {
        View::default()
            .title(format!("Adoption {id}: undone"))
            .fields([("restored", restored.join(", ")), ("left", left.join(", "))])
            .text(format!(
                "Where a value stood, its reference stands now ({}): the values stay in the store.",
                journal.references.join(", ")
            ))
            .text(format!("Declared, and left as it is: {}.", journal.objects.join(", ")))
    });
    Ok(if left.is_empty() { Exit::Ok } else { Exit::Refused })
}

fn restore(changed: &Changed) -> io::Result<bool> {
    let bytes = fs::read(&changed.path)?;
    if sha256(&bytes) != changed.sha256 {
        return Ok(false);
    }
    let Some(before) = reversed(&bytes, &changed.back) else { return Ok(false) };
    replace(&changed.path, &before, mode(&changed.path)?)?;
    Ok(true)
}
