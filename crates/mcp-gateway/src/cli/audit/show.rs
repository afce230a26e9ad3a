//! `audit show`: the path of one call, from its intent to its end, and what stood behind the decision.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use gateway_adapters::audit::{Order, Reader};
use serde_json::{Value, json};

use super::conditions::Conditions;
use super::{cells, unreadable};
use crate::cli::client::Client;
use crate::cli::failure::{Exit, Failure};
use crate::cli::pick::{first, list, short, text, time};
use crate::cli::session::Session;
use crate::cli::view::{Table, View};

/// The most records of one call that are shown.
const MOST: usize = 1_000;

/// Which call.
#[derive(Args, Debug)]
pub(in crate::cli) struct ShowArguments {
    /// The request's id: `X-Request-Id` of the answer, and of what the upstream got
    request_id: String,
    /// Read this audit directory, or a copy of it, instead of asking the gateway
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Where records are found.
enum Source<'s> {
    Gateway(Box<Client>),
    Directory(&'s PathBuf),
}

impl Source<'_> {
    fn find(&self, conditions: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Gateway(client) => {
                let mut query = conditions.to_vec();
                query.push(("order", "oldest_first".to_owned()));
                query.push(("limit", MOST.to_string()));
                Ok(list(&client.fetch(&["audit"], &query)?, "/records").to_vec())
            }
            Self::Directory(directory) => {
                let fields = conditions.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
                let filter = serde_json::from_value(Value::Object(fields.collect())).map_err(|error| {
                    Failure::usage("these conditions cannot be searched for").because(&error)
                })?;
                let found = Reader::new(directory).search(&filter, Order::OldestFirst, MOST);
                let found = found.map_err(|error| unreadable(directory, &error))?;
                Ok(found.records.into_iter().filter_map(|stored| serde_json::to_value(stored).ok()).collect())
            }
        }
    }
}

/// Shows the call.
pub(super) fn show(session: &mut Session, arguments: &ShowArguments) -> Result<Exit, Failure> {
    let source = match &arguments.directory {
        Some(directory) => Source::Directory(directory),
        None => Source::Gateway(Box::new(session.client()?)),
    };
    let conditions = Conditions::one("request_id", &arguments.request_id);
    conditions.filter()?;
    let records = source.find(&conditions.set()?)?;
    if records.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            format!("no record names the request `{}`", arguments.request_id),
        )
        .hint("a caller who proved no identity is counted, not recorded one by one"));
    }
    let behind = behind(&source, &records)?;
    let answer = json!({"request_id": arguments.request_id, "records": records, "behind": behind});
    session.printer.show(&answer, path);
    Ok(Exit::Ok)
}

/// The acts that made the revisions that decided: who wrote them, and who approved.
fn behind(source: &Source<'_>, records: &[Value]) -> Result<Vec<Value>, Failure> {
    let mut asked = BTreeSet::new();
    for record in records {
        let environment = text(record, "/event/environment");
        if let Some((name, revision)) = text(record, "/event/binding").split_once('@') {
            asked.insert((format!("binding/{environment}/{name}"), Some(revision.to_owned())));
        }
        for policy in list(record, "/event/policies") {
            let policy = policy.as_str().unwrap_or_default();
            asked.insert((format!("policy/{environment}/{policy}"), None));
        }
    }
    let last = records.last().and_then(|record| record.get("sequence")?.as_u64()).unwrap_or(u64::MAX);
    let mut found = Vec::new();
    for (object, revision) in asked {
        let mut conditions = vec![("object", object)];
        conditions.extend(revision.map(|revision| ("revision", revision)));
        let acts = source.find(&conditions)?;
        // What came later decided nothing here.
        found
            .extend(acts.into_iter().filter(|act| act.get("sequence").and_then(Value::as_u64) <= Some(last)));
    }
    found.sort_by_key(|act| act.get("sequence").and_then(Value::as_u64));
    Ok(found)
}

fn path(answer: &Value) -> View {
    let records = list(answer, "/records");
    let said = |pointer: &str| {
        let found = records.iter().map(|record| text(record, pointer)).find(|found| !found.is_empty());
        found.unwrap_or_default()
    };
    let mut steps = Table::new(&["record", "time", "step", "what it says"]);
    for record in records {
        let step = text(record, "/event/kind").replace('_', " ");
        steps.row([text(record, "/sequence"), time(&text(record, "/event/time")), step, words(record)]);
        if text(record, "/event/kind") == "intent" && !text(record, "/event/receipt").is_empty() {
            // No record of its own: the intent says that one is signed before anything is sent.
            steps.row([String::new(), String::new(), "receipt".to_owned(), receipt(record, records)]);
        }
    }
    let mut view = View::default().title("The path of one call").fields([
        ("request", text(answer, "/request_id")),
        ("trace", said("/event/trace_id")),
        ("user", said("/event/user")),
        ("agent", said("/event/agent")),
        ("workload", said("/event/workload")),
        ("client", said("/event/surface")),
        ("from", said("/event/source_address")),
        ("environment", said("/event/environment")),
        ("server", said("/event/server")),
        ("method", said("/event/method")),
        ("tool", said("/event/tool")),
        ("risk", said("/event/risk")),
        ("mode", said("/event/mode")),
        ("binding", said("/event/binding")),
        ("policies", said("/event/policies")),
        ("policy version", short(&said("/event/policy_version"))),
        ("route", short(&said("/event/route_id"))),
        ("secret version", said("/event/secret_version")),
        ("epoch", said("/event/epoch")),
        ("ended", ended(records)),
    ]);
    view = view.table("Steps", steps);
    let mut acts = Table::new(&["record", "time", "act", "who", "object", "revision"]);
    for act in list(answer, "/behind") {
        let [sequence, time, kind, who, .., object, _] = cells(act);
        acts.row([sequence, time, kind, who, object, text(act, "/event/revision")]);
    }
    if acts.is_empty() { view } else { view.table("Behind the decision", acts) }
}

