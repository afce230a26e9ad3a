//! `binding …`: cards, signatures, rotation and revocation.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::card;
use super::effect;
use super::failure::{Exit, Failure};
use super::pick::{first, is_true, list, text};
use super::session::{InEnvironment, Session};
use super::view::{Table, View};

/// What to do with a binding.
#[derive(Subcommand, Debug)]
pub(super) enum BindingCommand {
    /// List the bindings
    List(ListArguments),
    /// Show the card: who gets what, why, and who signed (never the secret)
    Get(Target),
    /// Check a binding against the rules and the stores' boundaries, without fetching the secret
    Validate(Target),
    /// Sign a pending revision that somebody else wrote
    Approve(ApproveArguments),
    /// Say what a pending revision would do to the calls of late: who gains, who loses, before you sign
    Effect(ApproveArguments),
    /// Take the store's new version, or another reference, after probing that it works
    Rotate(RotateArguments),
    /// List the versions of its secret, and when the next is due (never the value)
    Versions(Target),
    /// Say that you have looked at it again: the next review is counted from now
    Review(ReviewArguments),
    /// Switch off; can be switched on again
    Disable(Target),
    /// Switch on again
    Enable(Target),
    /// End for ever: answers when no call can use it any more, and prints the evidence
    Revoke(RevokeArguments),
    /// Say which binding a call would use, and why
    Explain(ExplainArguments),
}

/// Which bindings.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
    /// Only on this server
    #[arg(long)]
    server: Option<String>,
    /// Only in this status
    #[arg(long)]
    status: Option<String>,
    /// Only those whose review stands there
    #[arg(long, value_name = "current|due|overdue")]
    review: Option<String>,
}

/// One binding.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// The binding
    #[arg(value_name = "ENVIRONMENT/NAME")]
    binding: InEnvironment,
}

/// What is signed.
#[derive(Args, Debug)]
pub(super) struct ApproveArguments {
    #[command(flatten)]
    target: Target,
    /// The revision that you read on the card; no other is signed
    #[arg(long)]
    revision: u32,
}

/// What was looked at, and for how long.
#[derive(Args, Debug)]
pub(super) struct ReviewArguments {
    #[command(flatten)]
    target: Target,
    /// The revision that you read on the card; no other is reviewed
    #[arg(long)]
    revision: u32,
    /// Until which day it holds; without it as long as the environment's rule allows
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<String>,
}

/// What the binding is rotated to.
#[derive(Args, Debug)]
pub(super) struct RotateArguments {
    #[command(flatten)]
    target: Target,
    /// The new reference; without it the present one is fetched anew
    #[arg(long, value_name = "REFERENCE")]
    to: Option<String>,
}

/// What is revoked.
#[derive(Args, Debug)]
pub(super) struct RevokeArguments {
    #[command(flatten)]
    target: Target,
    /// Repeat the binding's name: a revoked name never comes back
    #[arg(long, value_name = "NAME")]
    confirm: String,
}

/// The call to explain.
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    call: CallArguments,
}

/// Who would call what.
#[derive(Args, Debug)]
pub(super) struct CallArguments {
    /// The agent that would call
    #[arg(long)]
    agent: Option<String>,
    /// The workload it would call from
    #[arg(long)]
    workload: Option<String>,
    /// The client application it would come through
    #[arg(long, value_name = "CLIENT_ID")]
    surface: Option<String>,
    /// The user on whose behalf, as `issuer|subject`
    #[arg(long)]
    user: Option<String>,
    /// A group of that user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The tool
    #[arg(long, conflicts_with = "method", required_unless_present = "method")]
    tool: Option<String>,
    /// Another JSON-RPC method
    #[arg(long)]
    method: Option<String>,
}

