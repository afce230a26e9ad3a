//! `workload …`: mappings, and what a runtime's own token proves.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gateway_core::manifest::Kind;
use gateway_core::secret::Secret;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::object::{self, GetArguments, ListArguments, ReadCommand};
use super::pick::{is_true, list, text, time};
use super::revocation::{self, Confirmation};
use super::session::Session;
use super::view::{Table, View};

/// Larger than any token that is taken.
const LARGEST: u64 = 64 * 1024;

/// What to do with workloads.
#[derive(Subcommand, Debug)]
pub(super) enum WorkloadCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// Switch a mapping off: nothing is this workload any more
    Disable(Name),
    /// Switch it on again
    Enable(Name),
    /// End a mapping for ever: nothing is this workload any more
    Revoke(RevokeWorkload),
    /// Say what a runtime's token proves: claims, mappings and what differs, agents, bindings
    Explain(ExplainArguments),
}

/// One workload.
#[derive(Args, Debug)]
pub(super) struct Name {
    /// The workload
    #[arg(value_name = "WORKLOAD")]
    workload: String,
}

/// Which workload is revoked.
#[derive(Args, Debug)]
pub(super) struct RevokeWorkload {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Which token.
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// The file with the runtime's token, as the platform mounts it: it is verified, and shown nowhere
    #[arg(long, value_name = "FILE")]
    caller_token_file: PathBuf,
    /// Only this environment
    #[arg(long)]
    environment: Option<String>,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: WorkloadCommand) -> Result<Exit, Failure> {
    match command {
        WorkloadCommand::List(arguments) => {
            object::read(session, Kind::Workload, &ReadCommand::List(arguments))
        }
        WorkloadCommand::Get(arguments) => {
            object::read(session, Kind::Workload, &ReadCommand::Get(arguments))
        }
        WorkloadCommand::Disable(name) => switch(session, &name.workload, "disable"),
        WorkloadCommand::Enable(name) => switch(session, &name.workload, "enable"),
        WorkloadCommand::Revoke(which) => {
            let name = &which.name.workload;
            revocation::revoke(session, &["workloads", name, "revoke"], name, &which.confirmation)
        }
        WorkloadCommand::Explain(arguments) => explain(session, &arguments),
    }
}

fn switch(session: &mut Session, workload: &str, act: &str) -> Result<Exit, Failure> {
    let answer = session.client()?.post(&["workloads", workload, act], &json!({}))?;
    session.printer.show(&answer, |answer| {
        View::default().title(format!("workload {}: {}", text(answer, "/workload"), text(answer, "/status")))
    });
    Ok(Exit::Ok)
}

fn explain(session: &mut Session, arguments: &ExplainArguments) -> Result<Exit, Failure> {
    let token = read(&arguments.caller_token_file)?;
    let document = document(&token, arguments.environment.as_deref())?;
    let answer = session.client()?.post_bytes(&["workloads", "explain"], document)?;
    session.printer.show(&answer, view);
    Ok(if is_true(&answer, "/verified") { Exit::Ok } else { Exit::Refused })
}

/// Platforms mount these files readable by the whole pod, so their mode is no reason to refuse.
fn read(path: &Path) -> Result<Secret, Failure> {
    let unusable = |what: &str| Failure::usage(format!("the token file `{}` {what}", path.display()));
    let about = std::fs::metadata(path).map_err(|error| unusable("cannot be read").because(&error))?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(unusable("is no ordinary file of a token's size"));
    }
    let mut bytes = std::fs::read(path).map_err(|error| unusable("cannot be read").because(&error))?;
    bytes.truncate(bytes.trim_ascii_end().len());
    let token = Secret::new(bytes);
    if token.is_empty() || !token.is_header_safe() {
        return Err(unusable("holds no token"));
    }
    Ok(token)
}

#[expect(clippy::disallowed_methods, reason = "the token goes into the request that asks what it proves")]
fn document(token: &Secret, environment: Option<&str>) -> Result<Vec<u8>, Failure> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        environment: Option<&'a str>,
    }
    let token =
        std::str::from_utf8(token.expose()).map_err(|_| Failure::usage("the token file holds no token"))?;
    // Sized at once, so that growing leaves no copies behind; six bytes are JSON's longest escape.
    let mut bytes = Vec::with_capacity(token.len().saturating_mul(6).saturating_add(4096));
    serde_json::to_writer(&mut bytes, &Document { token, environment })
        .map_err(|error| Failure::usage("the token cannot be sent").because(&error))?;
    Ok(bytes)
}

