//! `adopt`: loose keys in client configurations, `.env` files, source and logs. Nothing here prints a
//! value: what is shown comes from names, places and kinds.

mod files;
mod journal;
mod knock;
mod planned;
mod programs;
mod report;
mod undo;
mod write;

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use clap::{Args, Subcommand, ValueEnum};
use gateway_adopt::walk::{Report, WalkError, walk};
use gateway_adopt::{Baseline, Split, sarif};
use gateway_core::id::{AgentName, EnvironmentName, StoreName, TeamName};
use gateway_core::secret::FingerprintKey;
use url::Url;

use super::failure::{Exit, Failure};
use super::session::Session;

/// What is looked through, and what for.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Without an option, adopt reports, changes nothing, and ends with 0."
)]
pub(super) struct AdoptArguments {
    #[command(subcommand)]
    command: Option<AdoptCommand>,
    /// A file, or a directory with everything below it
    #[arg(required = true)]
    path: Option<PathBuf>,
    /// End with 1 where a key was found that the baseline does not know (for CI)
    #[arg(long, group = "act")]
    check: bool,
    /// Write what adopting would do: store paths, manifests, changes of files
    #[arg(long, group = "act")]
    plan: bool,
    /// Adopt: values into the store, manifests applied, clients' entries pointed at the gateway
    #[arg(long, group = "act")]
    write: bool,
    /// How findings are written, in place of `--output`
    #[arg(long, value_enum, conflicts_with_all = ["plan", "write"])]
    format: Option<Format>,
    /// The file of findings that are known and tolerated for now
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "write"])]
    baseline: Option<PathBuf>,
    /// Write the findings of this run as the baseline
    #[arg(long, requires = "baseline")]
    write_baseline: bool,
    #[command(flatten)]
    target: Target,
}

/// What else there is to do.
#[derive(Subcommand, Debug)]
enum AdoptCommand {
    /// Take back what `--write` changed in files, with references in the place of the values
    Undo {
        /// The id that `--write` printed; without one, every adoption that can be undone is listed
        id: Option<String>,
        /// Put the values back too: a JSON object on standard input that says the value of each reference
        #[arg(long, requires = "id")]
        values_stdin: bool,
        /// The directory with the way back, where `--write` was given one
        #[arg(long, value_name = "DIRECTORY")]
        journal: Option<PathBuf>,
    },
}

/// Into what the keys would be adopted.
#[derive(Args, Debug)]
struct Target {
    /// The environment of the servers and bindings to be
    #[arg(long, default_value = "dev", help_heading = "For --plan and --write")]
    environment: EnvironmentName,
    /// The configured store that would take the values
    #[arg(long, default_value = "local", help_heading = "For --plan and --write")]
    store: StoreName,
    /// The path in the store below which they would go, such as `kv/adopted` for a mount `kv`
    #[arg(long, value_name = "PATH", default_value = "adopted", help_heading = "For --plan and --write")]
    below: String,
    /// The team that would own servers and bindings
    #[arg(long, value_name = "TEAM", help_heading = "For --plan and --write")]
    owner: Option<TeamName>,
    /// The registered agent that the bindings would serve
    #[arg(long, help_heading = "For --plan and --write")]
    agent: Option<AgentName>,
    /// The gateway's public URL, which clients would use
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        help_heading = "For --plan and --write"
    )]
    gateway: Url,
    /// Look programs up in this machine's PATH: the gateway runs here
    #[arg(long, help_heading = "For --plan and --write")]
    local_programs: bool,
    /// Write the manifests to this new file, for `apply -f`
    #[arg(long, value_name = "FILE", requires = "plan", help_heading = "For --plan and --write")]
    manifests: Option<PathBuf>,
    /// Where the way back is kept; under your state directory (XDG) where absent
    #[arg(long, value_name = "DIRECTORY", requires = "write", help_heading = "For --plan and --write")]
    journal: Option<PathBuf>,
}

