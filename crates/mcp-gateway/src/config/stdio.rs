//! Servers that are processes: which commands may run, as whom, and how many at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::stdio::StdioRules;
use serde::Deserialize;

use super::issue::{Findings, IssueCode};
use super::yaml::Node;

/// What the configuration allows for servers that are processes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StdioConfig {
    /// The commands, and whether each process has a user of its own.
    pub rules: StdioRules,
    /// The users that processes run as, one each; absent means the gateway's own.
    pub users: Option<UserRange>,
    /// How many processes may run at once.
    pub processes: usize,
    /// How long a process may rest before it is ended.
    pub idle: Duration,
    /// Where the private directories of processes are made.
    pub directory: PathBuf,
}

/// Numeric users that are nobody else's on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRange {
    /// The first user id; the group of the same number goes with each.
    pub first: u32,
    /// How many.
    pub count: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStdio {
    commands: Vec<Vec<String>>,
    users: Option<UserRange>,
    processes: u32,
    idle_seconds: u64,
    directory: Option<PathBuf>,
}

impl Default for RawStdio {
    fn default() -> Self {
        Self { commands: Vec::new(), users: None, processes: 64, idle_seconds: 600, directory: None }
    }
}

impl RawStdio {
    /// Judges the section.
    pub(super) fn judge(self, document: &Node, base: &Path, findings: &mut Findings) -> StdioConfig {
        let mut find = |field: &str, message: &str| {
            let place = document.place_of(&format!("stdio.{field}"));
            findings.add(place, IssueCode::OutOfBounds, message);
        };
        let whole = |command: &Vec<String>| command.first().is_some_and(|program| program.starts_with('/'));
        if !self.commands.iter().all(whole) {
            find("commands", "each command must begin with the program's absolute path");
        }
        if self.users.is_some_and(|users| {
            users.first < 1_000 || users.count == 0 || users.first.checked_add(users.count).is_none()
        }) {
            find("users", "must begin at 1000 or higher, and hold at least one user");
        }
        if !(1..=10_000).contains(&self.processes) {
            find("processes", "must be from 1 to 10000");
        }
        if !(10..=86_400).contains(&self.idle_seconds) {
            find("idle_seconds", "must be from 10 to 86400");
        }
        let own = || std::env::temp_dir().join("mcp-gateway-stdio");
        StdioConfig {
            rules: StdioRules { commands: self.commands, own_users: self.users.is_some() },
            users: self.users,
            processes: usize::try_from(self.processes).unwrap_or(usize::MAX),
            idle: Duration::from_secs(self.idle_seconds),
            directory: self.directory.map_or_else(own, |directory| base.join(directory)),
        }
    }
}
