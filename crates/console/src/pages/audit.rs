//! The evidence: search, and the story of one call.

use axum::extract::Path;
use axum::response::Response;
use gateway_core::id::RequestId;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Facts, Table, badge, choice, code, field, link, text, time, words};
use crate::shapes::{Record, Records};
use crate::trouble::Trouble;
use crate::visit::{Visit, address};

const FILTERS: [&str; 11] = [
    "environment",
    "server",
    "binding",
    "agent",
    "user",
    "operator",
    "tool",
    "kind",
    "decision",
    "from",
    "until",
];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = search(&visit).await;
    visit.answer(made)
}

async fn search(visit: &Visit) -> Result<Sheet, Trouble> {
    let mut query = visit.said(&FILTERS);
    query.push(("cursor", visit.query.text("cursor")));
    query.push(("limit", Some("50")));
    let found: Records = visit.read("/v1/audit", &query).await?;
    let content = filters(visit).html(&table(
        &found.records,
        "Records, the newest first",
        "No record matches. Look at the filters: names are exact.",
    ));
    let next = found.next.map(|next| next.to_string());
    let further = visit.further("/console/audit", &FILTERS, next.as_deref());
    Ok(Sheet::new("Audit", content.html(&further)))
}

fn filters(visit: &Visit) -> Html {
    let said = |name: &str| visit.query.text(name).unwrap_or_default();
    let decisions = [("", "any"), ("allow", "allow"), ("deny", "deny")];
    Html::new()
        .raw("<form class=\"bar\" method=\"get\" action=\"/console/audit\">")
        .html(&field("environment", "Environment", said("environment"), ""))
        .html(&field("server", "Server", said("server"), ""))
        .html(&field("binding", "Binding", said("binding"), "name or name@revision"))
        .html(&field("agent", "Agent", said("agent"), ""))
        .html(&field("user", "User", said("user"), "issuer|subject"))
        .html(&field("operator", "Operator", said("operator"), ""))
        .html(&field("tool", "Tool", said("tool"), ""))
        .html(&field("kind", "Kind", said("kind"), "intent, outcome, refused, …"))
        .html(&choice("decision", "Decision", said("decision"), &decisions))
        .html(&field("from", "From", said("from"), "2026-11-26T00:00:00Z"))
        .html(&field("until", "Until", said("until"), ""))
        .raw("<button>Search</button></form>")
}

/// Records as a table.
pub(crate) fn table(records: &[Record], caption: &'static str, nothing: &'static str) -> Html {
    let columns = &["Time", "Kind", "Decision", "Reason", "Who", "Where", "Binding", "Call"];
    let rows = records.iter().fold(Table::new(columns), |table, record| {
        let request = record.text("request_id");
        let call = if request.is_empty() {
            text("")
        } else {
            link(&format!("/console/audit/{request}"), "its story")
        };
        table.row(&[
            time(record.text("time")),
            code(record.text("kind")),
            if record.text("decision").is_empty() { text("") } else { badge(record.text("decision")) },
            code(record.text("reason")),
            text(&who(record)),
            text(&place(record)),
            text(record.text("binding")),
            call,
        ])
    });
    rows.finish(caption, nothing)
}

fn joined(record: &Record, fields: &[&str], by: &str) -> String {
    let said = fields.iter().map(|name| record.text(name)).filter(|text| !text.is_empty());
    said.collect::<Vec<_>>().join(by)
}

fn who(record: &Record) -> String {
    // Somebody who logs in is both the operator and the user.
    let fields = ["operator", "user", "agent", "workload"].map(|name| record.text(name));
    let mut said: Vec<&str> = fields.into_iter().filter(|text| !text.is_empty()).collect();
    said.dedup();
    said.join(", ")
}

fn place(record: &Record) -> String {
    joined(record, &["environment", "server", "tool"], "/")
}

pub(crate) async fn one_call(visit: Visit, Path(request): Path<String>) -> Response {
    let made = story(&visit, &request).await;
    visit.answer(made)
}

/// Everything that the chain says about one request, in its order.
async fn story(visit: &Visit, request: &str) -> Result<Sheet, Trouble> {
    let request = RequestId::parse(request).map_err(|_| Trouble::NotThere)?;
    let query = [
        ("request_id", Some(request.as_str())),
        ("environment", visit.query.text("environment")),
        ("order", Some("oldest_first")),
        ("limit", Some("100")),
    ];
    let found: Records = visit.read("/v1/audit", &query).await?;
    if found.records.is_empty() {
        return Err(Trouble::NotThere);
    }
    let content = found.records.iter().fold(Html::new(), |html, record| html.html(&step(record)));
    let content = again(&found.records).html(&content);
    Ok(Sheet::new(format!("Request {request}"), content))
}

/// The same question about the call as it would be decided now, for calls of tools.
fn again(records: &[Record]) -> Html {
    let fields = ["environment", "server", "tool", "agent", "workload", "user"];
    let Some(call) =
        records.iter().find(|one| fields.iter().take(3).all(|field| !one.text(field).is_empty()))
    else {
        return Html::new();
    };
    let said = fields.iter().map(|field| (*field, Some(call.text(field)).filter(|text| !text.is_empty())));
    let query: Vec<(&str, Option<&str>)> = [("question", Some("why"))].into_iter().chain(said).collect();
    let place = address("/console/access", &query);
    Html::new()
        .raw("<p>")
        .html(&link(&place, "How such a call would be decided now, and what would change that"))
        .raw("</p>")
}

fn step(record: &Record) -> Html {
    let facts = record.event.iter().filter(|(name, _)| !["kind", "time"].contains(&name.as_str()));
    let facts = facts.fold(Facts::default(), |facts, (name, value)| {
        facts.named(&name.replace('_', " "), &text(&words(value)))
    });
    Html::new()
        .raw("<section><h2>")
        .text(&record.text("kind").replace('_', " "))
        .raw("</h2><p>Record ")
        .text(&record.sequence.to_string())
        .raw(", ")
        .html(&time(record.text("time")))
        .raw("</p>")
        .html(&facts.finish())
        .raw("</section>")
}
