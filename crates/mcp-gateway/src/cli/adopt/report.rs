//! The report: where, what and why; a fingerprint of this run, never the value.

use std::collections::HashSet;

use gateway_adopt::walk::Report;
use gateway_adopt::{Finding, Split};
use gateway_core::secret::FingerprintKey;
use serde_json::{Value, json};

use crate::cli::session::Session;
use crate::cli::view::{Table, View};

/// Shows what was found.
pub(super) fn show(session: &mut Session, report: &Report, split: Option<&Split>, key: &FingerprintKey) {
    let answer = document(report, split, key);
    session.printer.show(&answer, |_| view(report, split, key));
}

fn document(report: &Report, split: Option<&Split>, key: &FingerprintKey) -> Value {
    let scanned = &report.scanned;
    let findings: Vec<Value> = scanned
        .findings
        .iter()
        .enumerate()
        .map(|(index, finding)| {
            let server = finding.place.server.and_then(|server| scanned.servers.get(server));
            json!({
                "file": finding.file,
                "line": finding.start.line, "column": finding.start.column,
                "end_line": finding.end.line, "end_column": finding.end.column,
                "kind": finding.kind,
                "rule": finding.rule.id(),
                "place": place(finding),
                "client": finding.client.map(gateway_adopt::Client::word),
                "server": server.map(|server| &server.name),
                "fingerprint": finding.secret.fingerprint(key),
                "known": is_known(split, index),
            })
        })
        .collect();
    let notes: Vec<Value> = scanned
        .notes
        .iter()
        .map(|note| {
            let (line, column) = note.at.map(|at| (at.line, at.column)).unzip();
            json!({"file": note.file, "line": line, "column": column, "note": note.what})
        })
        .collect();
    json!({
        "files": report.files,
        "findings": findings,
        "new": split.map_or(scanned.findings.len(), Split::new_count),
        "gone": split.map(|split| split.gone),
        "notes": notes,
    })
}

fn view(report: &Report, split: Option<&Split>, key: &FingerprintKey) -> View {
    let scanned = &report.scanned;
    let mut found = Table::new(&["place", "what", "where", "rule", "fingerprint"]);
    let mut known = 0_usize;
    for (index, finding) in scanned.findings.iter().enumerate() {
        if is_known(split, index) {
            known = known.saturating_add(1);
            continue;
        }
        found.row([
            format!("{}:{}", finding.file, finding.start),
            finding.kind.to_owned(),
            place(finding),
            finding.rule.id().to_owned(),
            finding.secret.fingerprint(key).to_string(),
        ]);
    }
    let mut notes = Table::new(&["file", "note"]);
    for note in &scanned.notes {
        let at = note.at.map(|at| format!(":{at}")).unwrap_or_default();
        notes.row([format!("{}{at}", note.file), note.what.clone()]);
    }
    let summary = summary(report, known, key);
    let gone = split.map(|split| split.gone).filter(|gone| *gone > 0);
    let view = View::default().table("Loose keys", found).table("Not looked at", notes).text(summary);
    match gone {
        Some(gone) => view.text(format!("{gone} of the baseline are gone: write it anew.")),
        None => view,
    }
}

fn summary(report: &Report, known: usize, key: &FingerprintKey) -> String {
    let findings = &report.scanned.findings;
    let values: HashSet<String> =
        findings.iter().map(|finding| finding.secret.fingerprint(key).to_string()).collect();
    let tolerated =
        if known > 0 { format!(", {known} of them known to the baseline") } else { String::new() };
    match findings.len() {
        0 => format!("No loose keys in {}.", counted(report.files, "file")),
        places => format!(
            "{} in {} of {}{tolerated}. `adopt --plan` says what to do.",
            counted(values.len(), "value"),
            counted(places, "place"),
            counted(report.files, "file"),
        ),
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The keys that lead to it, or the name beside it.
fn place(finding: &Finding) -> String {
    match (finding.place.path.as_str(), finding.place.slot.name()) {
        ("", name) => name.unwrap_or_default().to_owned(),
        (path, _) => path.to_owned(),
    }
}

fn is_known(split: Option<&Split>, index: usize) -> bool {
    split.and_then(|split| split.known.get(index)).copied().unwrap_or(false)
}
