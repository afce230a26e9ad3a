//! `audit rotate-key`: on the gateway's own machine, where the key is.

use clap::Args;
use gateway_adapters::audit::prepare_next_key;
use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::host::ConfigFile;
use crate::cli::session::Session;
use crate::cli::view::View;

/// Whose key makes way.
#[derive(Args, Debug)]
pub(in crate::cli) struct KeyArguments {
    #[command(flatten)]
    config: ConfigFile,
}

/// Puts the next key beside the present one; the gateway takes it.
pub(super) fn rotate(session: &mut Session, arguments: &KeyArguments) -> Result<Exit, Failure> {
    let config = arguments.config.load()?;
    let key = prepare_next_key(&config.audit.key_path()).map_err(|error| {
        Failure::new(Exit::Refused, "the key of the checkpoints was not rotated")
            .because(&error)
            .hint("the key is made when the gateway starts for the first time")
    })?;
    let answer = json!({"key_id": key.key_id()});
    session.printer.show(&answer, |_| {
        View::default()
            .title("The next key signs checkpoints within a second, or from the next start on")
            .fields([
                ("next key", key.key_id()),
                ("former key", "signs that the next one follows it, then no more".to_owned()),
                ("keep", "mcp-gateway audit keys > keys.json".to_owned()),
            ])
    });
    Ok(Exit::Ok)
}
