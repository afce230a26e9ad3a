//! The token that works once: how the first operator gets in where no identity provider is configured.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::identity::TokenKind;
use gateway_adapters::state;
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, OperatorName};
use gateway_core::identity::TokenDigest;
use gateway_core::operator::{Role, RoleGrant};
use gateway_core::ports::{Random as _, StateWriter};
use gateway_core::secret::Secret;
use gateway_core::state::{Change, Operation, OperatorTokenRecord, State};
use gateway_core::time::Clock as _;
use zeroize::Zeroizing;

use super::system::{SystemClock, SystemEntropy};
use super::{StartError, keys};
use crate::config::Config;

/// How long a bootstrap token waits for its use.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What the token's file is called until the state knows the token.
const NEXT: &str = ".next";

/// Makes the first token of a fresh state, where the configuration says where to put it. Where a process was killed
/// after the state took one and before it was put there, puts it there.
pub(super) async fn first(
    config: &Config,
    state: &dyn StateWriter,
    entropy: &SystemEntropy,
    loaded: &State,
) -> Result<(), StartError> {
    match &config.operators.bootstrap_token_file {
        Some(path) => first_at(path, state, entropy, loaded).await,
        None => Ok(()),
    }
}

async fn first_at(
    path: &Path,
    state: &dyn StateWriter,
    entropy: &SystemEntropy,
    loaded: &State,
) -> Result<(), StartError> {
    if path.exists() {
        return Ok(());
    }
    if loaded.epoch == Epoch::default() {
        return mint(path, state, entropy).await;
    }
    left_behind(path, loaded).map_err(|error| unwritten(path, &error))
}

/// The written token that the state knows takes its place; any other opens nothing, and stays where it is.
fn left_behind(path: &Path, loaded: &State) -> io::Result<()> {
    let next = keys::beside(path, NEXT);
    let written = match std::fs::read(&next) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => Secret::new(read?),
    };
    let digest = TokenDigest::of(&written);
    match loaded.operator_tokens.iter().any(|token| token.bootstrap && token.digest == digest) {
        true => keys::put_in_place(&next, path),
        false => Ok(()),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> StartError {
    StartError::machine(path.display().to_string(), error)
}

/// Makes a further token, on the host: whoever can do this can read the state's files anyway. Returns
/// where it was written.
///
/// # Errors
/// No file is configured, it is still there, or the state cannot be changed.
pub async fn bootstrap_token(config: &Config) -> Result<PathBuf, StartError> {
    let path = config.operators.bootstrap_token_file.clone().ok_or_else(|| {
        StartError::machine("operators.bootstrap_token_file", "name a file in the configuration first")
    })?;
    let entropy = Arc::new(SystemEntropy::default());
    let database = state::open(&config.state, Arc::new(SystemClock), entropy.clone()).await?;
    mint(&path, &*database.state, &entropy).await?;
    Ok(path)
}

#[expect(clippy::disallowed_methods, reason = "a token is shown once: here to the file's owner")]
async fn mint(path: &Path, state: &dyn StateWriter, entropy: &SystemEntropy) -> Result<(), StartError> {
    let mut random = Zeroizing::new([0_u8; 32]);
    entropy.fill(&mut *random);
    let minted = TokenKind::Bootstrap.mint(&random);
    let mut id = [0_u8; 8];
    entropy.fill(&mut id);
    let now = SystemClock.now();
    let operator =
        OperatorName::parse("bootstrap").map_err(|error| StartError::machine("bootstrap", error))?;
    let token = OperatorTokenRecord {
        id: hex::encode(id),
        digest: minted.digest,
        operator: operator.clone(),
        roles: vec![RoleGrant::everywhere(Role::Admin)],
        expires_at: now.plus(LIFETIME),
        bootstrap: true,
        ended_at: None,
    };
    let mut event = Event::new(EventKind::BootstrapTokenIssued, now);
    event.operator = Some(operator);
    if path.exists() {
        return Err(unwritten(path, &io::ErrorKind::AlreadyExists.into()));
    }
    // Three steps, so that a file under its own name always opens something: written beside it, known to the state,
    // named.
    let next = keys::beside(path, NEXT);
    keys::write_beside(&next, minted.token.expose()).map_err(|error| unwritten(path, &error))?;
    let change = Change {
        expected: state.epoch().await?,
        operations: vec![Operation::InsertOperatorToken(token)],
        events: vec![event],
    };
    if let Err(error) = state.commit(change).await {
        // Without its record the token opens nothing.
        drop(std::fs::remove_file(&next));
        return Err(error.into());
    }
    keys::put_in_place(&next, path).map_err(|error| unwritten(path, &error))
}

#[cfg(test)]
mod tests {
    use gateway_core::ports::StateReader as _;
    use gateway_testkit::memory_state::MemoryState;

    use super::*;

    /// A process is killed at each point of the three steps; the next start leaves a file that opens the state.
    #[tokio::test]
    async fn wherever_the_making_was_cut_off_the_next_start_leaves_a_token_that_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let next = keys::beside(&path, NEXT);
        let (state, entropy) = (MemoryState::default(), SystemEntropy::default());
        let opens = async || {
            let digest = TokenDigest::of(&Secret::new(std::fs::read(&path).unwrap()));
            state.load().await.unwrap().operator_tokens.iter().any(|token| token.digest == digest)
        };
        // Written, and not known to the state.
        std::fs::write(&next, "half a tok").unwrap();
        begin(&path, &state, &entropy).await;
        assert!(opens().await && !next.exists());
        // Known to the state, and not named.
        std::fs::rename(&path, &next).unwrap();
        begin(&path, &state, &entropy).await;
        assert!(opens().await && !next.exists());
        // Named: nothing is left to do, and what was used and taken away stays away.
        begin(&path, &state, &entropy).await;
        assert!(opens().await);
        std::fs::remove_file(&path).unwrap();
        begin(&path, &state, &entropy).await;
        assert!(!path.exists());
        // One that the state never took is not passed off as one that works.
        std::fs::write(&next, "another").unwrap();
        begin(&path, &state, &entropy).await;
        assert!(!path.exists());
        assert_eq!(state.load().await.unwrap().operator_tokens.len(), 1);
    }

    async fn begin(path: &Path, state: &MemoryState, entropy: &SystemEntropy) {
        first_at(path, state, entropy, &state.load().await.unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "mine").unwrap();
        let state = MemoryState::default();
        assert!(mint(&path, &state, &SystemEntropy::default()).await.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert!(state.load().await.unwrap().operator_tokens.is_empty());
    }
}