fn view(story: &Value) -> View {
    if !is_true(story, "/verified") {
        return View::default().title(format!("Not verified: {}", text(story, "/because")));
    }
    let mut claims = Table::new(&["claim", "value"]);
    for (name, value) in story.pointer("/claims").and_then(Value::as_object).into_iter().flatten() {
        claims.row([name.clone(), text(value, "")]);
    }
    let attests = match is_true(story, "/attested") {
        true => String::new(),
        false => "nothing: its issuer is not configured to vouch for workloads".to_owned(),
    };
    View::default()
        .title(format!("Verified: {}", text(story, "/subject")))
        .fields([
            ("issuer", text(story, "/issuer")),
            ("attests", attests),
            ("ends", time(&text(story, "/expires_at"))),
        ])
        .table("Claims", claims)
        .table("Mappings", mappings(story))
        .table("Environments", environments(story))
        .table("Bindings that serve it", bindings(story))
}

fn mappings(story: &Value) -> Table {
    let mut table = Table::new(&["workload", "", "differs in", "wanted", "found"]);
    for mapping in list(story, "/mappings") {
        let workload = text(mapping, "/workload");
        if is_true(mapping, "/matches") {
            table.row([workload, "matches".into(), String::new(), String::new(), String::new()]);
            continue;
        }
        for difference in list(mapping, "/identities").iter().flat_map(|identity| list(identity, "")) {
            let found = match text(difference, "/found") {
                found if found.is_empty() => "-".to_owned(),
                found => found,
            };
            let (part, wanted) = (text(difference, "/part"), text(difference, "/wanted"));
            table.row([workload.clone(), "no match".into(), part, wanted, found]);
        }
    }
    table
}

fn environments(story: &Value) -> Table {
    let mut table = Table::new(&["environment", "workload", "agent", "in the way"]);
    for place in list(story, "/environments") {
        let cell = |pointer: &str| match text(place, pointer) {
            none if none.is_empty() => "-".to_owned(),
            some => some,
        };
        table.row([cell("/environment"), cell("/workload"), cell("/agent"), cell("/because")]);
    }
    table
}

fn bindings(story: &Value) -> Table {
    let mut table = Table::new(&["environment", "server", "binding", "mode"]);
    for place in list(story, "/environments") {
        for binding in list(place, "/bindings") {
            table.row([
                text(place, "/environment"),
                text(binding, "/server"),
                text(binding, "/binding"),
                text(binding, "/mode"),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_which_parts_of_a_mapping_differ_and_what_is_in_the_way() {
        let story = json!({
            "verified": true, "attested": true, "issuer": "https://ci.example", "subject": "repo:acme/api",
            "claims": {"ref": "refs/heads/dev"}, "expires_at": "2026-11-26T09:00:00.123Z",
            "mappings": [
                {"workload": "deploy", "matches": false, "identities": [
                    [{"part": "claims.ref", "wanted": "refs/heads/main", "found": "refs/heads/dev"}],
                    [{"part": "claims.environment", "wanted": "prod"}]
                ]},
                {"workload": "build", "matches": true, "identities": [[]]}
            ],
            "environments": [
                {"environment": "dev", "opened": true, "workload": "build", "agent": "builder", "because": [],
                 "bindings": [{"server": "github", "binding": "builds@3", "mode": "workload_identity"}]},
                {"environment": "production", "opened": false, "because": ["no audience of the token opens this environment"],
                 "bindings": []}
            ]
        });
        let shown = view(&story).plain();
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        for row in [
            "deploy no match claims.ref refs/heads/main refs/heads/dev",
            "deploy no match claims.environment prod -",
            "build matches",
            "dev build builder -",
            "production - - no audience of the token opens this environment",
            "dev github builds@3 workload_identity",
            "ends 2026-11-26T09:00:00Z",
        ] {
            assert!(rows.contains(&row.split(' ').collect()), "{row}:\n{shown}");
        }
    }

    #[test]
    fn a_token_that_is_not_verified_says_why_and_nothing_else() {
        let story = json!({"verified": false, "because": "the token has expired"});
        assert_eq!(view(&story).plain(), "Not verified: the token has expired\n");
    }

    #[test]
    fn a_token_file_may_be_readable_by_others_but_must_hold_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for (content, good) in [("a.b.c\n", true), ("", false), ("\n", false), ("a\nb", false)] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(read(&file).is_ok(), good, "{content:?}");
        }
        assert!(read(folder.path()).is_err());
        assert!(read(&folder.path().join("none")).unwrap_err().message.contains("cannot be read"));
    }
}
