//! The token that works once: how the first operator gets in where no identity provider is configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::identity::TokenKind;
use gateway_adapters::state;
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, OperatorName};
use gateway_core::operator::{Role, RoleGrant};
use gateway_core::ports::{Random as _, StateWriter};
use gateway_core::state::{Change, Operation, OperatorTokenRecord, State};
use gateway_core::time::Clock as _;
use zeroize::Zeroizing;

use super::system::{SystemClock, SystemEntropy};
use super::{StartError, keys};
use crate::config::Config;

/// How long a bootstrap token waits for its use.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Makes the first token of a fresh state, where the configuration says where to put it.
pub(super) async fn first(
    config: &Config,
    state: &dyn StateWriter,
    entropy: &SystemEntropy,
    loaded: &State,
) -> Result<(), StartError> {
    match &config.operators.bootstrap_token_file {
        Some(path) if loaded.epoch == Epoch::default() && !path.exists() => mint(path, state, entropy).await,
        _ => Ok(()),
    }
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
    keys::write_private(path, minted.token.expose())
        .map_err(|error| StartError::machine(path.display().to_string(), error))?;
    let change = Change {
        expected: state.epoch().await?,
        operations: vec![Operation::InsertOperatorToken(token)],
        events: vec![event],
    };
    if let Err(error) = state.commit(change).await {
        // Without its record the token opens nothing; a file that says otherwise would mislead.
        drop(std::fs::remove_file(path));
        return Err(error.into());
    }
    Ok(())
}