impl CallArguments {
    /// The call as the API takes it.
    pub(super) fn document(&self) -> Map<String, Value> {
        let mut document = Map::new();
        let mut actor = Map::new();
        let put = |into: &mut Map<String, Value>, name: &str, value: &Option<String>| {
            if let Some(value) = value {
                into.insert(name.to_owned(), json!(value));
            }
        };
        put(&mut actor, "agent", &self.agent);
        put(&mut actor, "workload", &self.workload);
        put(&mut actor, "surface", &self.surface);
        put(&mut actor, "user", &self.user);
        if !self.groups.is_empty() {
            actor.insert("groups".to_owned(), json!(self.groups));
        }
        document.insert("actor".to_owned(), Value::Object(actor));
        put(&mut document, "tool", &self.tool);
        put(&mut document, "method", &self.method);
        document
    }
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &BindingCommand) -> Result<Exit, Failure> {
    match command {
        BindingCommand::List(arguments) => listing(session, arguments),
        BindingCommand::Get(target) => {
            let answer = session.client()?.fetch(&target.path(), &[])?;
            session.printer.show(&answer, card::view);
            Ok(Exit::Ok)
        }
        BindingCommand::Validate(target) => validate(session, target),
        BindingCommand::Approve(arguments) => approve(session, arguments),
        BindingCommand::Effect(arguments) => {
            let [kind, environment, name] = arguments.target.path();
            let query = [("revision", arguments.revision.to_string())];
            let answer = session.client()?.fetch(&[kind, environment, name, "effect"], &query)?;
            session.printer.show(&answer, effect::view);
            Ok(Exit::Ok)
        }
        BindingCommand::Rotate(arguments) => rotate(session, arguments),
        BindingCommand::Versions(target) => {
            let [kind, environment, name] = target.path();
            let answer = session.client()?.fetch(&[kind, environment, name, "versions"], &[])?;
            session.printer.show(&answer, super::rotation::view);
            Ok(Exit::Ok)
        }
        BindingCommand::Review(arguments) => review(session, arguments),
        BindingCommand::Disable(target) => switch(session, target, "disable"),
        BindingCommand::Enable(target) => switch(session, target, "enable"),
        BindingCommand::Revoke(arguments) => revoke(session, arguments),
        BindingCommand::Explain(arguments) => {
            let call = Value::Object(arguments.call.document());
            let answer = arguments.target.post(session, "explain", &call)?;
            session.printer.show(&answer, card::explanation);
            Ok(Exit::Ok)
        }
    }
}

impl Target {
    fn path(&self) -> [&str; 3] {
        ["bindings", &self.binding.environment, &self.binding.name]
    }

    fn post(&self, session: &Session, act: &str, document: &Value) -> Result<Value, Failure> {
        let [kind, environment, name] = self.path();
        session.client()?.post(&[kind, environment, name, act], document)
    }
}

fn listing(session: &mut Session, arguments: &ListArguments) -> Result<Exit, Failure> {
    let filters = [
        ("environment", &arguments.environment),
        ("server", &arguments.server),
        ("status", &arguments.status),
        ("review", &arguments.review),
    ];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
    let answer = session.client()?.every(&["bindings"], &query)?;
    session.printer.show(&answer, |answer| {
        let mut table = Table::new(&[
            "binding", "revision", "status", "server", "serves", "mode", "risk", "owner", "review", "pending",
        ]);
        for card in items(answer) {
            table.row([
                format!("{}/{}", text(card, "/environment"), text(card, "/name")),
                text(card, "/revision"),
                text(card, "/status"),
                text(card, "/server"),
                first(card, &["/who", "/actor"]),
                text(card, "/mode"),
                text(card, "/risk"),
                text(card, "/owner"),
                super::review::column(card),
                first(card, &["/pending/revision", "/pending"]),
            ]);
        }
        or_nothing(table, "no bindings")
    });
    Ok(Exit::Ok)
}

/// The list in an answer: the answer itself, or its `items`.
pub(super) fn items(answer: &Value) -> &[Value] {
    match answer.as_array() {
        Some(items) => items,
        None => list(answer, "/items"),
    }
}

/// The table, or a word in its place.
pub(super) fn or_nothing(table: Table, nothing: &str) -> View {
    if table.is_empty() { View::default().text(nothing) } else { View::default().table("", table) }
}

fn validate(session: &mut Session, target: &Target) -> Result<Exit, Failure> {
    let answer = target.post(session, "validate", &json!({}))?;
    let findings = list(&answer, "/findings");
    let holds = is_true(&answer, "/valid");
    let table = super::object::findings(findings);
    session.printer.show(&answer, |_| {
        let words = if holds { "it breaks no rule" } else { "it breaks these rules" };
        View::default().title(format!("{}: {words}", target.binding)).table("", table)
    });
    Ok(if holds { Exit::Ok } else { Exit::Refused })
}

fn approve(session: &mut Session, arguments: &ApproveArguments) -> Result<Exit, Failure> {
    let answer = arguments.target.post(session, "approve", &json!({"revision": arguments.revision}))?;
    super::object::signed(session, &answer, &arguments.target.binding.to_string())
}

fn review(session: &mut Session, arguments: &ReviewArguments) -> Result<Exit, Failure> {
    let ReviewArguments { target, revision, until } = arguments;
    let answer = target.post(session, "review", &json!({"revision": revision, "until": until}))?;
    let waits = text(&answer, "/missing") != "0";
    session.printer.show(&answer, |answer| super::review::signed(&target.binding.to_string(), answer));
    Ok(if waits { Exit::Pending } else { Exit::Ok })
}

