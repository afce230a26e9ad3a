//! Where the command line meets the parts that this binary puts together.

use std::path::PathBuf;
use std::sync::Arc;

use gateway_adapters::signing::{self, Purpose, RotateError};
use gateway_core::time::Clock as _;
use tokio::runtime::Runtime;

use super::failure::{Exit, Failure};
use crate::app::system::SystemClock;
use crate::app::{self, PreflightLine, PreflightRequest, StartError};
use crate::config::Config;

/// Serves until the process is told to stop.
pub(super) fn serve(config: Config) -> Result<Exit, Failure> {
    app::serve(config).map_err(|error| not_started(&error))?;
    Ok(Exit::Ok)
}

/// Asks every store whether it answers and accepts the gateway's login.
pub(super) fn probe_stores(config: &Config) -> Result<Vec<PreflightLine>, Failure> {
    let runtime = runtime()?;
    let assertions = app::store_assertions(config).map_err(|error| not_started(&error))?;
    let probed = config.stores.iter().map(|(name, store)| {
        let found = match store.build_signing(name, Arc::new(SystemClock), assertions.as_ref()) {
            Ok(entry) => runtime.block_on(entry.store.probe()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let hint = "check the store's address, certificate and the files of the gateway's login";
        PreflightLine {
            name: format!("store {name}"),
            ok: found.is_ok(),
            hint: found.is_err().then(|| hint.to_owned()),
            detail: found.err().unwrap_or_else(|| "answers and accepts the gateway's login".to_owned()),
        }
    });
    Ok(probed.collect())
}

/// Tries what a first call needs.
pub(super) fn preflight(config: &Config, request: &PreflightRequest) -> Result<Vec<PreflightLine>, Failure> {
    Ok(runtime()?.block_on(app::preflight(config, request)))
}

/// Writes a bootstrap token and says where.
pub(super) fn bootstrap_token(config: &Config) -> Result<PathBuf, Failure> {
    runtime()?.block_on(app::bootstrap_token(config)).map_err(|error| not_started(&error))
}

/// Lets the next signing keys of the purpose sign; says how many.
pub(super) fn rotate_signing_keys(
    config: &Config,
    purpose: Purpose,
    compromised: bool,
) -> Result<u32, Failure> {
    signing::rotate_now(&config.signing, purpose, compromised, SystemClock.now()).map_err(|error| {
        let hint = match error {
            RotateError::TooSoon => "wait, or say `--compromised` where the keys are in wrong hands",
            RotateError::Keys(_) => "the keys are made when the gateway starts for the first time",
        };
        Failure::new(Exit::Refused, "the signing keys were not rotated").because(&error).hint(hint)
    })
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::Refused, "the command line's own machinery cannot start").because(&error)
    })
}

fn not_started(error: &StartError) -> Failure {
    let exit = match error {
        StartError::State(_) | StartError::StateRead(_) => Exit::NoAnswer,
        _ => Exit::Refused,
    };
    Failure::new(exit, "the gateway cannot start").because(error)
}
