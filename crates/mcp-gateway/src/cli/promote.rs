//! `promote`: what decides in one environment, as manifests for the next, to review and apply.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::pick::{list, text};
use super::session::Session;
use super::view::{Table, View};
use super::{foresight, manifests};
use crate::config::manifest::Manifest;

/// What is promoted.
#[derive(Args, Debug)]
pub(super) struct PromoteArguments {
    /// The environment that it comes from
    #[arg(long, value_name = "ENVIRONMENT")]
    from: String,
    /// The environment that it goes to
    #[arg(long, value_name = "ENVIRONMENT")]
    to: String,
    /// Only these, such as `Binding/triage-bot-github`; without any, every server, policy and binding that decides
    #[arg(value_name = "KIND/NAME")]
    select: Vec<String>,
    /// What the target has in the place of what the source has: `references`, `routes`, `providers`, `workloads`, `agents`
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// Take the source from these manifests (the `export` of another gateway) instead of this gateway; may be repeated
    #[arg(long, value_name = "FILE|DIRECTORY")]
    source: Vec<PathBuf>,
    /// Write the manifests to this new file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Apply them: what the target asks signatures for waits for them
    #[arg(long)]
    apply: bool,
}

/// The map as written. What its values mean is the gateway's to say.
#[derive(Deserialize, Serialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
struct Map {
    references: BTreeMap<String, String>,
    routes: BTreeMap<String, String>,
    providers: BTreeMap<String, String>,
    workloads: BTreeMap<String, String>,
    agents: BTreeMap<String, String>,
}

/// Promotes. Without `--apply` nothing is written in the gateway.
pub(super) fn run(session: &mut Session, arguments: &PromoteArguments) -> Result<Exit, Failure> {
    let source = if arguments.source.is_empty() { Vec::new() } else { manifests::read(&arguments.source)? };
    let map = arguments.map.as_deref().map(read_map).transpose()?;
    let body = question(arguments, &source, map.as_ref().map(|(_, map)| map))?;
    let client = session.client()?;
    let answer = client.post(&["promote"], &body).map_err(|failure| {
        let map = arguments.map.as_deref().zip(map.as_ref().map(|(text, _)| text.as_str()));
        placed(failure, &source, map)
    })?;
    if let Some(path) = &arguments.write {
        write(path, &yaml(&answer)?)?;
    }
    if !arguments.apply {
        session.printer.show(&answer, |answer| view(answer, arguments.write.as_deref()));
        return Ok(Exit::Ok);
    }
    let applied = client.post(&["apply"], &json!({ "specs": list(&answer, "/specs") }))?;
    let written = list(&applied, "/objects");
    let waiting = written.iter().filter(|one| !list(one, "/missing").is_empty()).count();
    session.printer.show(&applied, |_| manifests::written_view(written, waiting, false));
    Ok(if waiting == 0 { Exit::Ok } else { Exit::Pending })
}

fn question(arguments: &PromoteArguments, source: &[Manifest], map: Option<&Map>) -> Result<Value, Failure> {
    let unsent = |error: serde_json::Error| Failure::usage("the manifests cannot be sent").because(&error);
    let mut body = json!({ "from": arguments.from, "to": arguments.to, "select": arguments.select });
    let Some(fields) = body.as_object_mut() else { return Ok(body) };
    if let Some(map) = map {
        fields.insert("map".to_owned(), serde_json::to_value(map).map_err(unsent)?);
    }
    if !source.is_empty() {
        let specs: Result<Vec<Value>, _> =
            source.iter().map(|manifest| serde_json::to_value(&manifest.spec)).collect();
        fields.insert("specs".to_owned(), json!(specs.map_err(unsent)?));
    }
    Ok(body)
}

fn read_map(path: &Path) -> Result<(String, Map), Failure> {
    let shown = path.display();
    let unusable = |what: &str| Failure::usage(format!("the map `{shown}` {what}"));
    let text = std::fs::read_to_string(path).map_err(|error| unusable("cannot be read").because(&error))?;
    // A map holds references and names; what is wrong with it is said without repeating a value.
    let map = serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map(|at| format!(", at line {}", at.line())).unwrap_or_default();
        unusable(&format!("is not as it should be{place}"))
            .hint("it has the lists `references`, `routes`, `providers`, `workloads` and `agents`, each from the source's name to the target's")
    })?;
    Ok((text, map))
}

/// Says file and line where the source or the map is a file.
fn placed(mut failure: Failure, source: &[Manifest], map: Option<(&Path, &str)>) -> Failure {
    for detail in &mut failure.details {
        let field = detail.message.split(':').next().unwrap_or_default().to_owned();
        let quoted = detail.message.split('`').nth(1).unwrap_or_default().to_owned();
        let line = map.and_then(|(path, text)| {
            let line = text.lines().position(|line| !quoted.is_empty() && line.contains(&quoted))?;
            Some(format!("{}:{}", path.display(), line.saturating_add(1)))
        });
        let of = source.iter().find(|manifest| manifest.spec.key().to_string() == detail.place);
        let place = match of {
            _ if detail.message.contains("the map's") && line.is_some() => line,
            Some(manifest) => Some(manifests::place_of(manifest, &field)),
            None => None,
        };
        if let Some(place) = place {
            detail.message = format!("{}: {}", detail.place, detail.message);
            detail.place = place;
        }
    }
    failure
}

