//! A program as a store.

use gateway_core::id::EnvironmentName;
use serde::{Deserialize, Serialize};

use super::{PathConfig, Shared, default_cache_seconds, default_timeout_ms, is_variable};
use crate::store::exec::ExecSettings;

store_configs! {
    /// A program.
    ExecConfig {
        /// The program by its absolute path, and its arguments. No shell reads it.
        command: Vec<String>,
        /// The variables of the gateway's environment that the program sees. Default none.
        #[serde(default)]
        pass_environment: Vec<String>,
        /// How many of it may run at once. Default 4.
        #[serde(default = "default_concurrency")]
        concurrency: usize,
    }
}

const fn default_concurrency() -> usize {
    4
}

impl ExecConfig {
    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        match self.command.first() {
            Some(program) if program.starts_with('/') => {}
            _ => problems.push("command: a list that begins with the program's absolute path".to_owned()),
        }
        if let Some(index) = self.command.iter().position(|word| word.contains('\0')) {
            problems.push(format!("command[{index}]: no NUL may stand in it"));
        }
        if let Some(index) = self.pass_environment.iter().position(|name| !is_variable(name)) {
            problems.push(format!("pass_environment[{index}]: letters, digits and `_` only"));
        }
        if !(1..=64).contains(&self.concurrency) {
            problems.push("concurrency: from 1 to 64".to_owned());
        }
    }

    pub(super) fn settings(&self) -> ExecSettings {
        let mut words = self.command.iter();
        ExecSettings {
            program: words.next().map(Into::into).unwrap_or_default(),
            arguments: words.cloned().collect(),
            pass_environment: self.pass_environment.clone(),
            concurrency: self.concurrency,
        }
    }
}
