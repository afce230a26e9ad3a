//! `adopt --plan`: what would go where. It writes nothing but the manifests that it was asked for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use gateway_adopt::walk::Report;
use gateway_adopt::{Plan, PlanOptions, plan};
use gateway_core::secret::FingerprintKey;
use serde_json::{Value, json};

use super::Target;
use super::report::counted;
use crate::cli::failure::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::view::{Table, View};

/// Plans, and shows the plan.
pub(super) fn run(
    session: &mut Session,
    target: &Target,
    report: &Report,
    key: &FingerprintKey,
) -> Result<Exit, Failure> {
    let options = target.options()?;
    let made = plan(&report.scanned, &options, key);
    if let Some(file) = &target.manifests {
        write_new(file, &made.manifests())?;
    }
    let answer = document(&made, report);
    session.printer.show(&answer, |_| view(&made, report));
    Ok(Exit::Ok)
}

impl Target {
    /// Complete, or what is missing.
    pub(super) fn options(&self) -> Result<PlanOptions, Failure> {
        let missing = |what: &str, hint: &str| Failure::usage(format!("a plan needs `{what}`")).hint(hint);
        let owner = self.owner.as_ref().ok_or_else(|| {
            missing("--owner TEAM", "name the team that will answer for the servers and bindings")
        })?;
        let agent = self
            .agent
            .as_ref()
            .ok_or_else(|| missing("--agent NAME", "name a registered agent: `mcp-gateway agent list`"))?;
        let web = matches!(self.gateway.scheme(), "http" | "https");
        if !web || !self.gateway.username().is_empty() || self.gateway.password().is_some() {
            return Err(Failure::usage(
                "`--gateway` takes an http:// or https:// URL without user information",
            ));
        }
        let plain = |part: &str| {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            !part.is_empty() && part.bytes().all(word)
        };
        if !self.below.split('/').all(plain) {
            return Err(Failure::usage(
                "`--below` takes words of letters, digits, `-` and `_` between slashes",
            ));
        }
        Ok(PlanOptions {
            environment: self.environment.to_string(),
            store: self.store.to_string(),
            below: self.below.clone(),
            owner: owner.to_string(),
            agent: agent.to_string(),
            gateway: self.gateway.clone(),
        })
    }
}

fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("the manifests `{}` cannot be written", file.display())).because(&error)
    };
    let mut written = OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    written.write_all(text.as_bytes()).map_err(failed)
}

/// Where a finding stands.
fn at(report: &Report, index: usize) -> String {
    let finding = report.scanned.findings.get(index);
    finding.map(|finding| format!("{}:{}", finding.file, finding.start)).unwrap_or_default()
}

fn document(made: &Plan, report: &Report) -> Value {
    let moves: Vec<Value> = made
        .moves
        .iter()
        .map(|one| {
            let from: Vec<String> = one.findings.iter().map(|index| at(report, *index)).collect();
            json!({"what": one.kind, "from": from, "reference": one.reference, "path": one.path, "field": one.field})
        })
        .collect();
    let drafts: Vec<Value> =
        made.drafts.iter().map(|draft| json!({"object": draft.object, "manifest": draft.manifest})).collect();
    let edits: Vec<Value> = made
        .edits
        .iter()
        .map(|edit| {
            json!({
                "file": edit.file, "line": edit.at.line, "column": edit.at.column,
                "field": edit.field, "before": edit.before, "after": edit.after,
            })
        })
        .collect();
    let open: Vec<Value> = made
        .open
        .iter()
        .map(|open| {
            let (line, column) = open.at.map(|at| (at.line, at.column)).unzip();
            json!({"file": open.file, "line": line, "column": column, "what": open.what})
        })
        .collect();
    json!({"moves": moves, "objects": drafts, "changes": edits, "open": open})
}

fn view(made: &Plan, report: &Report) -> View {
    let mut moves = Table::new(&["what", "from", "to"]);
    for one in &made.moves {
        let from: Vec<String> = one.findings.iter().map(|index| at(report, *index)).collect();
        moves.row([one.kind.to_owned(), from.join(" "), one.reference.clone()]);
    }
    let mut open = Table::new(&["place", "what"]);
    for one in &made.open {
        let at = one.at.map(|at| format!(":{at}")).unwrap_or_default();
        open.row([format!("{}{at}", one.file), one.what.clone()]);
    }
    let mut view = View::default().table("Values into the store", moves);
    if !made.drafts.is_empty() {
        view = view.title("Objects to declare").text(made.manifests());
    }
    if !made.edits.is_empty() {
        view = view.title("Changes of files");
    }
    let mut last = None;
    for edit in &made.edits {
        if last != Some(&edit.file) {
            view = view.text(format!("--- {}", edit.file));
            last = Some(&edit.file);
        }
        view = view.text(format!("@@ {} {}", edit.at, edit.field));
        view = view.text(format!("- {}\n+ {}", edit.before, edit.after));
    }
    let view = view.table("Left for you", open);
    view.text(format!(
        "{}, {}, {}. Nothing was written; a key that lay open counts as seen: replace it at its issuer.",
        counted(made.moves.len(), "value"),
        counted(made.drafts.len(), "object"),
        counted(made.edits.len(), "change"),
    ))
}
