//! `policy check`, `policy test`, `policy diff` and `policy explain`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gateway_adapters::policy::CedarCompiler;
use gateway_core::id::{PolicyName, Revision};
use gateway_core::manifest::{ContentHash, Kind, Spec};
use gateway_core::policy::{PolicyIssue, PolicySource};
use serde_json::{Value, json};

use super::binding::CallArguments;
use super::card;
use super::failure::{Detail, Exit, Failure};
use super::manifests;
use super::object::{self, GetArguments, ListArguments, ReadCommand};
use super::policy_cases::{self, TestArguments};
use super::policy_diff::{self, PolicyDiffArguments};
use super::session::{InEnvironment, Session};
use crate::config::manifest::Manifest;

/// What to do with policies.
#[derive(Subcommand, Debug)]
pub(super) enum PolicyCommand {
    /// List them
    List(ListArguments),
    /// Show one
    Get(GetArguments),
    /// Compile policies against the gateway's schema, here, without a gateway
    Check(CheckArguments),
    /// Run cases, each a call and whether it should be allowed
    Test(TestArguments),
    /// Say what candidate policies would change: statements, who reaches what, recorded calls decided anew
    Diff(PolicyDiffArguments),
    /// Say what the policies answer for one call
    Explain(ExplainArguments),
}

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    /// Cedar texts (`.cedar`), manifests, or directories of manifests
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// The call to explain.
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// The server that would be called
    #[arg(value_name = "ENVIRONMENT/SERVER")]
    server: InEnvironment,
    #[command(flatten)]
    call: CallArguments,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::List(arguments) => object::read(session, Kind::Policy, &ReadCommand::List(arguments)),
        PolicyCommand::Get(arguments) => object::read(session, Kind::Policy, &ReadCommand::Get(arguments)),
        PolicyCommand::Check(arguments) => check(session, &arguments),
        PolicyCommand::Test(arguments) => policy_cases::run(session, &arguments),
        PolicyCommand::Diff(arguments) => policy_diff::run(session, &arguments),
        PolicyCommand::Explain(arguments) => explain(session, &arguments),
    }
}

fn explain(session: &mut Session, arguments: &ExplainArguments) -> Result<Exit, Failure> {
    let mut call = arguments.call.document();
    call.insert("environment".to_owned(), json!(arguments.server.environment));
    call.insert("server".to_owned(), json!(arguments.server.name));
    let answer = session.client()?.post(&["policies", "explain"], &Value::Object(call))?;
    session.printer.show(&answer, card::explanation);
    Ok(Exit::Ok)
}

/// The compiler with the gateway's schema.
pub(super) fn compiler() -> Result<CedarCompiler, Failure> {
    CedarCompiler::new()
        .map_err(|error| Failure::new(Exit::Refused, "the policy schema is broken").because(&error))
}

/// A text to compile, and how to say where in a file a problem in it is.
struct Text {
    source: PolicySource,
    file: String,
    /// Whether the file is the text itself, so that its lines are the file's lines.
    whole_file: bool,
}

fn check(session: &mut Session, arguments: &CheckArguments) -> Result<Exit, Failure> {
    let (cedar, declared): (Vec<_>, Vec<_>) =
        arguments.files.iter().cloned().partition(|path| is_cedar(path));
    let mut texts = cedar.iter().map(|path| cedar_file(path)).collect::<Result<Vec<_>, _>>()?;
    if !declared.is_empty() {
        texts.extend(declared_texts(&declared)?);
    }
    if texts.is_empty() {
        return Err(Failure::usage("there is no policy in these files"));
    }
    let details = compile(&texts)?;
    if !details.is_empty() {
        let message = match details.len() {
            1 => "1 problem in the policies".to_owned(),
            count => format!("{count} problems in the policies"),
        };
        return Err(Failure { details, ..Failure::new(Exit::Refused, message) });
    }
    let names: Vec<_> = texts.iter().map(|text| text.source.name.to_string()).collect();
    let answer = json!({"ok": true, "policies": names});
    session
        .printer
        .show(&answer, |_| super::view::View::default().text(format!("all compile: {}", names.join(", "))));
    Ok(Exit::Ok)
}