/// The manifests, with what was replaced said above them.
fn yaml(answer: &Value) -> Result<String, Failure> {
    let [from, to] = ["/from", "/to"].map(|part| text(answer, part));
    let mut yaml =
        format!("# Promoted from `{from}` to `{to}`. Review, then `mcp-gateway apply -f` this file.\n");
    for one in list(answer, "/replaced") {
        let [object, field, before, after] = ["/object", "/field", "/before", "/after"]
            .map(|part| super::view::clean(&text(one, part)).replace('\n', " "));
        yaml.push_str(&format!("#   {object} {field}: {before} -> {after}\n"));
    }
    for spec in list(answer, "/specs") {
        yaml.push_str("---\n");
        let text = serde_saphyr::to_string(spec).map_err(|error| {
            Failure::new(Exit::Refused, "an object cannot be written as YAML").because(&error)
        })?;
        yaml.push_str(&text);
    }
    Ok(yaml)
}

/// Writes a new file; one that is there is somebody's work.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let refuse = |error: std::io::Error| {
        let hint = "name a file that does not exist yet";
        Failure::usage(format!("`{}` cannot be written", path.display())).because(&error).hint(hint)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
    file.write_all(text.as_bytes()).map_err(refuse)
}

fn view(answer: &Value, written: Option<&Path>) -> View {
    let mut objects = Table::new(&["object", "outcome", "revision", "missing signatures"]);
    for one in list(answer, "/objects") {
        let missing = super::card::missing(list(one, "/missing"));
        objects.row([text(one, "/object"), text(one, "/outcome"), text(one, "/revision"), missing]);
    }
    let mut replaced = Table::new(&["object", "field", "source", "target", "by"]);
    for one in list(answer, "/replaced") {
        let cell = |pointer: &str| text(one, pointer);
        replaced.row([cell("/object"), cell("/field"), cell("/before"), cell("/after"), cell("/by")]);
    }
    let title = format!("Promotion from {} to {}", text(answer, "/from"), text(answer, "/to"));
    let mut view = View::default()
        .title(title)
        .table("As apply would write", objects)
        .table("The target's own in the place of the source's", replaced)
        .fields([("entries of the map that nothing asked for", text(answer, "/unused"))]);
    if let Some(effect) = answer.pointer("/effect") {
        view = foresight::add(view, effect);
    }
    let next = match written {
        Some(path) => format!("Written to {}. Nothing was applied.", path.display()),
        None => {
            "Nothing was written: `--write FILE` writes the manifests, `--apply` applies them.".to_owned()
        }
    };
    view.text(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_say_above_what_was_replaced() {
        let answer = json!({
            "from": "dev", "to": "staging", "specs": [{"kind": "Policy", "name": "p", "environment": "staging"}],
            "replaced": [{"object": "Binding/staging/b", "field": "secret", "before": "a://x", "after": "b://y\nkind: Evil"}]
        });
        let yaml = yaml(&answer).unwrap();
        assert!(yaml.contains("#   Binding/staging/b secret: a://x -> b://y kind: Evil\n---\n"), "{yaml}");
        assert!(yaml.contains("environment: staging"), "{yaml}");
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("promoted.yaml");
        write(&path, "one").unwrap();
        assert_eq!(write(&path, "two").unwrap_err().exit, Exit::Usage);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }

    #[test]
    fn a_crossing_reference_of_the_map_is_shown_at_its_line() {
        let mut failure = Failure::new(Exit::Refused, "refused");
        failure.details.push(super::super::failure::Detail {
            place: "Binding/dev/b".to_owned(),
            message: "secret: the map's `bao://x#y` is a place that `dev` uses".to_owned(),
            ..Default::default()
        });
        let map = "references:\n  a://b#c: bao://x#y\n";
        let placed = placed(failure, &[], Some((Path::new("refs.yaml"), map)));
        let detail = placed.details.first().unwrap();
        assert_eq!(detail.place, "refs.yaml:2");
        assert!(detail.message.starts_with("Binding/dev/b: secret"), "{}", detail.message);
    }

    #[test]
    fn a_map_with_an_unknown_list_is_refused_without_repeating_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("refs.yaml");
        std::fs::write(&path, "references: {}\nsecrets: { a: hunter2-the-secret }\n").unwrap();
        let refused = read_map(&path).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
        std::fs::write(&path, "references: { 'a://b': 'c://d' }\n").unwrap();
        assert_eq!(read_map(&path).unwrap().1.references.len(), 1);
    }
}