fn rotate(session: &mut Session, arguments: &RotateArguments) -> Result<Exit, Failure> {
    session.printer.progress("probing the credential before it is used …");
    let document = arguments.to.as_ref().map_or_else(|| json!({}), |to| json!({"reference": to}));
    let answer = arguments.target.post(session, "rotate", &document)?;
    let waits = !list(&answer, "/missing").is_empty();
    session.printer.show(&answer, |answer| {
        let what =
            if waits { "waits for approval; the present reference goes on serving" } else { "rotated" };
        View::default().title(format!("{}: {what}", arguments.target.binding)).fields([
            ("how", how(&text(answer, "/outcome"))),
            ("revision", text(answer, "/revision")),
            ("secret version", text(answer, "/version")),
            ("fingerprint", text(answer, "/fingerprint")),
            ("missing signatures", card::missing(list(answer, "/missing"))),
        ])
    });
    Ok(if waits { Exit::Pending } else { Exit::Ok })
}

fn how(outcome: &str) -> String {
    match outcome {
        "refreshed" => "the store's new value was tried at the server, and serves".to_owned(),
        "switched" => "the new reference was tried at the server, and serves".to_owned(),
        other => other.to_owned(),
    }
}

fn switch(session: &mut Session, target: &Target, act: &str) -> Result<Exit, Failure> {
    let answer = target.post(session, act, &json!({}))?;
    session.printer.show(&answer, |answer| {
        View::default().title(format!("{}: {act}d", target.binding)).fields([
            ("binding", text(answer, "/binding")),
            ("status", text(answer, "/status")),
            ("calls ended", text(answer, "/ended/calls")),
            ("streams ended", text(answer, "/ended/streams")),
            ("sessions ended", text(answer, "/ended/sessions")),
        ])
    });
    Ok(Exit::Ok)
}

fn revoke(session: &mut Session, arguments: &RevokeArguments) -> Result<Exit, Failure> {
    if arguments.confirm != arguments.target.binding.name {
        let name = &arguments.target.binding.name;
        return Err(Failure::usage("the name to confirm is another one").hint(format!("`--confirm {name}`")));
    }
    session.printer.progress("revoking: waiting until no call can use the binding …");
    let answer = arguments.target.post(session, "revoke", &json!({}))?;
    session.printer.show(&answer, |answer| evidence(&arguments.target.binding, answer));
    Ok(Exit::Ok)
}

/// What a revocation ended, when, and where that stands in the audit log.
fn evidence(binding: &InEnvironment, answer: &Value) -> View {
    let view = View::default().title(format!("{binding}: revoked; no call can use it any more")).fields([
        ("binding", text(answer, "/binding")),
        ("revoked at", text(answer, "/revoked_at")),
        ("completed at", text(answer, "/completed_at")),
        ("calls ended", text(answer, "/ended/calls")),
        ("streams ended", text(answer, "/ended/streams")),
        ("sessions ended", text(answer, "/ended/sessions")),
        ("processes killed", text(answer, "/ended/children")),
        ("cached values dropped", text(answer, "/ended/cached_values")),
        ("audit: revoked", text(answer, "/audit/revoked")),
        ("audit: completed", text(answer, "/audit/completed")),
    ]);
    let view = super::revocation::documented(view, answer);
    if is_true(answer, "/audit/pending") {
        return view.text("Evidence waits to be written: the audit log does not take records now.");
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_shows_its_evidence() {
        let answer = json!({"binding": "triage@3", "environment": "dev", "revoked_at": "2026-11-26T09:00:00.1Z",
            "completed_at": "2026-11-26T09:00:00.2Z", "ended": {"calls": 2, "streams": 1, "sessions": 0, "children": 0, "cached_values": 1},
            "audit": {"revoked": 41, "completed": 43, "pending": false},
            "revocation": {"id": "00ff", "serial": 1, "status": "complete", "outstanding": 0}});
        insta::assert_snapshot!(evidence(&"dev/triage".parse().unwrap(), &answer).plain(), @r"
        dev/triage: revoked; no call can use it any more
          binding                triage@3
          revoked at             2026-11-26T09:00:00.1Z
          completed at           2026-11-26T09:00:00.2Z
          calls ended            2
          streams ended          1
          sessions ended         0
          processes killed       0
          cached values dropped  1
          audit: revoked         41
          audit: completed       43
          document  00ff
          status    complete
        ");
    }
}