/// What is wrong with the policies among the manifests.
pub(super) fn problems(manifests: &[Manifest]) -> Result<Vec<Detail>, Failure> {
    compile(&manifests.iter().filter_map(declared_text).collect::<Vec<_>>())
}

fn compile(texts: &[Text]) -> Result<Vec<Detail>, Failure> {
    let compiler = compiler()?;
    let mut details = Vec::new();
    for text in texts {
        if let Err(issues) = compiler.engine(std::slice::from_ref(&text.source)) {
            details.extend(issues.into_iter().map(|issue| detail(text, issue)));
        }
    }
    Ok(details)
}

pub(super) fn is_cedar(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "cedar")
}

fn cedar_file(path: &Path) -> Result<Text, Failure> {
    let (name, cedar) = named_text(path)?;
    Ok(Text { source: source(name, cedar), file: path.display().to_string(), whole_file: true })
}

/// A Cedar text, and the policy that its file is named after.
pub(super) fn named_text(path: &Path) -> Result<(PolicyName, String), Failure> {
    let shown = path.display().to_string();
    let cedar = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("`{shown}` cannot be read")).because(&error))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase().replace(['_', '.'], "-"));
    let name = PolicyName::parse(&stem.unwrap_or_default()).map_err(|error| {
        Failure::usage(format!("`{shown}` has no name that a policy may have")).because(&error)
    })?;
    Ok((name, cedar))
}

fn source(name: PolicyName, cedar: String) -> PolicySource {
    let hash = ContentHash::of(cedar.as_bytes());
    PolicySource { name, revision: Revision(1), cedar, hash, current: true }
}

fn declared_texts(paths: &[PathBuf]) -> Result<Vec<Text>, Failure> {
    Ok(manifests::read(paths)?.iter().filter_map(declared_text).collect())
}

fn declared_text(manifest: &Manifest) -> Option<Text> {
    let Spec::Policy(policy) = &manifest.spec else { return None };
    let file = manifests::place_of(manifest, "cedar");
    Some(Text { source: source(policy.name.clone(), policy.cedar.clone()), file, whole_file: false })
}

fn detail(text: &Text, issue: PolicyIssue) -> Detail {
    let PolicyIssue { policy, line, column, message, hint } = issue;
    let (place, message) = match (text.whole_file, line) {
        (_, 0) => (text.file.clone(), format!("`{policy}`: {message}")),
        (true, _) => (format!("{}:{line}:{column}", text.file), message),
        // The text's own lines: how far a block is indented is not ours to guess.
        (false, _) => (text.file.clone(), format!("`{policy}`, line {line}, column {column}: {message}")),
    };
    Detail { place, code: "policy.invalid".to_owned(), message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(name: &str, text: &str) -> Vec<Detail> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let texts =
            if is_cedar(&path) { vec![cedar_file(&path).unwrap()] } else { declared_texts(&[path]).unwrap() };
        compile(&texts).unwrap()
    }

    #[test]
    fn a_problem_in_a_cedar_file_has_the_files_own_line() {
        assert!(check_text("support.cedar", "permit (principal, action, resource);").is_empty());
        let found = check_text(
            "support.cedar",
            "permit (principal, action, resource)\nwhen { context.rsk == \"read\" };",
        );
        let first = found.first().unwrap();
        assert!(first.place.contains("support.cedar:2:"), "{first:?}");
    }

    #[test]
    fn a_problem_in_a_manifest_names_the_manifest_and_the_texts_line() {
        let yaml = "kind: Policy\nname: support\nenvironment: dev\ncedar: |\n  permit (principal, action, resource)\n  when { context.rsk == \"read\" };\n";
        let found = check_text("policies.yaml", yaml);
        let first = found.first().unwrap();
        assert!(first.place.contains("policies.yaml:5:"), "{first:?}");
        assert!(first.message.contains("`support`, line 2"), "{first:?}");
    }
}