/// A format of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Runs it.
pub(super) fn run(session: &mut Session, arguments: &AdoptArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Some(AdoptCommand::Undo { id: Some(id), values_stdin, journal }) => {
            let values = if *values_stdin { undo::values()? } else { Vec::new() };
            return undo::run(session, journal.as_deref(), id, &values);
        }
        Some(AdoptCommand::Undo { id: None, journal, .. }) => {
            return undo::list(session, journal.as_deref());
        }
        None => {}
    }
    let path = arguments.path.as_ref().ok_or_else(|| Failure::usage("name a file or a directory"))?;
    let baseline = arguments.known()?;
    session.printer.progress(&format!("looking through {} …", path.display()));
    let mut report = walk(path).map_err(|error| unreadable(&error))?;
    if arguments.target.local_programs {
        programs::resolve(&mut report.scanned.servers, &std::env::var_os("PATH").unwrap_or_default());
    }
    let key = fingerprint_key()?;
    if arguments.plan {
        return planned::run(session, &arguments.target, &report, &key);
    }
    if arguments.write {
        return write::run(session, &arguments.target, &report, &key);
    }
    let split = baseline.as_ref().map(|baseline| baseline.split(&report.scanned.findings));
    if let Some(file) = arguments.baseline.as_ref().filter(|_| arguments.write_baseline) {
        return write_baseline(session, file, &report);
    }
    match arguments.format {
        Some(Format::Sarif) => {
            let known = split.as_ref().map(|split| split.known.as_slice()).unwrap_or_default();
            let scanned = &report.scanned;
            let version = env!("CARGO_PKG_VERSION");
            session.printer.json(&sarif(&scanned.findings, known, &scanned.notes, version));
        }
        None => report::show(session, &report, split.as_ref(), &key),
    }
    Ok(arguments.exit(&report, split.as_ref()))
}

impl AdoptArguments {
    /// The baseline to compare with.
    fn known(&self) -> Result<Option<Baseline>, Failure> {
        let Some(file) = self.baseline.as_ref().filter(|_| !self.write_baseline) else { return Ok(None) };
        let unusable = || Failure::usage(format!("the baseline `{}` cannot be used", file.display()));
        let hint = "write it once with `--baseline FILE --write-baseline`, read it, and commit it";
        let text = std::fs::read_to_string(file).map_err(|error| unusable().because(&error).hint(hint))?;
        Baseline::parse(&text).map(Some).map_err(|error| unusable().because(&error).hint(hint))
    }

    fn exit(&self, report: &Report, split: Option<&Split>) -> Exit {
        let new = split.map_or(report.scanned.findings.len(), Split::new_count);
        if self.check && new > 0 { Exit::Refused } else { Exit::Ok }
    }
}

fn unreadable(error: &WalkError) -> Failure {
    let failure = Failure::usage(error);
    match std::error::Error::source(error) {
        Some(source) => failure.because(source),
        None => failure,
    }
}

/// A key for the fingerprints of this run: they tell equal values apart in one report, and nobody can
/// try values against them afterwards.
fn fingerprint_key() -> Result<FingerprintKey, Failure> {
    let mut key = [0_u8; 32];
    random(&mut key)?;
    Ok(FingerprintKey::new(key))
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    rand::fill(bytes).map_err(|_| Failure::new(Exit::Refused, "the system's random generator failed"))
}

fn write_baseline(session: &mut Session, file: &Path, report: &Report) -> Result<Exit, Failure> {
    let mut salt = [0_u8; 16];
    random(&mut salt)?;
    let baseline = Baseline::of(&report.scanned.findings, salt);
    std::fs::write(file, baseline.to_json()).map_err(|error| {
        Failure::usage(format!("the baseline `{}` cannot be written", file.display())).because(&error)
    })?;
    let count = report::counted(report.scanned.findings.len(), "known finding");
    session
        .printer
        .note(&format!("{}: {count}. A tolerated key is still a loose one: replace it.", file.display()));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests;
