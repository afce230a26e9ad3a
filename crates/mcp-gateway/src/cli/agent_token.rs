//! `agent …`: agents' ends, and the tokens that the gateway issues to them (shown once, stored as a hash).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gateway_core::manifest::Kind;
use serde_json::{Value, json};

use super::access::take_token;
use super::binding::{items, or_nothing};
use super::failure::{Exit, Failure};
use super::object::{self, GetArguments, ListArguments, ReadCommand};
use super::pick::{is_true, list, text, time};
use super::session::Session;
use super::token_file;
use super::view::{Table, View};

/// What to do with agents.
#[derive(Subcommand, Debug)]
pub(super) enum AgentCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// Switch off, with its tokens, calls, streams, sessions and leases; can be switched on again
    Disable(AgentName),
    /// Switch on again; it needs new tokens
    Enable(AgentName),
    /// End for ever: answers when nothing runs for it any more, and prints the evidence
    Revoke(RevokeAgent),
    /// Issue, list and revoke agents' tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What to do with tokens.
#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Issue a token; it is shown once, or written to a private file
    Issue(IssueArguments),
    /// List the tokens of an agent (never the tokens themselves)
    List(AgentName),
    /// Revoke a token by its id
    Revoke(TokenId),
}

/// One agent.
#[derive(Args, Debug)]
pub(super) struct AgentName {
    /// The agent
    #[arg(value_name = "AGENT")]
    agent: String,
}

