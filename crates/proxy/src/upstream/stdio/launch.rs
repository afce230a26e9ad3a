//! How a process is started: nothing inherited, a private directory, limits before its first
//! instruction, and the secret where the binding says.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use gateway_core::manifest::StdioRoute;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use rustix::process::geteuid;
use tokio::process::Command;

use crate::materials::{Placement, ProcessPlacement};
use crate::path::inject::ProcessCredential;
use crate::settings::StdioSettings;

/// The variable in which the launcher takes the bytes of a credential file, as base64. The program
/// itself never has it.
pub const CREDENTIAL_VARIABLE: &str = "MCP_GATEWAY_CREDENTIAL";

/// A directory of one process's own, removed with it.
#[derive(Debug)]
pub(super) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    /// Makes the directory, for the process's user alone.
    pub(super) fn create(root: &Path, name: &str, user: Option<u32>) -> std::io::Result<Self> {
        let own = root.join(std::process::id().to_string());
        for directory in [root, &own] {
            // Others may pass through to their own directory below, and see nothing on the way.
            DirBuilder::new().recursive(true).mode(0o711).create(directory)?;
            if !is_own(directory)? {
                return Err(std::io::Error::other("`stdio.directory` is not the gateway's own"));
            }
        }
        let path = own.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let directory = Self(path);
        if let Some(user) = user {
            chown(&directory.0, Some(user), Some(user))?;
        }
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the private directory of a server's process could not be removed");
        }
    }
}

/// Whether this is a directory of the gateway's user that nobody else may write to. A link is none: where
/// others may write, as in the system's temporary directory, it could lead anywhere.
fn is_own(directory: &Path) -> std::io::Result<bool> {
    let found = std::fs::symlink_metadata(directory)?;
    Ok(found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
}

/// Removes what gateways that were killed left behind: directories named after processes that are gone.
pub(super) fn remove_leftovers(root: &Path) {
    if !is_own(root).unwrap_or(false) {
        return;
    }
    let Ok(found) = std::fs::read_dir(root) else { return };
    for entry in found.flatten() {
        let gone = |name: &str| name.parse::<u32>().is_ok() && !Path::new("/proc").join(name).exists();
        if entry.file_name().to_str().is_some_and(gone)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "a directory left behind by a killed gateway could not be removed");
        }
    }
}

/// The users of processes: each belongs to one running process at a time.
#[derive(Debug, Default)]
pub(super) struct Users {
    taken: Arc<Mutex<std::collections::BTreeSet<u32>>>,
}

/// A user in use; free again when dropped.
#[derive(Debug)]
pub(super) struct UserLease {
    pub(super) number: u32,
    taken: Arc<Mutex<std::collections::BTreeSet<u32>>>,
}

impl Users {
    /// Takes a free user of the range.
    pub(super) fn take(&self, first: u32, count: u32) -> Option<UserLease> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (first..first.saturating_add(count)).find(|number| !taken.contains(number))?;
        taken.insert(number);
        Some(UserLease { number, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for UserLease {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// The command that starts the process, in a process group of its own.
///
/// # Errors
/// [`Code::ProcessStart`] where the credential cannot be handed over.
pub(super) fn command(
    route: &StdioRoute,
    settings: &StdioSettings,
    credential: Option<&ProcessCredential>,
    directory: &Path,
    user: Option<u32>,
) -> Result<Command, Refusal> {
    let placement = credential.map(placement).transpose()?;
    let mut words: Vec<&OsStr> = settings.launcher.iter().map(AsRef::as_ref).collect();
    let limits = [
        format!("--memory-mib={}", route.limits.memory_mib),
        format!("--open-files={}", route.limits.open_files),
        format!("--file-mib={}", route.limits.file_mib),
    ];
    let file = placement.filter(|placement| placement.in_file);
    let file_argument = file.map(|placement| format!("--credential-file={}", placement.variable));
    if words.is_empty() {
        if file.is_some() {
            return Err(Refusal::new(Code::ProcessStart).because("no launcher hands over credential files"));
        }
    } else {
        words.extend(limits.iter().map(OsStr::new));
        words.extend(file_argument.iter().map(OsStr::new));
        words.push(OsStr::new("--"));
    }
    words.extend(route.command.iter().map(OsStr::new));
    let (program, arguments) = words.split_first().ok_or(Code::ProcessStart)?;
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
    command.env("HOME", directory).env("TMPDIR", directory).envs(&route.environment);
    command.current_dir(route.directory.as_deref().unwrap_or(directory));
    if let Some(placement) = placement {
        give(&mut command, placement);
    }
    if let Some(user) = user {
        command.gid(user).uid(user);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    Ok(command)
}

fn placement(credential: &ProcessCredential) -> Result<&ProcessPlacement, Refusal> {
    match credential.material.placement() {
        Placement::Process(placement) => Ok(placement),
        Placement::Header(..) | Placement::Query(_) => {
            Err(Refusal::new(Code::ReferenceRefused).because("the injection point is none of a process"))
        }
    }
}

/// Puts the value into the environment of the process to be: the one way that is neither an argument
/// nor a file. The command's own copy lives until the process has started.
#[expect(clippy::disallowed_methods, reason = "environment and file placement are named places")]
fn give(command: &mut std::process::Command, placement: &ProcessPlacement) {
    if placement.in_file {
        let text = base64::engine::general_purpose::STANDARD.encode(placement.text.expose());
        let text = Secret::new(text.into_bytes());
        command.env(CREDENTIAL_VARIABLE, OsStr::from_bytes(text.expose()));
    } else {
        command.env(&placement.variable, OsStr::from_bytes(placement.text.expose()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_gateway_left_is_removed_and_nothing_else() {
        let root = std::env::temp_dir().join(format!("launch-test-{}", std::process::id()));
        let own = std::process::id().to_string();
        // No process has a number beyond the kernel's largest.
        for name in ["4194305", own.as_str(), "notes"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        remove_leftovers(&root);
        assert!(!root.join("4194305").exists());
        assert!(root.join(&own).exists() && root.join("notes").exists());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn nothing_is_removed_behind_a_link_or_where_others_may_write() {
        let name = |kind: &str| std::env::temp_dir().join(format!("launch-{kind}-{}", std::process::id()));
        let (foreign, link) = (name("foreign"), name("link"));
        std::fs::create_dir_all(foreign.join("4194305")).unwrap();
        std::os::unix::fs::symlink(&foreign, &link).unwrap();
        remove_leftovers(&link);
        assert!(foreign.join("4194305").exists());
        std::fs::set_permissions(&foreign, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        remove_leftovers(&foreign);
        assert!(foreign.join("4194305").exists());
        std::fs::remove_file(link).unwrap();
        std::fs::remove_dir_all(foreign).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_is_not_used() {
        let root = std::env::temp_dir().join(format!("launch-open-{}", std::process::id()));
        DirBuilder::new().mode(0o777).create(&root).unwrap();
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(PrivateDirectory::create(&root, "one", None).is_err());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_user_belongs_to_one_process_at_a_time() {
        let users = Users::default();
        let one = users.take(2_000, 2).unwrap();
        let two = users.take(2_000, 2).unwrap();
        assert_ne!(one.number, two.number);
        assert!(users.take(2_000, 2).is_none());
        let number = one.number;
        drop(one);
        assert_eq!(users.take(2_000, 2).unwrap().number, number);
    }
}
