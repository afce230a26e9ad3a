//! `waiting`, `due` and `summary`: what needs somebody, and how much there is.

use clap::Args;
use serde_json::Value;

use super::binding::{items, or_nothing};
use super::card;
use super::failure::{Exit, Failure};
use super::pick::{is_true, list, text, time};
use super::session::Session;
use super::view::{Table, View};

/// Which of what waits.
#[derive(Args, Debug)]
pub(super) struct WaitingArguments {
    /// Only what you can sign now
    #[arg(long)]
    mine: bool,
    /// Only of this environment, and what is registered for it
    #[arg(long)]
    environment: Option<String>,
}

/// How far ahead.
#[derive(Args, Debug)]
pub(super) struct DueArguments {
    /// So many days ahead
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
    /// End with 1 where something is overdue
    #[arg(long)]
    exit_code: bool,
}

/// Of what.
#[derive(Args, Debug)]
pub(super) struct SummaryArguments {
    /// Only of this environment, and what is registered for it
    #[arg(long)]
    environment: Option<String>,
}

/// Everything that waits for signatures.
pub(super) fn waiting(session: &mut Session, arguments: &WaitingArguments) -> Result<Exit, Failure> {
    let mut answer = session.client()?.whole(&["waiting"], Vec::new())?;
    let wanted = |one: &Value| {
        let here = arguments.environment.as_deref().is_none_or(|environment| is_of(one, environment));
        here && (!arguments.mine || is_true(one, "/yours"))
    };
    retain(&mut answer, wanted);
    session.printer.show(&answer, |answer| {
        let nothing =
            if arguments.mine { "nothing waits for your signature" } else { "nothing waits for a signature" };
        or_nothing(waits(items(answer)), nothing)
    });
    Ok(Exit::Ok)
}

fn is_of(one: &Value, environment: &str) -> bool {
    let registered = || list(one, "/spec/environments").iter().any(|name| name == environment);
    let itself = || text(one, "/kind") == "Environment" && text(one, "/name") == environment;
    text(one, "/environment") == environment || registered() || itself()
}

fn retain(answer: &mut Value, wanted: impl Fn(&Value) -> bool) {
    if let Some(items) = answer.pointer_mut("/items").and_then(Value::as_array_mut) {
        items.retain(wanted);
    }
}

fn waits(waiting: &[Value]) -> Table {
    let mut table =
        Table::new(&["object", "revision", "written by", "written", "changes", "missing", "yours"]);
    for one in waiting {
        let parts = ["/kind", "/environment", "/name"].map(|part| text(one, part));
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let fields: Vec<String> = list(one, "/changes").iter().map(|change| text(change, "/field")).collect();
        table.row([
            parts.join("/"),
            text(one, "/revision"),
            text(one, "/author"),
            time(&text(one, "/created_at")),
            if fields.is_empty() { "new".to_owned() } else { fields.join(", ") },
            card::missing(list(one, "/missing")),
            if is_true(one, "/yours") { "yes".to_owned() } else { String::new() },
        ]);
    }
    table
}

/// What ends or is due soon.
pub(super) fn due(session: &mut Session, arguments: &DueArguments) -> Result<Exit, Failure> {
    let mut answer = session.client()?.whole(&["expiring"], vec![("days", arguments.days.to_string())])?;
    if let Some(environment) = &arguments.environment {
        retain(&mut answer, |one| text(one, "/environment") == *environment);
    }
    let nothing = format!("nothing ends and nothing is due within {} days", arguments.days);
    session.printer.show(&answer, |answer| or_nothing(soon(items(answer)), &nothing));
    let late = arguments.exit_code && items(&answer).iter().any(|one| is_true(one, "/overdue"));
    Ok(if late { Exit::Refused } else { Exit::Ok })
}

fn soon(items: &[Value]) -> Table {
    let mut table = Table::new(&["when", "what", "of", ""]);
    for one in items {
        let (what, kind) = match text(one, "/due").as_str() {
            "ends" => ("ends", "Binding"),
            "review" => ("review", "Binding"),
            "rotation" => ("rotation", "Binding"),
            _ => ("a token ends", "Agent"),
        };
        let parts = [kind.to_owned(), text(one, "/environment"), text(one, "/name")];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let late = if is_true(one, "/overdue") { "OVERDUE" } else { "" };
        table.row([time(&text(one, "/at")), what.to_owned(), parts.join("/"), late.to_owned()]);
    }
    table
}

/// How many there are.
pub(super) fn summary(session: &mut Session, arguments: &SummaryArguments) -> Result<Exit, Failure> {
    let query: Vec<_> = arguments.environment.iter().map(|name| ("environment", name.clone())).collect();
    let answer = session.client()?.fetch(&["summary"], &query)?;
    session.printer.show(&answer, |answer| View::default().table("", counts(answer)));
    Ok(Exit::Ok)
}

fn counts(answer: &Value) -> Table {
    let mut table = Table::new(&["kind", "active", "disabled", "pending"]);
    for (kind, counts) in answer.as_object().into_iter().flatten() {
        let count = |status: &str| counts.get(status).and_then(Value::as_u64).unwrap_or_default().to_string();
        table.row([kind.clone(), count("active"), count("disabled"), count("pending")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_is_named_as_it_is_signed() {
        let one = json!({"kind": "Agent", "name": "bot", "yours": true, "revision": 2, "author": "idp|alice",
            "created_at": "2026-11-26T10:00:00.1Z", "spec": {"environments": ["dev", "production"]},
            "missing": [{"any_of": ["environment"], "count": 1}], "changes": [{"field": "proofs"}]});
        let shown = View::default().table("", waits(std::slice::from_ref(&one))).plain();
        for told in ["Agent/bot", "proofs", "2026-11-26T10:00:00Z", "yes"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        assert!(is_of(&one, "production") && !is_of(&one, "staging"));
        assert!(is_of(&json!({"kind": "Environment", "name": "dev"}), "dev"));
        assert!(is_of(&json!({"kind": "Binding", "environment": "dev"}), "dev"));
    }

    #[test]
    fn what_is_late_says_so_and_counts_that_are_none_are_zero() {
        let late = json!({"at": "2026-11-26T10:00:00Z", "due": "review", "environment": "dev", "name": "bot", "overdue": true});
        let token =
            json!({"at": "2026-11-27T10:00:00Z", "due": "agent_token", "name": "bot", "overdue": false});
        let shown = View::default().table("", soon(&[late, token])).plain();
        assert!(
            shown.contains("Binding/dev/bot") && shown.contains("OVERDUE") && shown.contains("Agent/bot"),
            "{shown}"
        );
        let shown = View::default().table("", counts(&json!({"bindings": {"active": 3}}))).plain();
        assert!(shown.contains("bindings  3       0         0"), "{shown}");
    }
}
