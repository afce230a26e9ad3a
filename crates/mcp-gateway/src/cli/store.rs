//! `store …`: the configured stores, whether each answers, and what was refused there. Never a value, and no path.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::binding::{items, or_nothing};
use super::failure::{Exit, Failure};
use super::pick::{is_true, text, time};
use super::session::Session;
use super::view::{Table, View};

/// What to do with stores.
#[derive(Subcommand, Debug)]
pub(super) enum StoreCommand {
    /// List them, with what the last attempts of this replica came to
    List(StoreListArguments),
    /// Ask one whether it answers and takes the gateway's login; reads no secret
    Probe(ProbeArguments),
}

/// Which of them.
#[derive(Args, Debug)]
pub(super) struct StoreListArguments {
    /// Only those that serve this environment
    #[arg(long)]
    environment: Option<String>,
    /// End with 4 where one of them did not answer last
    #[arg(long)]
    exit_code: bool,
}

/// Which one.
#[derive(Args, Debug)]
pub(super) struct ProbeArguments {
    /// The store's name in the configuration
    #[arg(value_name = "STORE")]
    name: String,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &StoreCommand) -> Result<Exit, Failure> {
    match command {
        StoreCommand::List(arguments) => list(session, arguments),
        StoreCommand::Probe(arguments) => probe(session, &arguments.name),
    }
}

fn list(session: &mut Session, arguments: &StoreListArguments) -> Result<Exit, Failure> {
    let mut answer = session.client()?.whole(&["stores"], Vec::new())?;
    if let (Some(wanted), Some(stores)) =
        (&arguments.environment, answer.pointer_mut("/items").and_then(Value::as_array_mut))
    {
        stores.retain(|store| {
            super::pick::list(store, "/environments").iter().any(|one| one == wanted.as_str())
        });
    }
    session.printer.show(&answer, |answer| {
        or_nothing(stores(items(answer)), "no store serves an environment in which you have a role")
    });
    let silent = arguments.exit_code && items(&answer).iter().any(is_silent);
    Ok(if silent { Exit::NoAnswer } else { Exit::Ok })
}

/// Whether the last attempt there found nobody.
fn is_silent(store: &Value) -> bool {
    is_true(store, "/resting") || store.pointer("/reachable") == Some(&json!(false))
}

fn stores(stores: &[Value]) -> Table {
    let columns =
        &["store", "kind", "environments", "state", "last answer", "last refusal", "references", "asked"];
    let mut table = Table::new(columns);
    for store in stores {
        let refusal = [text(store, "/last_refusal/code"), time(&text(store, "/last_refusal/at"))].join(" ");
        let [times, failed, remembered] =
            ["/fetches", "/failures", "/served_from_memory"].map(|count| text(store, count));
        let asked = format!("{times}, {failed} failed, {remembered} from memory");
        table.row([
            text(store, "/name"),
            text(store, "/kind"),
            text(store, "/environments"),
            state(store).to_owned(),
            time(&text(store, "/answered_at")),
            refusal.trim().to_owned(),
            text(store, "/references"),
            asked,
        ]);
    }
    table
}

fn state(store: &Value) -> &'static str {
    match store.pointer("/reachable").and_then(Value::as_bool) {
        _ if is_true(store, "/resting") => "LEFT ALONE",
        Some(true) => "answers",
        Some(false) => "UNREACHABLE",
        None if is_true(store, "/per_caller") => "asked by each caller",
        None => "not asked yet",
    }
}

fn probe(session: &mut Session, name: &str) -> Result<Exit, Failure> {
    let answer = session.client()?.post(&["stores", name, "probe"], &json!({}))?;
    session.printer.show(&answer, |answer| {
        let how = if is_true(answer, "/reachable") {
            "answers, and takes the gateway's login"
        } else {
            "does NOT answer"
        };
        View::default().title(format!("Store {name}: {how}")).fields([
            ("code", text(answer, "/code")),
            ("what to do", text(answer, "/hint")),
            ("took", format!("{} ms", text(answer, "/milliseconds"))),
        ])
    });
    Ok(if is_true(&answer, "/reachable") { Exit::Ok } else { Exit::NoAnswer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_says_how_it_is_and_silence_is_told_from_an_answer() {
        let store = |reachable: Value, resting: bool| {
            json!({"name": "bao", "kind": "vault", "environments": ["dev"], "reachable": reachable, "resting": resting,
                "per_caller": false, "references": 3, "fetches": 7, "failures": 2, "served_from_memory": 11,
                "last_refusal": {"code": "store.unavailable", "at": "2026-11-26T10:00:00.5Z"}})
        };
        for (reachable, resting, told, silent) in [
            (json!(true), false, "answers", false),
            (json!(false), false, "UNREACHABLE", true),
            (json!(true), true, "LEFT ALONE", true),
            (Value::Null, false, "not asked yet", false),
        ] {
            let store = store(reachable, resting);
            assert_eq!((state(&store), is_silent(&store)), (told, silent));
        }
        let shown = View::default().table("", stores(&[store(json!(true), false)])).plain();
        assert!(shown.contains("store.unavailable 2026-11-26T10:00:00Z"), "{shown}");
    }
}
