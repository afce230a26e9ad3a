//! `revocation …`: the signed documents of what was revoked, and `revoke` of servers, environments and mappings.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gateway_adapters::identity::{RevocationError, verify_revocation};
use serde_json::{Value, json};

use super::binding::items;
use super::failure::{Exit, Failure};
use super::object::{GetArguments, ListArguments};
use super::pick::{list, text, time};
use super::receipt::key_set;
use super::session::{InEnvironment, Session};
use super::view::{Table, View};

/// What to do with servers.
#[derive(Subcommand, Debug)]
pub(super) enum ServerCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// End for ever, with every binding on it and all that runs, was issued or was granted for it
    Revoke(RevokeServer),
}

/// What to do with environments.
#[derive(Subcommand, Debug)]
pub(super) enum EnvironmentCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// End for ever, with everything in it
    Revoke(RevokeEnvironment),
}

/// How it is revoked.
#[derive(Args, Debug)]
pub(super) struct Confirmation {
    /// Repeat the name: a revoked name never comes back
    #[arg(long, value_name = "NAME", required_unless_present = "dry_run")]
    confirm: Option<String>,
    /// Only say what would end
    #[arg(long)]
    dry_run: bool,
}

/// Which server.
#[derive(Args, Debug)]
pub(super) struct RevokeServer {
    /// The server
    #[arg(value_name = "ENVIRONMENT/NAME")]
    server: InEnvironment,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Which environment.
#[derive(Args, Debug)]
pub(super) struct RevokeEnvironment {
    /// The environment
    #[arg(value_name = "ENVIRONMENT")]
    environment: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// What to do with documents.
#[derive(Subcommand, Debug)]
pub(super) enum RevocationCommand {
    /// List revocations, the latest first, and whether everything outside is over too
    List(ListDocuments),
    /// Show what a revocation ended, and what an outside party has not taken back
    Show(ShowDocument),
    /// Say whether documents hold and follow one another, without the gateway
    Verify(VerifyDocuments),
}

/// Which of them.
#[derive(Args, Debug)]
pub(super) struct ListDocuments {
    /// Only those where something outside may still open doors
    #[arg(long)]
    outstanding: bool,
}

/// Which one.
#[derive(Args, Debug)]
pub(super) struct ShowDocument {
    /// The id that `revocation list` shows
    #[arg(value_name = "ID")]
    id: String,
    /// Print the signed documents alone, one a line, the first one first
    #[arg(long)]
    jws: bool,
}

/// What is verified, and by what.
#[derive(Args, Debug)]
pub(super) struct VerifyDocuments {
    /// The documents of one revocation, one a line, the first one first; from standard input where it is `-` or absent
    file: Option<PathBuf>,
    /// The gateway's public keys: a file, or the URL of its `/.well-known/jwks/revocation.json`
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &RevocationCommand) -> Result<Exit, Failure> {
    match command {
        RevocationCommand::List(arguments) => {
            let wanted = arguments.outstanding.then(|| ("outstanding", "true".to_owned()));
            let conditions: Vec<_> = wanted.into_iter().collect();
            let answer = session.client()?.every(&["revocations"], &conditions)?;
            session.printer.show(&answer, |answer| listed(items(answer)));
            Ok(Exit::Ok)
        }
        RevocationCommand::Show(arguments) => show(session, arguments),
        RevocationCommand::Verify(arguments) => verify(session, arguments),
    }
}

/// Revokes a server.
pub(super) fn server(session: &mut Session, arguments: &RevokeServer) -> Result<Exit, Failure> {
    let InEnvironment { environment, name } = &arguments.server;
    revoke(session, &["servers", environment, name, "revoke"], name, &arguments.confirmation)
}

/// Revokes an environment.
pub(super) fn environment(session: &mut Session, arguments: &RevokeEnvironment) -> Result<Exit, Failure> {
    let name = &arguments.environment;
    revoke(session, &["environments", name, "revoke"], name, &arguments.confirmation)
}

/// Revokes what is at the path, once its name was repeated.
pub(super) fn revoke(
    session: &mut Session,
    path: &[&str],
    name: &str,
    confirmation: &Confirmation,
) -> Result<Exit, Failure> {
    if confirmation.dry_run {
        let answer = session.client()?.post_with(path, &[("dry_run", "true")], &json!({}))?;
        session.printer.show(&answer, foreseen);
        return Ok(Exit::Ok);
    }
    if confirmation.confirm.as_deref() != Some(name) {
        return Err(Failure::usage("the name to confirm is another one").hint(format!("`--confirm {name}`")));
    }
    session.printer.progress("revoking: waiting until nothing of it runs any more …");
    let answer = session.client()?.post(path, &json!({}))?;
    session.printer.show(&answer, revoked);
    Ok(Exit::Ok)
}

fn foreseen(answer: &Value) -> View {
    let count = |pointer: &str| list(answer, pointer).len().to_string();
    let mut table = Table::new(&["binding"]);
    for binding in list(answer, "/would_end/bindings") {
        table.row([text(binding, "")]);
    }
    View::default()
        .title(format!("{}: would end; nothing has", text(answer, "/object")))
        .fields([
            ("bindings", count("/would_end/bindings")),
            ("users' grants", count("/would_end/grants")),
            ("agent tokens", text(answer, "/would_end/tokens")),
            ("calls under way", text(answer, "/would_end/open/calls")),
            ("streams", text(answer, "/would_end/open/streams")),
            ("sessions", text(answer, "/would_end/open/sessions")),
            ("processes", text(answer, "/would_end/open/children")),
        ])
        .table("", table)
}

fn revoked(answer: &Value) -> View {
    let view = View::default()
        .title(format!("{}: revoked; nothing of it runs any more", text(answer, "/object")))
        .fields([
            ("revoked at", text(answer, "/revoked_at")),
            ("completed at", text(answer, "/completed_at")),
            ("calls ended", text(answer, "/ended/calls")),
            ("streams ended", text(answer, "/ended/streams")),
            ("sessions ended", text(answer, "/ended/sessions")),
            ("processes killed", text(answer, "/ended/children")),
            ("cached values dropped", text(answer, "/ended/cached_values")),
            ("agent tokens ended", text(answer, "/ended/tokens")),
            ("audit: revoked", text(answer, "/audit/revoked")),
            ("audit: completed", text(answer, "/audit/completed")),
        ]);
    documented(view, answer)
}

/// Adds what the signed document says of the outside.
pub(super) fn documented(view: View, answer: &Value) -> View {
    let id = text(answer, "/revocation/id");
    if id.is_empty() {
        return view.text("No signed document could be made: see the gateway's log.");
    }
    let view = view.fields([("document", id.clone()), ("status", text(answer, "/revocation/status"))]);
    match text(answer, "/revocation/outstanding").as_str() {
        "" | "0" => view,
        open => view.text(format!(
            "Outstanding: {open} at outside parties may still open doors: `revocation show {id}` tells which."
        )),
    }
}

fn listed(revocations: &[Value]) -> View {
    if revocations.is_empty() {
        return View::default().text("nothing was revoked that you may read of");
    }
    let mut table = Table::new(&["id", "revoked", "status", "open outside", "document", "by", "at"]);
    for one in revocations {
        table.row([
            text(one, "/id"),
            text(one, "/subject"),
            text(one, "/status"),
            text(one, "/outstanding"),
            text(one, "/serial"),
            text(one, "/requested_by"),
            time(&text(one, "/requested_at")),
        ]);
    }
    View::default().table("", table)
}

fn show(session: &mut Session, arguments: &ShowDocument) -> Result<Exit, Failure> {
    let answer = session.client()?.fetch(&["revocations", &arguments.id], &[])?;
    if arguments.jws {
        let lines: Vec<String> = list(&answer, "/documents").iter().map(|one| text(one, "")).collect();
        session.printer.bytes(format!("{}\n", lines.join("\n")).as_bytes());
        return Ok(Exit::Ok);
    }
    session.printer.show(&answer, |answer| {
        let claims = answer.get("claims").unwrap_or(answer);
        told(claims)
    });
    Ok(Exit::Ok)
}

/// What a document says.
fn told(claims: &Value) -> View {
    let subject = ["/subject/kind", "/subject/environment", "/subject/name"].map(|part| text(claims, part));
    let subject: Vec<String> = subject.into_iter().filter(|part| !part.is_empty()).collect();
    let mut things =
        Table::new(&["thing", "calls", "streams", "sessions", "processes", "cached", "stored secret"]);
    for one in list(claims, "/things") {
        things.row([
            [text(one, "/kind"), text(one, "/name")].join(" "),
            text(one, "/ended/calls"),
            text(one, "/ended/streams"),
            text(one, "/ended/sessions"),
            text(one, "/ended/children"),
            text(one, "/ended/cached_values"),
            text(one, "/stored_secret"),
        ]);
    }
    let mut outside = Table::new(&["id", "what", "at", "count", "state", "answer", "tries", "until"]);
    for one in list(claims, "/outside") {
        outside.row([
            text(one, "/id").chars().take(12).collect::<String>(),
            text(one, "/kind"),
            text(one, "/party"),
            text(one, "/count"),
            text(one, "/state"),
            text(one, "/answer"),
            text(one, "/tries"),
            time(&text(one, "/expires_at")),
        ]);
    }
    View::default()
        .title(format!("{}: {}", subject.join("/"), text(claims, "/status")))
        .fields([
            ("document", text(claims, "/jti")),
            ("asked for by", text(claims, "/requested_by")),
            ("asked for at", text(claims, "/requested_at")),
            ("ended at", text(claims, "/ended_at")),
            ("state's epoch", text(claims, "/epoch")),
            ("first call", text(claims, "/first_call/time")),
            ("last call", text(claims, "/last_call/time")),
            ("audit: decided", text(claims, "/audit/decided")),
            ("audit: completed", text(claims, "/audit/completed")),
            ("replicas", list(claims, "/replicas").len().to_string()),
        ])
        .table("Ended here", things)
        .table("Given back", outside)
}

fn verify(session: &mut Session, arguments: &VerifyDocuments) -> Result<Exit, Failure> {
    let keys = key_set(session, &arguments.jwks)?;
    let given = match &arguments.file {
        Some(file) if file.as_os_str() != "-" => std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("`{}` cannot be read", file.display())).because(&error)
        })?,
        _ => super::receipt::piped("the documents")?,
    };
    let documents: Vec<&str> = given.split_whitespace().collect();
    match verify_revocation(&documents, &keys) {
        Ok(document) => {
            let claims = document.claims();
            let answer = json!({"valid": true, "documents": documents.len(), "claims": claims});
            session.printer.show(&answer, |answer| {
                let view = told(answer.get("claims").unwrap_or(answer));
                view.text(format!("documents that hold and follow one another: {}", documents.len()))
            });
            Ok(Exit::Ok)
        }
        Err(RevocationError::KeySet) => {
            let failure = Failure::usage(format!("`{}` cannot be used", arguments.jwks));
            Err(failure.because(&RevocationError::KeySet))
        }
        Err(error) => {
            let answer = json!({"valid": false, "reason": error.word()});
            session.printer.show(&answer, |answer| {
                let title = View::default().title("The documents do NOT hold");
                title.fields([("reason", text(answer, "/reason"))])
            });
            let failure = Failure::new(Exit::NotVerified, format!("the documents do not hold: {error}"));
            Err(match error {
                RevocationError::UnknownKey => {
                    failure.hint("use the key set that was published with it, or of the right gateway")
                }
                RevocationError::Previous => {
                    failure.hint("give all documents of one revocation, the first one first")
                }
                _ => failure,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_outside_is_said_aloud() {
        let answer = json!({"object": "Server/dev/notes", "ended": {"calls": 3},
            "revocation": {"id": "00ff", "status": "outstanding", "outstanding": 2}});
        let plain = revoked(&answer).plain();
        assert!(plain.contains("Outstanding: 2") && plain.contains("revocation show 00ff"), "{plain}");
        let answer = json!({"object": "Server/dev/notes", "revocation": {"id": "00ff", "status": "complete", "outstanding": 0}});
        assert!(!revoked(&answer).plain().contains("Outstanding"));
        assert!(revoked(&json!({"object": "Server/dev/notes"})).plain().contains("No signed document"));
    }

    #[test]
    fn a_document_names_each_thing_outside_and_its_state() {
        let claims = json!({"status": "outstanding", "subject": {"kind": "Server", "environment": "dev", "name": "notes"},
            "things": [{"kind": "binding", "name": "reader@2", "ended": {"calls": 1}, "stored_secret": "bao://kv/a#b"}],
            "outside": [{"id": "0123456789abcdef", "kind": "access_token", "party": "provider notes", "count": 1,
                "state": "unanswered", "answer": "unavailable", "tries": 2}]});
        let plain = told(&claims).plain();
        for word in [
            "Server/dev/notes: outstanding",
            "binding reader@2",
            "bao://kv/a#b",
            "provider notes",
            "unanswered",
        ] {
            assert!(plain.contains(word), "{word}: {plain}");
        }
        assert!(listed(&[]).plain().starts_with("nothing was revoked"));
    }
}
