//! `audit export`: records in the words of others, one a line. Holds a page at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gateway_adapters::audit::{Reader, Stored};
use gateway_core::audit::export::{ExportFormat, Place, line};
use gateway_core::audit::{ChainId, Event, LinkHash};
use gateway_core::ports::Sequence;
use serde::Deserialize;
use serde_json::Value;

use super::conditions::Conditions;
use super::unreadable;
use crate::cli::client::Client;
use crate::cli::failure::{Exit, Failure};
use crate::cli::pick::{is_true, list};
use crate::cli::session::Session;

/// How records are spelled.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Format {
    /// As they are, as JSON with their place in the chain
    Ndjson,
    /// Open Cybersecurity Schema Framework 1.8, as JSON
    Ocsf,
    /// Common Event Format
    Cef,
}

/// What is exported, and where to.
#[derive(Args, Debug)]
pub(in crate::cli) struct ExportArguments {
    /// How records are spelled
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    #[command(flatten)]
    conditions: Conditions,
    /// The file to write; it must not exist. Standard output where absent
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Read this audit directory, or a copy or an archive of it, instead of asking the gateway
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson,
            Format::Ocsf => Self::Ocsf,
            Format::Cef => Self::Cef,
        }
    }
}

/// Where lines go.
enum Target<'s> {
    Session(&'s mut Session),
    File(BufWriter<File>),
}

impl Target<'_> {
    /// Writes a line; whether somebody still reads.
    fn put(&mut self, mut line: String) -> io::Result<bool> {
        line.push('\n');
        match self {
            Self::Session(session) => {
                session.printer.bytes(line.as_bytes());
                Ok(!session.printer.is_closed())
            }
            Self::File(file) => file.write_all(line.as_bytes()).map(|()| true),
        }
    }
}

/// Writes the records.
pub(super) fn export(session: &mut Session, arguments: &ExportArguments) -> Result<Exit, Failure> {
    let filter = arguments.conditions.filter()?;
    let client = if arguments.directory.is_none() { Some(session.client()?) } else { None };
    let mut target = match &arguments.output_file {
        Some(path) => Target::File(create(path)?),
        None => Target::Session(session),
    };
    let format = ExportFormat::from(arguments.format);
    let (count, unread) = match (&arguments.directory, &client) {
        (Some(directory), _) => {
            let chain = gateway_adapters::audit::chain_of(directory)
                .map_err(|error| unreadable(directory, &error))?;
            let mut written = 0_u64;
            let mut failed = None;
            let unread = Reader::new(directory).stream(&filter, &mut |stored: Stored| {
                let place = Place { chain, sequence: stored.sequence, hash: stored.hash };
                written = written.saturating_add(1);
                target.put(line(format, &stored.event, &place, env!("CARGO_PKG_VERSION"))).unwrap_or_else(
                    |error| {
                        failed = Some(error);
                        false
                    },
                )
            });
            if let Some(error) = failed {
                return Err(unwritten(&error));
            }
            (written, unread.map_err(|error| unreadable(directory, &error))?)
        }
        (None, Some(client)) => pages(client, &arguments.conditions, format, &mut target)?,
        (None, None) => (0, 0),
    };
    if let Target::File(mut file) = target {
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| unwritten(&error))?;
        session.printer.note(&format!("records: {count}"));
    }
    if unread == 0 {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::NotVerified, format!("{unread} lines cannot be read"))
        .hint("run `audit verify`; a line may also be of a later version"))
}

/// A record as the API gives it.
#[derive(Deserialize)]
struct Entry {
    sequence: Sequence,
    hash: LinkHash,
    event: Event,
}

