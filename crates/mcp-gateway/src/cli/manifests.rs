//! `apply`, `diff`, `export` and `schema`: manifests in, manifests out, and how they are written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use gateway_core::manifest::SCHEMA;
use serde_json::{Value, json};

use super::binding::items;
use super::card;
use super::failure::{Detail, Exit, Failure};
use super::pick::{list, text};
use super::print::{Colour, Output};
use super::session::Session;
use super::view::{Table, View};
use crate::config::issue::{Issue, IssueCode, Problems};
use crate::config::manifest::{Manifest, Source, parse};

/// Where manifests are.
#[derive(Args, Debug)]
pub(super) struct Files {
    /// A manifest file, a directory of `.yaml` and `.yml` files, or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIRECTORY", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

/// What is applied.
#[derive(Args, Debug)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    files: Files,
    /// Decide and tell, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Disable servers and bindings of this environment that are not declared; may be repeated
    #[arg(long, value_name = "ENVIRONMENT")]
    prune: Vec<String>,
}

/// What is compared.
#[derive(Args, Debug)]
pub(super) struct DiffArguments {
    #[command(flatten)]
    files: Files,
    /// End with 1 where something differs
    #[arg(long)]
    exit_code: bool,
}

/// What is exported.
#[derive(Args, Debug)]
pub(super) struct ExportArguments {
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
    /// Say in each manifest how its object stands: applied again, it changes only what nobody else has changed since
    #[arg(long)]
    etags: bool,
}

/// Reads and judges manifests. Every problem of every file becomes one detail of the failure.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let (piped, named): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path == Path::new("-"));
    let mut sources = Source::read_all(&named).map_err(|problems| wrong(&problems))?;
    if !piped.is_empty() {
        let mut piped = String::new();
        std::io::stdin().lock().take(LARGEST_INPUT).read_to_string(&mut piped).map_err(|error| {
            Failure::usage("the manifests on standard input cannot be read").because(&error)
        })?;
        sources.push(Source { name: "standard input".to_owned(), text: piped });
    }
    parse(&sources).map_err(|problems| wrong(&problems))
}

/// The largest standard input that is read, in bytes.
const LARGEST_INPUT: u64 = 8 * 1024 * 1024;

/// The problems of files as a failure.
pub(super) fn wrong(problems: &Problems) -> Failure {
    let details: Vec<Detail> = problems.issues().iter().map(issue_detail).collect();
    let count = details.len();
    let message = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
    Failure { details, ..Failure::usage(message) }
}

/// One issue as a detail.
pub(super) fn issue_detail(issue: &Issue) -> Detail {
    Detail {
        place: place(issue),
        code: issue.code.to_string(),
        message: issue.message.clone(),
        hint: issue.hint.clone(),
    }
}

fn place(issue: &Issue) -> String {
    match issue.place.line {
        0 => issue.file.to_string(),
        line => format!("{}:{line}:{}", issue.file, issue.place.column),
    }
}

/// Where a manifest, or one of its fields, stands: `file:line:column`.
pub(super) fn place_of(manifest: &Manifest, field: &str) -> String {
    place(&manifest.issue(field, IssueCode::InvalidValue, ""))
}

/// Puts file and line in front of what the gateway says about an object.
fn placed(mut failure: Failure, manifests: &[Manifest]) -> Failure {
    for detail in &mut failure.details {
        let of = manifests.iter().find(|manifest| manifest.spec.key().to_string() == detail.place);
        if let Some(manifest) = of {
            detail.message = format!("{}: {}", detail.place, detail.message);
            detail.place = place_of(manifest, "name");
        }
    }
    failure
}

fn document(manifests: &[Manifest]) -> Result<Value, Failure> {
    let written = |manifest: &Manifest| {
        let mut object = serde_json::to_value(&manifest.spec)?;
        if let (Some(fields), Some(etag)) = (object.as_object_mut(), &manifest.etag) {
            fields.insert("etag".to_owned(), json!(etag));
        }
        Ok::<_, serde_json::Error>(object)
    };
    let objects: Result<Vec<Value>, _> = manifests.iter().map(written).collect();
    let objects = objects.map_err(|error| Failure::usage("a manifest cannot be sent").because(&error))?;
    Ok(json!({"specs": objects}))
}

/// Applies.
pub(super) fn apply(session: &mut Session, arguments: &ApplyArguments) -> Result<Exit, Failure> {
    let manifests = read(&arguments.files.files)?;
    let mut body = document(&manifests)?;
    if let Some(fields) = body.as_object_mut().filter(|_| !arguments.prune.is_empty()) {
        fields.insert("prune".to_owned(), json!(arguments.prune));
    }
    session.printer.progress(&format!("applying {} objects …", manifests.len()));
    let query: &[_] = if arguments.dry_run { &[("dry_run", "true")] } else { &[] };
    let answer = session
        .client()?
        .post_with(&["apply"], query, &body)
        .map_err(|failure| placed(failure, &manifests))?;
    let written = list(&answer, "/objects");
    let waiting = written.iter().filter(|one| !list(one, "/missing").is_empty()).count();
    session.printer.show(&answer, |_| written_view(written, waiting, arguments.dry_run));
    Ok(if waiting == 0 || arguments.dry_run { Exit::Ok } else { Exit::Pending })
}