/// What one step adds.
fn words(record: &Value) -> String {
    let said = |name: &str| text(record, &format!("/event/{name}"));
    let outcome = |name: &str| text(record, &format!("/event/outcome/{name}"));
    let parts = [
        ("", first(record, &["/event/decision", "/event/status"])),
        ("", said("reason")),
        ("upstream", outcome("upstream_status")),
        ("µs", outcome("duration_micros")),
        ("redactions", Some(outcome("redactions")).filter(|count| count != "0").unwrap_or_default()),
        ("provider", said("provider")),
        ("answer", said("answer")),
        ("grant", said("grant")),
    ];
    let words = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let words = words.map(|(name, value)| if name.is_empty() { value } else { format!("{name} {value}") });
    words.collect::<Vec<_>>().join(", ")
}

/// What became of the receipt that an intent promises: without it nothing was sent.
fn receipt(intent: &Value, records: &[Value]) -> String {
    let mode = text(intent, "/event/receipt");
    let unsigned = |record: &Value| text(record, "/event/reason") == "receipt.unavailable";
    if records.iter().any(unsigned) {
        return format!("{mode}: could not be signed, and nothing was sent");
    }
    let id = text(intent, "/event/request_id");
    format!("{mode}: signed and sent with the message; its `jti` begins with {id}.")
}

/// How the call came out, in a word.
fn ended(records: &[Value]) -> String {
    let kinds: Vec<String> = records.iter().map(|record| text(record, "/event/kind")).collect();
    let has = |kind: &str| kinds.iter().any(|found| found == kind);
    let word = if has("outcome") {
        "as its outcome says"
    } else if has("outcome_unknown") {
        "unknown: the gateway stopped before the answer; the upstream may have been called"
    } else if has("intent") {
        "not yet: the credential is in use"
    } else if has("refused") {
        "refused; no credential was used"
    } else {
        "no credential was used"
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, event: Value) -> Value {
        json!({"sequence": sequence, "hash": "ab", "event": event})
    }

    #[test]
    fn a_call_reads_from_its_intent_to_its_end() {
        let intent = json!({"time": "2026-11-26T09:00:00Z", "kind": "intent", "agent": "triage-bot",
            "environment": "dev", "server": "github", "tool": "create_issue", "binding": "triage@3",
            "decision": "allow", "policies": ["triage"]});
        let outcome = json!({"time": "2026-11-26T09:00:01Z", "kind": "outcome",
            "outcome": {"upstream_status": 200, "duration_micros": 900, "redactions": 0}});
        let written = json!({"time": "2026-11-25T09:00:00Z", "kind": "object_approved", "operator": "bob",
            "object": {"kind": "Binding", "environment": "dev", "name": "triage"}, "revision": 3});
        let answer = json!({"request_id": "r-1", "records": [record(7, intent), record(8, outcome)],
            "behind": [record(2, written)]});
        let shown = path(&answer).plain();
        for part in
            ["triage@3", "allow", "upstream 200, µs 900", "as its outcome says", "object_approved", "bob"]
        {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert!(!shown.contains("redactions"), "{shown}");
    }

    #[test]
    fn a_receipt_is_a_step_of_its_own_where_the_intent_promises_one() {
        let intent = json!({"kind": "intent", "request_id": "r-1", "receipt": "pseudonymous"});
        let shown = |events: &[Value]| {
            let records: Vec<Value> = events.iter().cloned().map(|event| record(1, event)).collect();
            path(&json!({"request_id": "r-1", "records": records, "behind": []})).plain()
        };
        let signed = shown(&[intent.clone(), json!({"kind": "outcome"})]);
        assert!(
            signed.contains("pseudonymous: signed and sent with the message; its `jti` begins with r-1."),
            "{signed}"
        );
        let unsigned = shown(&[intent, json!({"kind": "refused", "reason": "receipt.unavailable"})]);
        assert!(unsigned.contains("could not be signed, and nothing was sent"), "{unsigned}");
        assert!(!shown(&[json!({"kind": "intent", "request_id": "r-1"})]).contains("receipt"));
    }

    #[test]
    fn an_intent_alone_is_not_an_end() {
        let intent = record(1, json!({"kind": "intent"}));
        assert!(ended(std::slice::from_ref(&intent)).starts_with("not yet"));
        let unknown = record(2, json!({"kind": "outcome_unknown"}));
        assert!(ended(&[intent, unknown]).starts_with("unknown"));
    }
}