/// Asks for one page after the other.
fn pages(
    client: &Client,
    conditions: &Conditions,
    format: ExportFormat,
    target: &mut Target<'_>,
) -> Result<(u64, u64), Failure> {
    let mut query = conditions.set()?;
    query.push(("order", "oldest_first".to_owned()));
    query.push(("limit", "1000".to_owned()));
    let (mut written, mut unread, mut cursor) = (0_u64, 0_u64, None::<u64>);
    loop {
        let mut page = query.clone();
        page.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        let answer = client.fetch(&["audit"], &page)?;
        let chain = answer.get("chain").cloned();
        let chain: Option<ChainId> = chain.and_then(|chain| serde_json::from_value(chain).ok());
        for record in list(&answer, "/records") {
            let entry: Entry = serde_json::from_value(record.clone()).map_err(|error| {
                Failure::new(Exit::Refused, "the gateway gave a record of another version").because(&error)
            })?;
            let place = Place { chain, sequence: entry.sequence, hash: entry.hash };
            let put = target.put(line(format, &entry.event, &place, env!("CARGO_PKG_VERSION")));
            if !put.map_err(|error| unwritten(&error))? {
                return Ok((written, unread));
            }
            written = written.saturating_add(1);
        }
        unread = unread.saturating_add(answer.get("unreadable").and_then(Value::as_u64).unwrap_or(0));
        cursor = answer.get("next").and_then(Value::as_u64);
        if cursor.is_none() || !is_true(&answer, "/more") {
            return Ok((written, unread));
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file =
        file.map_err(|error| Failure::usage(format!("`{}` cannot be made", path.display())).because(&error))?;
    Ok(BufWriter::new(file))
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Refused, "the export cannot be written").because(error)
}

#[cfg(test)]
mod tests {
    use gateway_adapters::audit::{AuditConfig, AuditLog, Durability};
    use gateway_core::audit::EventKind;
    use gateway_core::ports::AuditSink as _;
    use gateway_core::time::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::app::system::SystemEntropy;
    use crate::cli::print::Output;
    use crate::cli::tests::play;

    /// A directory with refusals of two tools.
    fn evidence() -> TempDir {
        let directory = TempDir::new().unwrap();
        let config = AuditConfig::new(directory.path(), Durability::Process);
        let (log, _) = AuditLog::open(&config, &SystemEntropy::default()).unwrap();
        for number in 0..5_u8 {
            let mut event = Event::new(EventKind::Refused, Timestamp::from_seconds(1_795_683_600));
            event.reason = Some(format!("reason.{}", number % 2));
            event.request_id = Some(gateway_core::id::RequestId::parse("request-7").unwrap());
            event.user = Some("iss|a=b|c\\d".to_owned());
            log.note(event).unwrap();
        }
        log.flush().unwrap();
        directory
    }

    fn export(directory: &TempDir, more: &[&str]) -> (u8, String, String) {
        let place = directory.path().to_str().unwrap();
        play(&[&["audit", "export", "--directory", place][..], more].concat(), Output::Table)
    }

    #[test]
    fn every_format_is_one_line_a_record_with_its_place() {
        let directory = evidence();
        for format in ["ndjson", "ocsf", "cef"] {
            let (exit, out, error) = export(&directory, &["--format", format]);
            assert_eq!((exit, out.lines().count()), (0, 5), "{format}: {error}");
            let place = match format {
                "ndjson" => "\"sequence\":3",
                "ocsf" => ":3\"",
                _ => "externalId=3 ",
            };
            assert!(out.lines().nth(2).unwrap().contains(place), "{format}: {out}");
        }
    }

    #[test]
    fn exports_only_what_is_asked_for_and_never_over_a_file() {
        let directory = evidence();
        let file = directory.path().join("out.jsonl");
        let shown = file.to_str().unwrap();
        let arguments = ["--where", "reason=reason.1", "--output-file", shown];
        let (exit, out, _) = export(&directory, &arguments);
        assert_eq!((exit, out.as_str()), (0, ""));
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
        assert_eq!(export(&directory, &arguments).0, 2, "the file is there");
        assert_eq!(export(&directory, &["--where", "colour=red"]).0, 2);
    }

    #[test]
    fn lines_that_cannot_be_read_are_told() {
        let directory = evidence();
        let segment = directory.path().join("segment-00000001.jsonl");
        let text = std::fs::read_to_string(&segment).unwrap();
        std::fs::write(&segment, text.replacen("{\"seq\":2", "{\"sek\":2", 1)).unwrap();
        let (exit, out, error) = export(&directory, &[]);
        assert_eq!((exit, out.lines().count()), (5, 4), "{error}");
    }

    #[test]
    fn one_call_is_shown_from_a_directory() {
        let directory = evidence();
        let place = directory.path().to_str().unwrap();
        let show = |id: &str| play(&["audit", "show", id, "--directory", place], Output::Table);
        let (exit, out, error) = show("request-7");
        assert_eq!(exit, 0, "{error}");
        assert!(out.contains("refused; no credential was used") && out.contains("reason.1"), "{out}");
        assert_eq!(show("request-8").0, 1);
    }
}
