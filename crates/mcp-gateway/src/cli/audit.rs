//! `audit search`, `audit tail` and `audit verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use gateway_adapters::audit::{
    Filter, Order, PublicKey, Reader, VerifyReport, read_checkpoints, verify_directory,
};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::pick::{first, is_true, list, short, text, time};
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
    Verify(VerifyArguments),
}

/// Which records.
#[derive(Args, Debug, Default)]
pub(super) struct Conditions {
    /// The request's id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The binding, as `name` or `name@revision`
    #[arg(long)]
    binding: Option<String>,
    /// The agent
    #[arg(long)]
    agent: Option<String>,
    /// The user, as `issuer|subject`
    #[arg(long)]
    user: Option<String>,
    /// The operator
    #[arg(long)]
    operator: Option<String>,
    /// The server
    #[arg(long)]
    server: Option<String>,
    /// The environment
    #[arg(long)]
    environment: Option<String>,
    /// The tool
    #[arg(long)]
    tool: Option<String>,
    /// What happened: `intent`, `outcome`, `refused`, `binding_revoked`, …
    #[arg(long)]
    kind: Option<String>,
    /// `allow` or `deny`
    #[arg(long)]
    decision: Option<String>,
    /// Not before this time, as RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time, as RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
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

/// What is verified.
#[derive(Args, Debug)]
pub(super) struct VerifyArguments {
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
        AuditCommand::Verify(arguments) => verify(session, arguments),
    }
}

impl Conditions {
    fn set(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("request_id", &self.request_id),
            ("binding", &self.binding),
            ("agent", &self.agent),
            ("user", &self.user),
            ("operator", &self.operator),
            ("server", &self.server),
            ("environment", &self.environment),
            ("tool", &self.tool),
            ("kind", &self.kind),
            ("decision", &self.decision),
            ("from", &self.from),
            ("until", &self.until),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let fields = self.set().into_iter().map(|(name, value)| (name.to_owned(), json!(value)));
        serde_json::from_value(Value::Object(fields.collect()))
            .map_err(|error| Failure::usage("these conditions cannot be searched for").because(&error))
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
            let mut query = arguments.conditions.set();
            query.push(("limit", arguments.limit.to_string()));
            if arguments.oldest_first {
                query.push(("order", "oldest_first".to_owned()));
            }
            session.client()?.fetch(&["audit"], &query)?
        }
    };
    session.printer.show(&answer, found);
    Ok(Exit::Ok)
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Failure {
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
        view = view.text("There are more: raise `--limit`, or narrow the search.");
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
        let mut query = arguments.conditions.set();
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

fn verify(session: &mut Session, arguments: &VerifyArguments) -> Result<Exit, Failure> {
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

fn verify_here(directory: &std::path::Path, arguments: &VerifyArguments) -> Result<VerifyReport, Failure> {
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
    fn conditions_are_judged_before_anything_is_asked() {
        let kind = |kind: &str| Conditions { kind: Some(kind.into()), ..Conditions::default() };
        assert!(kind("binding_revoked").filter().is_ok());
        assert_eq!(kind("nonsense").filter().unwrap_err().exit, Exit::Usage);
        let from = Conditions { from: Some("yesterday".into()), ..Conditions::default() };
        assert_eq!(from.filter().unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn an_empty_directory_proves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = VerifyArguments { directory: None, against: None, keys: None };
        let failure = verify_here(directory.path(), &arguments).unwrap_err();
        assert_eq!(failure.exit, Exit::NotVerified);
    }

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
