//! `session …`: protocol sessions, live streams and processes of servers, listed and ended.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::binding::items;
use super::failure::{Exit, Failure};
use super::pick::{first, list, text, time};
use super::session::{InEnvironment, Session};
use super::view::{Table, View};

/// What to do with sessions.
#[derive(Subcommand, Debug)]
pub(super) enum SessionCommand {
    /// List protocol sessions, live streams and processes of servers, the oldest first
    List(SelectionArguments),
    /// End one, or all that match: what runs is cut, and the client begins anew
    Terminate(TerminateArguments),
}

/// Which of them.
#[derive(Args, Debug, Default)]
pub(super) struct SelectionArguments {
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
    /// Only on this server
    #[arg(long, value_name = "ENVIRONMENT/NAME")]
    server: Option<InEnvironment>,
    /// Only under this binding
    #[arg(long, value_name = "ENVIRONMENT/NAME")]
    binding: Option<InEnvironment>,
    /// Only of this actor: a user as `iss|sub`, an agent or a workload
    #[arg(long, visible_alias = "all-of", value_name = "ACTOR")]
    actor: Option<String>,
}

/// Which to end: one by its id, or all that match every option given.
#[derive(Args, Debug)]
pub(super) struct TerminateArguments {
    /// The id that `session list` shows
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    selection: SelectionArguments,
}

