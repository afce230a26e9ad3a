//! `audit verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_adapters::audit::{PublicKey, VerifyReport, read_checkpoints, verify_directory};
use serde_json::{Value, json};

use super::unreadable;
use crate::cli::failure::{Exit, Failure};
use crate::cli::pick::{is_true, short, text};
use crate::cli::session::Session;
use crate::cli::view::View;

/// What is verified.
#[derive(Args, Debug)]
pub(in crate::cli) struct VerifyArguments {
    /// Verify this audit directory, or a copy of it, here; without it the gateway verifies its own
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Checkpoints that left the host: a `checkpoints.jsonl`, or everything that a sink received
    #[arg(long, value_name = "FILE", requires = "directory")]
    against: Option<PathBuf>,
    /// The public keys whose checkpoints count (RFC 7517); keep them elsewhere than the directory
    #[arg(long, value_name = "JWKS", requires = "directory")]
    keys: Option<PathBuf>,
}

/// Verifies here, or has the gateway verify its own.
pub(super) fn verify(session: &mut Session, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    session.printer.progress("walking the chain …");
    let (answer, keyless) = match &arguments.directory {
        Some(directory) => {
            let report = verify_here(directory, arguments)?;
            (verdict(&report), arguments.keys.is_none())
        }
        None => (session.client()?.post(&["audit", "verify"], &json!({}))?, false),
    };
    let holds = is_true(&answer, "/holds");
    session.printer.show(&answer, |answer| verified(answer, holds));
    if holds {
        return Ok(Exit::Ok);
    }
    let problem = text(&answer, "/problem/message");
    let failure =
        Failure::new(Exit::NotVerified, format!("the evidence is not as it was written: {problem}"));
    Err(if keyless && problem.contains("unknown key") {
        failure.hint("name the keys whose checkpoints count with `--keys`; `audit keys` shows the gateway's")
    } else {
        failure.hint(
            "compare with a copy from before, and with the checkpoints that left the host (`--against`)",
        )
    })
}

fn verify_here(directory: &Path, arguments: &VerifyArguments) -> Result<VerifyReport, Failure> {
    if !directory.is_dir() {
        return Err(Failure::usage(format!("`{}` is no directory", directory.display())));
    }
    let keys = match &arguments.keys {
        Some(path) => {
            let document = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            PublicKey::from_jwks(&document).map_err(|error| {
                Failure::usage(format!("`{}` cannot be used", path.display())).because(&error)
            })?
        }
        None => Vec::new(),
    };
    let against = match &arguments.against {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            let found = read_checkpoints(&bytes).map_err(|line| {
                Failure::usage(format!("line {line} of `{}` is no checkpoint", path.display()))
            })?;
            if found.is_empty() {
                return Err(Failure::usage(format!(
                    "`{}` holds no checkpoint to compare with",
                    path.display()
                )));
            }
            Some(found)
        }
        None => None,
    };
    let report = verify_directory(directory, &keys, against.as_deref())
        .map_err(|error| unreadable(directory, &error))?;
    if report.records == 0 && report.holds() {
        return Err(Failure::new(
            Exit::NotVerified,
            format!("`{}` holds no audit record", directory.display()),
        ));
    }
    Ok(report)
}

/// The report as the API gives it, with what only a verification against other checkpoints knows.
fn verdict(report: &VerifyReport) -> Value {
    let problem = report.first_problem.map(|problem| {
        json!({"segment": problem.segment, "sequence": problem.sequence, "message": problem.to_string()})
    });
    json!({
        "holds": report.holds(),
        "records": report.records,
        "segments": report.segments,
        "checkpoints": report.checkpoints,
        "last_hash": report.last_hash,
        "problem": problem,
        "chain": report.chain,
        "against": report.against,
        "anchored": report.anchored,
        "begins_after": report.begins_after,
        "torn_tail": report.torn_tail,
    })
}

fn verified(answer: &Value, holds: bool) -> View {
    let word = if holds { "The chain holds" } else { "The chain does NOT hold" };
    let anchored = text(answer, "/anchored");
    View::default().title(word).fields([
        ("problem", text(answer, "/problem/message")),
        ("chain", text(answer, "/chain")),
        ("records", text(answer, "/records")),
        ("begins after", text(answer, "/begins_after")),
        ("segments", text(answer, "/segments")),
        ("last hash", short(&text(answer, "/last_hash"))),
        ("checkpoints", text(answer, "/checkpoints")),
        ("from elsewhere", text(answer, "/against")),
        (
            "anchored up to",
            if anchored.is_empty() && holds {
                "nothing: no checkpoint from elsewhere was compared".to_owned()
            } else {
                anchored
            },
        ),
        ("unfinished bytes", text(answer, "/torn_tail")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_proves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = VerifyArguments { directory: None, against: None, keys: None };
        let failure = verify_here(directory.path(), &arguments).unwrap_err();
        assert_eq!(failure.exit, Exit::NotVerified);
    }
}