/// Which agent is revoked.
#[derive(Args, Debug)]
pub(super) struct RevokeAgent {
    #[command(flatten)]
    agent: AgentName,
    /// Repeat the agent's name: a revoked name never comes back
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// One token.
#[derive(Args, Debug)]
pub(super) struct TokenId {
    /// The token's public id, as `agent token list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// What token.
#[derive(Args, Debug)]
pub(super) struct IssueArguments {
    #[command(flatten)]
    agent: AgentName,
    /// The environment it may enter
    #[arg(long)]
    environment: String,
    /// The only server of the environment that it opens; may be repeated; all where absent
    #[arg(long = "server", value_name = "SERVER")]
    servers: Vec<String>,
    /// How long it holds: a number and `m`, `h` or `d`; at most 90d
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    lifetime: u64,
    /// Write the token to this new file (mode 0600) instead of showing it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Reads `30m`, `24h` or `7d` as seconds.
fn span(text: &str) -> Result<u64, &'static str> {
    const RULE: &str = "write a number and `m`, `h` or `d`, such as `24h`";
    let unit = text.chars().last().ok_or(RULE)?;
    let seconds: u64 = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(RULE),
    };
    let number = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number: u64 = number.and_then(|digits| digits.parse().ok()).ok_or(RULE)?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or(RULE)
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: AgentCommand) -> Result<Exit, Failure> {
    match command {
        AgentCommand::List(arguments) => object::read(session, Kind::Agent, &ReadCommand::List(arguments)),
        AgentCommand::Get(arguments) => object::read(session, Kind::Agent, &ReadCommand::Get(arguments)),
        AgentCommand::Disable(agent) => end(session, &agent.agent, "disable"),
        AgentCommand::Enable(agent) => {
            let answer = session.client()?.post(&["agents", &agent.agent, "enable"], &json!({}))?;
            session.printer.show(&answer, |answer| {
                let fields = [("revision", text(answer, "/revision")), ("status", text(answer, "/status"))];
                View::default().title(format!("agent {}: enabled", agent.agent)).fields(fields)
            });
            Ok(Exit::Ok)
        }
        AgentCommand::Revoke(RevokeAgent { agent: AgentName { agent }, confirm }) => {
            if confirm != agent {
                let hint = format!("`--confirm {agent}`");
                return Err(Failure::usage("the name to confirm is another one").hint(hint));
            }
            session.printer.progress("revoking: waiting until nothing runs for the agent …");
            end(session, &agent, "revoke")
        }
        AgentCommand::Token(TokenCommand::Issue(arguments)) => issue(session, &arguments),
        AgentCommand::Token(TokenCommand::List(agent)) => listing(session, &agent),
        AgentCommand::Token(TokenCommand::Revoke(token)) => {
            session.client()?.delete(&["agent-tokens", &token.id])?;
            let answer = json!({"id": token.id, "revoked": true});
            session.printer.show(&answer, |_| {
                View::default().text(format!("token {}: revoked; it opens nothing any more", token.id))
            });
            Ok(Exit::Ok)
        }
    }
}

fn end(session: &mut Session, agent: &str, act: &str) -> Result<Exit, Failure> {
    let answer = session.client()?.post(&["agents", agent, act], &json!({}))?;
    session.printer.show(&answer, |answer| evidence(agent, act, answer));
    Ok(Exit::Ok)
}

/// What an agent's end took with it, when, and where that stands in the audit log.
fn evidence(agent: &str, act: &str, answer: &Value) -> View {
    let title = format!("agent {agent}: {act}d; nothing runs for it any more");
    let view = View::default().title(title).fields([
        ("revision", text(answer, "/revision")),
        ("decided at", text(answer, "/decided_at")),
        ("completed at", text(answer, "/completed_at")),
        ("tokens ended", text(answer, "/ended/tokens")),
        ("calls ended", text(answer, "/ended/calls")),
        ("streams ended", text(answer, "/ended/streams")),
        ("sessions ended", text(answer, "/ended/sessions")),
        ("processes killed", text(answer, "/ended/children")),
        ("values and leases ended", text(answer, "/ended/cached_values")),
        ("audit: decided", text(answer, "/audit/decided")),
        ("audit: completed", text(answer, "/audit/completed")),
    ]);
    let view = if act == "revoke" { super::revocation::documented(view, answer) } else { view };
    if is_true(answer, "/audit/pending") {
        return view.text("Evidence waits to be written: the audit log does not take records now.");
    }
    view
}

fn issue(session: &mut Session, arguments: &IssueArguments) -> Result<Exit, Failure> {
    let agent = &arguments.agent.agent;
    let mut entry = json!({"environment": arguments.environment});
    if let Some(fields) = entry.as_object_mut().filter(|_| !arguments.servers.is_empty()) {
        fields.insert("servers".to_owned(), json!(arguments.servers));
    }
    let body = json!({"entries": [entry], "lifetime_seconds": arguments.lifetime});
    // Before the token exists: a file that is there is not written over.
    if arguments.write.as_ref().is_some_and(|path| path.exists()) {
        return Err(
            Failure::usage("the file to write is there already").hint("name a new file with `--write`")
        );
    }
    let mut answer = session.client()?.post(&["agents", agent, "tokens"], &body)?;
    if let Some(path) = &arguments.write {
        let token = take_token(&mut answer)?;
        token_file::write(path, &token, false)?;
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("token_file".to_owned(), json!(path.display().to_string()));
        }
    }
    session.printer.show(&answer, |answer| {
        View::default().title(format!("Token of agent {agent}; it is not shown again")).fields([
            ("token", text(answer, "/token")),
            ("token file", text(answer, "/token_file")),
            ("id", text(answer, "/id")),
            ("until", time(&text(answer, "/expires_at"))),
        ])
    });
    Ok(Exit::Ok)
}

fn opens(token: &Value) -> String {
    let doors = list(token, "/entries").iter().map(|entry| {
        let servers = text(entry, "/servers");
        let environment = text(entry, "/environment");
        if servers.is_empty() { environment } else { format!("{environment}: {servers}") }
    });
    doors.collect::<Vec<_>>().join("; ")
}

fn listing(session: &mut Session, agent: &AgentName) -> Result<Exit, Failure> {
    let answer = session.client()?.every(&["agents", &agent.agent, "tokens"], &[])?;
    session.printer.show(&answer, |answer| {
        let mut table = Table::new(&["id", "opens", "issued", "by", "until", "revoked"]);
        for token in items(answer) {
            table.row([
                text(token, "/id"),
                opens(token),
                time(&text(token, "/created_at")),
                text(token, "/issued_by"),
                time(&text(token, "/expires_at")),
                time(&text(token, "/revoked_at")),
            ]);
        }
        or_nothing(table, "no tokens")
    });
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        assert_eq!((span("30m"), span("24h"), span("7d")), (Ok(1_800), Ok(86_400), Ok(604_800)));
        for bad in ["", "h", "24", "-1h", "+1h", "1.5h", "0d", "1w", "99999999999999999999d", "1é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
