//! What `adopt --write` changed, and the way back. Neither the journal nor any other file of ours holds a
//! value: where one stood, the way back puts its reference.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use gateway_adopt::Reverse;
use serde::{Deserialize, Serialize};

use super::files;
use crate::cli::failure::Failure;

/// One adoption. It is kept before the first file changes, and says of each whether it has changed: whatever
/// ends the program in between, undoing finds each file as it was or as it became.
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

/// A file that was to be changed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it became.
    pub(super) sha256: String,
    /// Whether the change is known to be done.
    #[serde(default)]
    pub(super) done: bool,
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
        let path = place(directory)?.join(file(&self.id)?);
        let failed = |error: &io::Error| {
            Failure::usage(format!("the journal `{}` cannot be written", path.display())).because(error)
        };
        if let Some(directory) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| failed(&error))?;
        }
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        files::replace(&path, &text, &files::Owner::mine(0o600), &self.id).map_err(|error| failed(&error))
    }

    /// The one with this id.
    pub(super) fn read(directory: Option<&Path>, id: &str) -> Result<Self, Failure> {
        let path = place(directory)?.join(file(id)?);
        let unusable = || Failure::usage(format!("there is no adoption `{id}` to undo"));
        let text = fs::read(&path).map_err(|error| unusable().because(&error))?;
        serde_json::from_slice(&text).map_err(|error| unusable().because(&error))
    }

    /// All that are there, by id.
    pub(super) fn all(directory: Option<&Path>) -> Result<Vec<Self>, Failure> {
        let place = place(directory)?;
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::usage(format!("`{}` cannot be read", place.display())).because(&error));
            }
        };
        let mut ids: Vec<String> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .filter(|id| file(id).is_ok())
            .collect();
        ids.sort();
        ids.iter().map(|id| Self::read(directory, id)).collect()
    }
}

fn file(id: &str) -> Result<String, Failure> {
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage("an adoption's id is the hexadecimal word that `--write` printed"));
    }
    Ok(format!("{id}.json"))
}

/// The directory, or the one under the user's state directory (XDG Base Directory).
fn place(directory: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(directory) = directory {
        return Ok(directory.to_owned());
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let base = base.ok_or_else(|| Failure::usage("there is no home directory to keep a journal in"))?;
    Ok(base.join("mcp-gateway/adopt"))
}
