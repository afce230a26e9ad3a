//! Any program as a store: one process a request, versioned JSON on its standard input and output.
//!
//! The program and its arguments stand in the configuration and nowhere else; a reference only names a
//! path, a field and a version, which the program gets on its input. It sees no environment but the
//! variables that are listed, and runs in a process group of its own, which ends with the request.

mod program;
mod protocol;
mod run;

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::lease::SecretVersion;
use gateway_core::ports::{SecretStore, StoreError, StoreErrorKind};
use gateway_core::reference::ResolvedReference;
use tokio::sync::Semaphore;

pub use self::program::ExecProgramError;
use super::blocking::blocking;

/// The longest answer that a program may give, in bytes.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// What an [`ExecStore`] is made of.
#[derive(Debug, Clone)]
pub struct ExecSettings {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The variables of the gateway's environment that it sees.
    pub pass_environment: Vec<String>,
    /// How many of it may run at once.
    pub concurrency: usize,
}

/// Asks a program for secrets.
pub struct ExecStore {
    settings: ExecSettings,
    turns: Semaphore,
}

impl fmt::Debug for ExecStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecStore").field("program", &self.settings.program).finish_non_exhaustive()
    }
}

impl ExecStore {
    /// Makes the store. Looks at the program's file, and does not run it.
    ///
    /// # Errors
    /// The file is none that may be run; see [`ExecProgramError`].
    pub fn new(settings: ExecSettings) -> Result<Self, ExecProgramError> {
        program::check(&settings.program)?;
        let turns = Semaphore::new(settings.concurrency);
        Ok(Self { settings, turns })
    }

    /// Runs the program once with this request; returns what it wrote.
    async fn ask(&self, request: &[u8]) -> Result<protocol::Output, StoreError> {
        let gone = |_| StoreError::new(StoreErrorKind::Unavailable, "the store is closed");
        let _turn = self.turns.acquire().await.map_err(gone)?;
        // Judged again at each run: the file may have been replaced since the start.
        let named = self.settings.program.clone();
        let judged =
            move || program::check(&named).map_err(|error| StoreError::new(StoreErrorKind::Denied, error));
        blocking(judged).await?;
        let finished = run::run(self.command(), request, MAX_ANSWER).await?;
        if finished.stderr_bytes > 0 {
            // What it said may hold anything, secrets too: only how much it was is ever told.
            tracing::debug!(bytes = finished.stderr_bytes, "a store's program wrote to its error output");
        }
        if !finished.status.success() {
            let (status, bytes) = (finished.status, finished.stderr_bytes);
            let inside = format!("the program failed ({status}; {bytes} bytes on its error output)");
            return Err(StoreError::new(StoreErrorKind::Unavailable, inside));
        }
        Ok(finished.stdout)
    }

    fn command(&self) -> Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new(&self.settings.program);
        command.args(&self.settings.arguments).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in &self.settings.pass_environment {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

#[async_trait]
impl SecretStore for ExecStore {
    async fn fetch(&self, reference: &ResolvedReference) -> Result<Arc<SecretVersion>, StoreError> {
        let request = protocol::get(reference)?;
        let output = self.ask(&request).await?;
        protocol::secret_version(&output, reference).map(Arc::new)
    }

    fn keeps_versions(&self) -> bool {
        true
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let request = protocol::probe()?;
        let output = self.ask(&request).await?;
        protocol::probed(&output)
    }
}

#[cfg(test)]
mod tests;
