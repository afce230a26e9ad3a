//! `object approve`, and the lists of servers, agents, workloads, providers, policies and environments.

use clap::{Args, Subcommand};
use gateway_core::manifest::Kind;
use serde_json::{Value, json};

use super::binding::{items, or_nothing};
use super::card;
use super::effect;
use super::failure::{Exit, Failure};
use super::pick::{first, list, text};
use super::session::Session;
use super::view::{Table, View};

/// What to do with an object of any kind.
#[derive(Subcommand, Debug)]
pub(super) enum ObjectCommand {
    /// Sign a pending revision that somebody else wrote
    Approve(ApproveArguments),
    /// Say what a pending revision would do to the calls of late: who gains, who loses, before you sign
    Effect(ApproveArguments),
}

/// What is signed.
#[derive(Args, Debug)]
pub(super) struct ApproveArguments {
    /// The kind, the environment where the kind has one, and the name: `server production github`, or
    /// `Server/production/github` as answers show it
    #[arg(value_name = "KIND [ENVIRONMENT] NAME", required = true, num_args = 1..=3)]
    object: Vec<String>,
    /// The revision that you read; no other is signed
    #[arg(long)]
    revision: u32,
}

/// Reads objects of one kind.
#[derive(Subcommand, Debug)]
pub(super) enum ReadCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
}

/// Which of them.
#[derive(Args, Debug)]
pub(super) struct ListArguments {
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
}

/// Which one.
#[derive(Args, Debug)]
pub(super) struct GetArguments {
    /// Its name; with its environment in front where the kind has one
    #[arg(value_name = "[ENVIRONMENT/]NAME")]
    name: String,
}

/// Signs.
pub(super) fn run(session: &mut Session, command: &ObjectCommand) -> Result<Exit, Failure> {
    let (ObjectCommand::Approve(arguments) | ObjectCommand::Effect(arguments)) = command;
    let (kind, environment, name) = object(&arguments.object.join("/"))?;
    // Kinds without an environment take `-` in its place.
    let environment = environment.as_deref().unwrap_or("-");
    if let ObjectCommand::Effect(_) = command {
        let path = ["objects", kind.word(), environment, &name, "effect"];
        let answer = session.client()?.fetch(&path, &[("revision", arguments.revision.to_string())])?;
        session.printer.show(&answer, effect::view);
        return Ok(Exit::Ok);
    }
    let path = ["objects", kind.word(), environment, &name, "approve"];
    let answer = session.client()?.post(&path, &json!({"revision": arguments.revision}))?;
    signed(session, &answer, &arguments.object.join("/"))
}

fn object(text: &str) -> Result<(Kind, Option<String>, String), Failure> {
    let parts: Vec<&str> = text.split('/').collect();
    let (word, environment, name) = match parts.as_slice() {
        [word, name] => (word, None, name),
        [word, environment, name] => (word, Some((*environment).to_owned()), name),
        _ => {
            return Err(Failure::usage("an object is a kind, its environment and its name")
                .hint("`mcp-gateway object approve server production github --revision 2`"));
        }
    };
    let Some(kind) = Kind::from_word(word) else {
        let kinds = Kind::ALL.map(Kind::word).join(", ");
        return Err(
            Failure::usage(format!("there is no kind `{word}`")).hint(format!("the kinds are {kinds}"))
        );
    };
    let bare = matches!(kind, Kind::Environment | Kind::Agent | Kind::Workload);
    if bare == environment.is_some() {
        let rule = if bare { "is of no environment: leave it out" } else { "is of an environment: name it" };
        return Err(Failure::usage(format!("an object of kind {} {rule}", kind.word())));
    }
    Ok((kind, environment, (*name).to_owned()))
}

/// Shows what a signature did.
pub(super) fn signed(session: &mut Session, answer: &Value, object: &str) -> Result<Exit, Failure> {
    let missing = list(answer, "/missing");
    let waits = !missing.is_empty();
    let mut repinned = Table::new(&["binding", "revision"]);
    for binding in list(answer, "/asks_again") {
        repinned.row([text(binding, "/object"), text(binding, "/revision")]);
    }
    session.printer.show(answer, |answer| {
        let what = if waits { "signed; further signatures are missing" } else { "signed and in force" };
        View::default()
            .title(format!("{object}: {what}"))
            .fields([
                ("revision", text(answer, "/revision")),
                ("status", text(answer, "/status")),
                ("signed for", card::capacities(list(answer, "/signed_as"))),
                ("missing", card::missing(missing)),
            ])
            .table("Bindings that wait for approval because of it", repinned)
    });
    Ok(if waits { Exit::Pending } else { Exit::Ok })
}

