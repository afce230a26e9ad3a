//! `audit search`, `audit tail` and what else can be asked of the evidence.

mod conditions;
mod export;
mod key;
mod show;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use gateway_adapters::audit::{Order, Reader};
use serde_json::Value;

use self::conditions::Conditions;
use super::failure::{Exit, Failure};
use super::pick::{first, is_true, list, text, time};
use super::print::Output;
use super::session::Session;
use super::view::{Table, View};

/// What to do with the evidence.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Find records, the newest first
    Search(SearchArguments),
    /// Follow new records as they are written
    Tail(TailArguments),
    /// Show the public keys that sign the gateway's checkpoints, for `verify --keys` (RFC 7517)
    Keys,
    /// Prove that no record was changed, left out, reordered or cut off
    Verify(verify::VerifyArguments),
    /// Show how one call was decided, and which revisions stood behind it
    Show(show::ShowArguments),
    /// Write records for other systems, the oldest first: as they are, as OCSF or as CEF
    Export(export::ExportArguments),
    /// Let a new key sign checkpoints (on the gateway's own machine)
    RotateKey(key::KeyArguments),
}

/// What is searched.
#[derive(Args, Debug)]
pub(super) struct SearchArguments {
    #[command(flatten)]
    conditions: Conditions,
    /// At most so many records
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    /// Where the last page ended, as it said in `next`
    #[arg(long, value_name = "NEXT", conflicts_with = "directory")]
    cursor: Option<u64>,
    /// Read this audit directory, or a copy of it, instead of asking the gateway
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// What is followed.
#[derive(Args, Debug)]
pub(super) struct TailArguments {
    #[command(flatten)]
    conditions: Conditions,
    /// Begin after this record; without it, with what is written from now on
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Search(arguments) => search(session, arguments),
        AuditCommand::Tail(arguments) => tail(session, arguments),
        AuditCommand::Keys => {
            let keys = session.client_with(None)?.fetch_public(&[".well-known", "jwks.json"])?;
            session.printer.json(&keys);
            Ok(Exit::Ok)
        }
        AuditCommand::Verify(arguments) => verify::verify(session, arguments),
        AuditCommand::Show(arguments) => show::show(session, arguments),
        AuditCommand::Export(arguments) => export::export(session, arguments),
        AuditCommand::RotateKey(arguments) => key::rotate(session, arguments),
    }
}

fn search(session: &mut Session, arguments: &SearchArguments) -> Result<Exit, Failure> {
    let filter = arguments.conditions.filter()?;
    let answer = match &arguments.directory {
        Some(directory) => {
            let order = if arguments.oldest_first { Order::OldestFirst } else { Order::NewestFirst };
            let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
            let found = Reader::new(directory).search(&filter, order, limit);
            let found = found.map_err(|error| unreadable(directory, &error))?;
            serde_json::to_value(found).unwrap_or_default()
        }
        None => {
            let mut query = arguments.conditions.set()?;
            query.push(("limit", arguments.limit.to_string()));
            if arguments.oldest_first {
                query.push(("order", "oldest_first".to_owned()));
            }
            if let Some(cursor) = arguments.cursor {
                query.push(("cursor", cursor.to_string()));
            }
            session.client()?.fetch(&["audit"], &query)?
        }
    };
    session.printer.show(&answer, found);
    Ok(Exit::Ok)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("`{}` cannot be read", path.display())).because(error)
}

fn found(answer: &Value) -> View {
    let mut table =
        Table::new(&["sequence", "time", "what", "who", "where", "tool", "decision", "binding", "reason"]);
    for record in list(answer, "/records") {
        table.row(cells(record));
    }
    let mut view = super::binding::or_nothing(table, "no records");
    if is_true(answer, "/more") {
        let next = text(answer, "/next");
        view = view.text(match next.as_str() {
            "" => "There are more: raise `--limit`, or narrow the search.".to_owned(),
            next => format!("There are more: go on with `--cursor {next}`, or narrow the search."),
        });
    }
    let unreadable = text(answer, "/unreadable");
    if !matches!(unreadable.as_str(), "" | "0") {
        view = view.text(format!("{unreadable} lines cannot be read: run `audit verify`."));
    }
    view
}

/// One record as cells.
fn cells(record: &Value) -> [String; 9] {
    let event = record.get("event").unwrap_or(record);
    let cell = |pointer: &str| text(event, pointer);
    let who = [cell("/operator"), cell("/agent"), cell("/user")].into_iter().filter(|part| !part.is_empty());
    let place = [cell("/environment"), cell("/server")].into_iter().filter(|part| !part.is_empty());
    let object = match event.get("object") {
        Some(object) if object.is_object() => {
            let parts = ["/kind", "/environment", "/name"].map(|pointer| text(object, pointer));
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        }
        _ => cell("/object"),
    };
    let binding = cell("/binding");
    [
        text(record, "/sequence"),
        time(&cell("/time")),
        cell("/kind"),
        who.collect::<Vec<_>>().join(" for "),
        place.collect::<Vec<_>>().join("/"),
        first(event, &["/tool", "/method"]),
        cell("/decision"),
        if binding.is_empty() { object } else { binding },
        first(event, &["/reason", "/status", "/outcome/upstream_status"]),
    ]
}

fn tail(session: &mut Session, arguments: &TailArguments) -> Result<Exit, Failure> {
    let client = session.client()?;
    arguments.conditions.filter()?;
    let mut after = match arguments.after {
        Some(after) => after,
        None => last_sequence(&client.fetch(&["audit"], &[("limit", "1".to_owned())])?).unwrap_or(0),
    };
    while !session.printer.is_closed() {
        let mut query = arguments.conditions.set()?;
        query.push(("order", "oldest_first".to_owned()));
        query.push(("after", after.to_string()));
        let answer = client.fetch(&["audit"], &query)?;
        for record in list(&answer, "/records") {
            show_record(session, record);
        }
        after = last_sequence(&answer).unwrap_or(after);
        if !is_true(&answer, "/more") {
            client.pause(BETWEEN_QUESTIONS);
        }
    }
    Ok(Exit::Ok)
}

/// How long `tail` waits before it asks again.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

fn last_sequence(answer: &Value) -> Option<u64> {
    list(answer, "/records").last()?.get("sequence")?.as_u64()
}

fn show_record(session: &mut Session, record: &Value) {
    if session.printer.output() == Output::Json {
        session.printer.json_line(record);
        return;
    }
    let cells: Vec<String> = cells(record).into_iter().filter(|cell| !cell.is_empty()).collect();
    session.printer.text(&format!("{}\n", cells.join("  ").replace('\n', " ")));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_one_line_of_who_what_and_why() {
        let record = json!({"sequence": 7, "hash": "ab", "event": {"time": "2026-11-26T09:00:00.5Z", "kind": "refused",
            "agent": "triage-bot", "user": "iss|sub", "environment": "dev", "server": "github", "tool": "delete",
            "decision": "deny", "reason": "tool.unknown"}});
        assert_eq!(
            cells(&record).join(" / "),
            "7 / 2026-11-26T09:00:00Z / refused / triage-bot for iss|sub / dev/github / delete / deny /  / tool.unknown"
        );
    }
}