impl SelectionArguments {
    fn conditions(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let named = [self.server.as_ref(), self.binding.as_ref()].into_iter().flatten();
        let mut environments: Vec<&String> = self.environment.iter().collect();
        environments.extend(named.map(|name| &name.environment));
        environments.dedup();
        if environments.len() > 1 {
            return Err(Failure::usage("the options name different environments"));
        }
        let conditions = [
            ("environment", environments.first().map(|name| (*name).clone())),
            ("server", self.server.as_ref().map(|server| server.name.clone())),
            ("binding", self.binding.as_ref().map(|binding| binding.name.clone())),
            ("actor", self.actor.clone()),
        ];
        Ok(conditions.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &SessionCommand) -> Result<Exit, Failure> {
    match command {
        SessionCommand::List(selection) => {
            let answer = session.client()?.every(&["sessions"], &selection.conditions()?)?;
            session.printer.show(&answer, |answer| listed(items(answer)));
        }
        SessionCommand::Terminate(arguments) => {
            let answer = terminate(session, arguments)?;
            session.printer.show(&answer, ended);
        }
    }
    Ok(Exit::Ok)
}

fn terminate(session: &Session, arguments: &TerminateArguments) -> Result<Value, Failure> {
    let conditions = arguments.selection.conditions()?;
    match (&arguments.id, conditions.is_empty()) {
        (Some(id), true) => session.client()?.post(&["sessions", id, "terminate"], &json!({})),
        (None, false) => {
            let wanted: serde_json::Map<_, _> =
                conditions.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
            session.client()?.post(&["sessions", "terminate"], &Value::Object(wanted))
        }
        _ => Err(Failure::usage("say which: one ID, or options that choose")
            .hint("`mcp-gateway session terminate --all-of 'https://idp.example.com|alice'`")),
    }
}

fn listed(sessions: &[Value]) -> View {
    if sessions.is_empty() {
        return View::default().text("no session, no stream and no process is open on this gateway");
    }
    let headings = ["id", "kind", "actor", "server", "binding", "protocol", "since", "last used", "about"];
    let mut table = Table::new(&headings);
    for one in sessions {
        table.row([
            text(one, "/id"),
            text(one, "/kind"),
            actor(one),
            format!("{}/{}", text(one, "/environment"), text(one, "/server")),
            text(one, "/bindings"),
            text(one, "/protocol"),
            time(&text(one, "/opened_at")),
            time(&text(one, "/last_used_at")),
            about(one),
        ]);
    }
    View::default().table("", table)
}

fn actor(one: &Value) -> String {
    let parts = ["/actor/agent", "/actor/user", "/actor/workload"].map(|part| text(one, part));
    let named: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if named.is_empty() { first(one, &["/actor/surface"]) } else { named.join(" for ") }
}

fn about(one: &Value) -> String {
    match text(one, "/kind").as_str() {
        "session" => match text(one, "/streams").as_str() {
            "1" => "1 stream".to_owned(),
            count => format!("{count} streams"),
        },
        _ => [text(one, "/method"), text(one, "/tool")].join(" ").trim().to_owned(),
    }
}

/// The answer to one id is the record itself; the answer to options holds a list of such records.
fn ended(answer: &Value) -> View {
    let all = match answer.get("terminated") {
        Some(_) => list(answer, "/terminated"),
        None => std::slice::from_ref(answer),
    };
    if all.is_empty() {
        return View::default().text("no session matched; nothing was ended");
    }
    let mut table = Table::new(&["ended", "kind", "calls cut", "streams cut", "upstream", "audit record"]);
    for one in all {
        table.row([
            text(one, "/id"),
            text(one, "/kind"),
            text(one, "/ended/calls"),
            text(one, "/ended/streams"),
            upstream(one),
            first(&json!({"audit": one.get("audit"), "pending": "pending"}), &["/audit", "/pending"]),
        ]);
    }
    View::default().table("", table)
}

fn upstream(one: &Value) -> String {
    match (text(one, "/upstream_ended").as_str(), text(one, "/upstream_left").as_str()) {
        ("0", "0") => "none".to_owned(),
        (ended, "0") => format!("{ended} ended"),
        (ended, left) => format!("{ended} ended, {left} left to their own limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Value {
        json!({"items": [
            {"id": "5f0c6a2e9b1d4477", "kind": "session", "environment": "production", "server": "github",
             "actor": {"user": "https://idp|alice", "agent": "triage-bot"}, "bindings": ["triage@3"],
             "protocol": "2025-11-25", "opened_at": "2026-11-26T09:00:00.123Z",
             "last_used_at": "2026-11-26T09:05:00.5Z", "streams": 1},
            {"id": "01m8bdth85t49b6869v7149xkk", "kind": "stream", "environment": "dev", "server": "tools",
             "actor": {"surface": "cli"}, "bindings": ["main@1"], "protocol": "2026-07-28",
             "opened_at": "2026-11-26T09:01:00Z", "method": "tools/call", "tool": "watch"}
        ]})
    }

    #[test]
    fn sessions_and_streams_read_well_in_one_table() {
        insta::assert_snapshot!(listed(items(&sessions())).plain());
    }

    #[test]
    fn nothing_open_and_nothing_ended_are_said_in_words() {
        assert!(listed(&[]).plain().starts_with("no session"));
        assert!(ended(&json!({"terminated": []})).plain().starts_with("no session matched"));
    }

    #[test]
    fn what_was_ended_is_told_with_its_evidence() {
        let one = json!({"id": "5f0c6a2e9b1d4477", "kind": "session", "complete": true, "audit": 41,
            "ended": {"calls": 0, "streams": 1, "sessions": 1, "cached_values": 0},
            "upstream_ended": 1, "upstream_left": 0});
        let line = ended(&one).plain().lines().nth(1).unwrap().to_owned();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["5f0c6a2e9b1d4477", "session", "0", "1", "1", "ended", "41"]
        );
        let unrecorded = ended(&json!({"terminated": [{"id": "x", "audit": null}]})).plain();
        assert!(unrecorded.contains("pending"), "{unrecorded}");
    }

    #[test]
    fn options_that_name_two_environments_are_refused() {
        let mut wanted = SelectionArguments { server: "dev/tools".parse().ok(), ..Default::default() };
        assert_eq!(
            wanted.conditions().unwrap(),
            [("environment", "dev".to_owned()), ("server", "tools".to_owned())]
        );
        wanted.environment = Some("production".to_owned());
        assert_eq!(wanted.conditions().unwrap_err().exit, Exit::Usage);
    }
}