/// Lists objects of a kind, or shows one.
pub(super) fn read(session: &mut Session, kind: Kind, command: &ReadCommand) -> Result<Exit, Failure> {
    let plural = match kind {
        Kind::Environment => "environments",
        Kind::Server => "servers",
        Kind::Provider => "providers",
        Kind::Workload => "workloads",
        Kind::Agent => "agents",
        Kind::Policy => "policies",
        Kind::Binding => "bindings",
    };
    match command {
        ReadCommand::List(arguments) => {
            let query: Vec<_> =
                arguments.environment.iter().map(|name| ("environment", name.clone())).collect();
            let answer = session.client()?.every(&[plural], &query)?;
            session.printer.show(&answer, |answer| or_nothing(objects(items(answer)), "nothing is declared"));
        }
        ReadCommand::Get(arguments) => {
            let answer = session.client()?.every(&[plural], &[])?;
            let found = one(items(&answer), &arguments.name)?;
            session.printer.show(found, object_view);
        }
    }
    Ok(Exit::Ok)
}

/// The one object of this name; two of one name in different environments are told apart by the caller.
fn one<'a>(records: &'a [Value], wanted: &str) -> Result<&'a Value, Failure> {
    let (environment, name) = match wanted.rsplit_once('/') {
        Some((environment, name)) => (Some(environment), name),
        None => (None, wanted),
    };
    let mut found = records.iter().filter(|record| {
        let place = text(record, "/environment");
        text(record, "/name") == name && environment.is_none_or(|environment| place == environment)
    });
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(Failure::usage(format!("`{name}` is declared in several environments"))
            .hint(format!("write ENVIRONMENT/{name}"))),
        (None, _) => Err(Failure::new(Exit::Refused, format!("there is no `{wanted}` that you may see"))),
    }
}

/// A revision's content stands under `spec`, or is the answer itself.
fn spec(record: &Value) -> &Value {
    record.get("spec").filter(|spec| spec.is_object()).unwrap_or(record)
}

fn objects(records: &[Value]) -> Table {
    let mut table = Table::new(&["name", "environment", "owner", "revision", "status", "pending", "about"]);
    for record in records {
        let content = spec(record);
        let about = ["/route/url", "/purpose", "/tier", "/issuer", "/identities/0/issuer"];
        table.row([
            text(content, "/name"),
            first(content, &["/environment", "/environments"]),
            text(content, "/owner"),
            text(record, "/revision"),
            text(record, "/status"),
            text(record, "/pending/revision"),
            first(content, &about),
        ]);
    }
    table
}

fn object_view(record: &Value) -> View {
    let content = spec(record);
    let mut fields = Table::new(&["field", "value"]);
    for (name, value) in content.as_object().into_iter().flatten() {
        if name != "cedar" {
            fields.row([name.clone(), super::pick::words(value)]);
        }
    }
    let title = format!("{} {}", text(content, "/kind"), text(content, "/name"));
    let view = View::default()
        .title(title.trim())
        .fields([
            ("revision", text(record, "/revision")),
            ("status", text(record, "/status")),
            ("author", text(record, "/author")),
        ])
        .table("Declared", fields);
    let view = waiting(view, record);
    match text(content, "/cedar") {
        cedar if cedar.is_empty() => view,
        cedar => view.title("Cedar").text(cedar),
    }
}

fn waiting(view: View, record: &Value) -> View {
    let Some(pending) = record.get("pending").filter(|pending| pending.is_object()) else { return view };
    let revision = text(pending, "/revision");
    let parts = [text(record, "/spec/kind"), text(record, "/environment"), text(record, "/name")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    view.title(format!("Revision {revision} waits for approval")).fields([
        ("written by", text(pending, "/author")),
        ("missing", card::missing(list(pending, "/missing"))),
        ("declares", text(pending, "/spec")),
        ("sign it with", format!("mcp-gateway object approve {} --revision {revision}", parts.join("/"))),
    ])
}

/// Findings as a table.
pub(super) fn findings(findings: &[Value]) -> Table {
    let mut table = Table::new(&["object", "code", "message", "hint"]);
    for finding in findings {
        let cell = |pointer: &str| text(finding, pointer);
        table.row([cell("/object"), cell("/code"), cell("/message"), cell("/hint")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_found_or_its_absence_is_told() {
        let records = [
            json!({"name": "github", "environment": "dev"}),
            json!({"name": "github", "environment": "production"}),
            json!({"name": "triage-bot"}),
        ];
        assert_eq!(text(one(&records, "production/github").unwrap(), "/environment"), "production");
        assert!(one(&records, "triage-bot").is_ok());
        assert_eq!(one(&records, "github").unwrap_err().exit, Exit::Usage);
        assert_eq!(one(&records, "staging/github").unwrap_err().exit, Exit::Refused);
    }

    #[test]
    fn objects_are_named_as_answers_show_them() {
        let (kind, environment, name) = object("Server/production/github").unwrap();
        assert_eq!(
            (kind, environment.as_deref(), name.as_str()),
            (Kind::Server, Some("production"), "github")
        );
        assert_eq!(object("agent/triage-bot").unwrap().1, None);
        for bad in ["server/github", "agent/dev/triage-bot", "servant/dev/github", "server", "a/b/c/d"] {
            assert_eq!(object(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