pub(super) fn written_view(written: &[Value], waiting: usize, dry_run: bool) -> View {
    let mut table = Table::new(&["object", "outcome", "revision", "status", "missing signatures"]);
    for one in written {
        let missing = card::missing(list(one, "/missing"));
        table.row([
            text(one, "/object"),
            text(one, "/outcome"),
            text(one, "/revision"),
            text(one, "/status"),
            missing,
        ]);
    }
    let view = View::default().table("", table);
    if dry_run {
        return view.text(format!("Nothing was written. {waiting} would wait for approval."));
    }
    if waiting == 0 {
        return view.text("Everything is in force.");
    }
    view.text(format!(
        "{waiting} waiting for approval. What stands goes on serving until somebody else signs:\n  mcp-gateway object approve OBJECT --revision N"
    ))
}

/// Compares.
pub(super) fn diff(session: &mut Session, arguments: &DiffArguments) -> Result<Exit, Failure> {
    let manifests = read(&arguments.files.files)?;
    let answer = session
        .client()?
        .post(&["diff"], &document(&manifests)?)
        .map_err(|failure| placed(failure, &manifests))?;
    let differences = items(&answer);
    match session.printer.output() {
        Output::Table => terse(session, differences),
        Output::Json | Output::Markdown => session.printer.show(&answer, |_| difference_view(differences)),
    }
    Ok(if arguments.exit_code && !differences.is_empty() { Exit::Refused } else { Exit::Ok })
}

fn terse(session: &mut Session, differences: &[Value]) {
    for difference in differences {
        let (colour, mark) = match text(difference, "/kind").as_str() {
            "added" => (Colour::Green, "+"),
            "undeclared" => (Colour::Red, "-"),
            _ => (Colour::Cyan, "~"),
        };
        let words = format!("{} ({})", text(difference, "/object"), text(difference, "/kind"));
        session.printer.marked(colour, mark, &words);
        for change in list(difference, "/fields") {
            let effect = text(change, "/effect");
            session.printer.marked(Colour::None, "   ", &format!("{} ({effect})", text(change, "/field")));
            for (colour, mark, side) in [(Colour::Red, "-", "/before"), (Colour::Green, "+", "/after")] {
                for line in text(change, side).lines() {
                    session.printer.marked(colour, &format!("      {mark}"), line);
                }
            }
        }
    }
    if differences.is_empty() {
        session.printer.text("nothing differs\n");
    }
}

fn difference_view(differences: &[Value]) -> View {
    let mut view = View::default().title("Differences");
    if differences.is_empty() {
        return view.text("nothing differs");
    }
    for difference in differences {
        let words = format!("{}: {}", text(difference, "/object"), text(difference, "/kind"));
        view = view.title(words).table("", card::changes(list(difference, "/fields")));
    }
    view
}

/// Exports what stands as manifests that `apply` takes.
pub(super) fn export(session: &mut Session, arguments: &ExportArguments) -> Result<Exit, Failure> {
    let query: &[_] = if arguments.etags { &[("etags", "true".to_owned())] } else { &[] };
    let answer = session.client()?.fetch(&["export"], query)?;
    let wanted = |object: &&Value| arguments.environment.as_deref().is_none_or(|name| belongs(object, name));
    let objects: Vec<&Value> = items(&answer).iter().filter(wanted).collect();
    if session.printer.output() == Output::Json {
        session.printer.json(&json!(objects));
        return Ok(Exit::Ok);
    }
    let mut yaml = String::new();
    for object in objects {
        yaml.push_str("---\n");
        let text = serde_saphyr::to_string(object).map_err(|error| {
            Failure::new(Exit::Refused, "an object cannot be written as YAML").because(&error)
        })?;
        yaml.push_str(&text);
    }
    session.printer.bytes(yaml.as_bytes());
    Ok(Exit::Ok)
}

/// Prints how manifests are written, for programs.
pub(super) fn schema(session: &mut Session) -> Exit {
    session.printer.bytes(SCHEMA.as_bytes());
    Exit::Ok
}

/// Whether an object is of the environment, is the environment, or may enter it.
fn belongs(object: &Value, environment: &str) -> bool {
    let is_it = text(object, "/kind") == "Environment" && text(object, "/name") == environment;
    let enters = list(object, "/environments").iter().any(|one| one == environment);
    is_it || enters || text(object, "/environment") == environment
}
