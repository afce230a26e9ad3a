//! `preflight` and `check --probe`: each thing tried, green or with a reason and what to do.

use serde_json::{Value, json};

use super::failure::Exit;
use super::print::{Colour, Output};
use super::session::Session;
use super::view::{Table, View};
use crate::app::PreflightLine;

/// Shows the lines. Without any line nothing was proven, which is no success.
pub(super) fn report(session: &mut Session, lines: &[PreflightLine]) -> Exit {
    let ok = !lines.is_empty() && lines.iter().all(|line| line.ok);
    match session.printer.output() {
        Output::Table => coloured(session, lines),
        Output::Json | Output::Markdown => session.printer.show(&document(lines, ok), |_| view(lines)),
    }
    if ok { Exit::Ok } else { Exit::Refused }
}

fn coloured(session: &mut Session, lines: &[PreflightLine]) {
    let widest = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
    for line in lines {
        let (colour, word) = if line.ok { (Colour::Green, "ok  ") } else { (Colour::Red, "FAIL") };
        session.printer.marked(colour, word, &format!("{:<widest$}  {}", line.name, line.detail));
        if let Some(hint) = &line.hint {
            session.printer.marked(Colour::Cyan, "     hint:", hint);
        }
    }
}

fn document(lines: &[PreflightLine], ok: bool) -> Value {
    json!({"ok": ok, "lines": lines})
}

fn view(lines: &[PreflightLine]) -> View {
    let mut table = Table::new(&["", "what", "found", "hint"]);
    for line in lines {
        let mark = if line.ok { "ok" } else { "FAIL" };
        table.row([
            mark.to_owned(),
            line.name.clone(),
            line.detail.clone(),
            line.hint.clone().unwrap_or_default(),
        ]);
    }
    View::default().title("Preflight").table("", table)
}
