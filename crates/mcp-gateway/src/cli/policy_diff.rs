//! `policy diff`: what candidate policies would change, before anybody applies them.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway_core::manifest::Spec;
use gateway_core::time::Timestamp;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::pick::{list, text};
use super::session::Session;
use super::view::{Table, View};
use super::{foresight, manifests, policy};

/// What is compared.
#[derive(Args, Debug)]
pub(super) struct PolicyDiffArguments {
    /// Manifests with the candidate policies, directories of them, or Cedar texts (`.cedar`, named as the policy)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The environment of the Cedar texts; manifests name their own
    #[arg(long)]
    environment: Option<String>,
    /// Only recorded calls from this time on, as RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only recorded calls before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// End with 1 where anybody would gain or lose anything
    #[arg(long)]
    exit_code: bool,
}

/// Compares.
pub(super) fn run(session: &mut Session, arguments: &PolicyDiffArguments) -> Result<Exit, Failure> {
    let mut body = json!({ "specs": candidates(arguments)? });
    for (name, value) in [("from", &arguments.from), ("until", &arguments.until)] {
        if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
            if Timestamp::parse(value).is_err() {
                let message = format!("`--{name}` is no time: `{value}`");
                return Err(Failure::usage(message).hint("write it as RFC 3339: 2026-11-26T09:00:00Z"));
            }
            fields.insert(name.to_owned(), json!(value));
        }
    }
    let answer = session.client()?.post(&["policies", "diff"], &body)?;
    session.printer.show(&answer, view);
    let changes = arguments.exit_code && list(&answer, "/environments").iter().any(moves);
    Ok(if changes { Exit::Refused } else { Exit::Ok })
}

/// Whether anybody gains or loses anything, by declaration or by record.
fn moves(ahead: &Value) -> bool {
    let lists = ["gains", "losses", "moves"];
    ["/access", "/replay"]
        .iter()
        .any(|side| lists.iter().any(|field| !list(ahead, &format!("{side}/{field}")).is_empty()))
}

fn candidates(arguments: &PolicyDiffArguments) -> Result<Vec<Value>, Failure> {
    let (cedar, declared): (Vec<_>, Vec<_>) =
        arguments.files.iter().cloned().partition(|path| policy::is_cedar(path));
    let mut specs = Vec::new();
    if !declared.is_empty() {
        for manifest in manifests::read(&declared)? {
            if matches!(manifest.spec, Spec::Policy(_)) {
                let spec = serde_json::to_value(&manifest.spec);
                specs
                    .push(spec.map_err(|error| Failure::usage("a manifest cannot be sent").because(&error))?);
            }
        }
    }
    for path in cedar {
        specs.push(text_of(&path, arguments.environment.as_deref())?);
    }
    if specs.is_empty() {
        return Err(Failure::usage("there is no policy in these files"));
    }
    Ok(specs)
}

fn text_of(path: &Path, environment: Option<&str>) -> Result<Value, Failure> {
    let Some(environment) = environment else {
        let message = format!("`{}` is a Cedar text, which names no environment", path.display());
        return Err(Failure::usage(message).hint("add `--environment ENVIRONMENT`"));
    };
    let (name, cedar) = policy::named_text(path)?;
    Ok(json!({ "kind": "Policy", "name": name, "environment": environment, "cedar": cedar }))
}

fn view(answer: &Value) -> View {
    let mut view = View::default();
    for environment in list(answer, "/environments") {
        let name = text(environment, "/environment");
        let mut policies = Table::new(&["policy", ""]);
        let mut statements = Table::new(&["policy", "", "statement"]);
        for one in list(answer, "/policies").iter().filter(|one| text(one, "/environment") == name) {
            let policy = text(one, "/policy");
            policies.row([policy.clone(), text(one, "/kind")]);
            for (field, mark) in [("/statements/removed", "-"), ("/statements/added", "+")] {
                for statement in list(one, field) {
                    statements.row([policy.clone(), mark.to_owned(), text(statement, "/text")]);
                }
            }
        }
        view = view
            .title(format!("What these policies would change in {name}"))
            .table("", policies)
            .table("Statements", statements);
        view = foresight::add(view, environment);
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(files: Vec<PathBuf>, environment: Option<&str>) -> PolicyDiffArguments {
        let environment = environment.map(str::to_owned);
        PolicyDiffArguments { files, environment, from: None, until: None, exit_code: false }
    }

    #[test]
    fn a_cedar_text_needs_an_environment_and_a_manifest_says_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("support_triage.cedar");
        std::fs::write(&text, "permit (principal, action, resource);").unwrap();
        let refused = candidates(&arguments(vec![text.clone()], None)).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        let read = candidates(&arguments(vec![text], Some("staging"))).unwrap();
        assert_eq!(
            (&read[0]["name"], &read[0]["environment"]),
            (&json!("support-triage"), &json!("staging"))
        );
        let other = directory.path().join("other.yaml");
        std::fs::write(&other, "kind: Environment\nname: dev\n").unwrap();
        assert_eq!(candidates(&arguments(vec![other], None)).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_change_of_either_kind_counts() {
        assert!(!moves(&json!({"access": {"gains": []}, "replay": {"losses": []}})));
        assert!(moves(&json!({"access": {"gains": [{}]}})));
        assert!(moves(&json!({"access": {}, "replay": {"moves": [{}]}})));
    }
}
