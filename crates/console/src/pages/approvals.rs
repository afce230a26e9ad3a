//! What waits for signatures: bindings with what they change, and other objects.

use axum::response::Response;
use gateway_login::page::Html;
use serde_json::Value;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, card_address, code, link, text, time, words};
use crate::shapes::{Approval, Card, Cards, Change, Items, Object, Pending, Requirement};
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The lists that objects other than bindings are in, with the word of their kind.
const KINDS: [(&str, &str); 6] = [
    ("/v1/environments", "Environment"),
    ("/v1/servers", "Server"),
    ("/v1/agents", "Agent"),
    ("/v1/policies", "Policy"),
    ("/v1/workloads", "Workload"),
    ("/v1/providers", "Provider"),
];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let cards: Cards =
        visit.read("/v1/bindings", &[("status", Some("pending")), ("limit", Some("500"))]).await?;
    let objects = waiting_objects(visit).await?;
    if cards.items.is_empty() && objects.is_empty() {
        let nothing = Html::new().raw("<p class=\"nothing\">Nothing waits for a signature.</p>");
        return Ok(Sheet::new("Approvals", nothing));
    }
    let start =
        Html::new().raw("<p>One signs the revision that one has read. Whoever wrote it cannot sign it.</p>");
    let content = start.html(&others(visit, &objects)).html(&bindings(&cards.items));
    Ok(Sheet::new("Approvals", content))
}

/// Objects with a pending revision: kind, object, what waits.
pub(crate) async fn waiting_objects(visit: &Visit) -> Result<Vec<(&'static str, Object)>, Trouble> {
    let mut found = Vec::new();
    for (path, kind) in KINDS {
        let list: Items<Object> = visit.read(path, &[]).await?;
        found.extend(list.items.into_iter().filter(|one| one.pending.is_some()).map(|one| (kind, one)));
    }
    Ok(found)
}

fn bindings(cards: &[Card]) -> Html {
    let columns = &["Binding", "Revision", "Written by", "Written", "Missing", "Changes"];
    let rows = cards.iter().fold(Table::new(columns), |table, card| {
        let Some(pending) = &card.pending else { return table };
        let address = card_address(&card.environment, &card.name);
        let fields: Vec<&str> = pending.changes.iter().map(|change| change.field.as_str()).collect();
        table.row(&[
            link(&address, &format!("{}/{}", card.environment, card.name)),
            text(&pending.revision.to_string()),
            text(&pending.author),
            time(&pending.created_at),
            text(&missing(&pending.missing)),
            if fields.is_empty() { text("new") } else { text(&fields.join(", ")) },
        ])
    });
    Html::new()
        .raw("<h2>Bindings</h2>")
        .html(&rows.finish("Read the card, then sign there", "No binding waits."))
}

fn others(visit: &Visit, objects: &[(&'static str, Object)]) -> Html {
    if objects.is_empty() {
        return Html::new();
    }
    objects.iter().fold(Html::new().raw("<h2>Other objects</h2>"), |html, (kind, object)| {
        object.pending.as_ref().map_or(html.clone(), |pending| html.html(&one(visit, kind, object, pending)))
    })
}

fn one(visit: &Visit, kind: &'static str, object: &Object, pending: &Pending) -> Html {
    let environment = object.environment.as_deref().unwrap_or("-");
    let revision = pending.revision.to_string();
    let hidden = [
        ("kind", kind),
        ("environment", environment),
        ("name", object.name.as_str()),
        ("revision", &revision),
    ];
    Html::new()
        .raw("<section class=\"notice wait\"><h3>")
        .raw(kind)
        .raw(" ")
        .text(&object.name)
        .raw(" in ")
        .text(environment)
        .raw(", revision ")
        .text(&revision)
        .raw("</h3><p>Written by ")
        .text(&pending.author)
        .raw(". Missing: ")
        .text(&missing(&pending.missing))
        .raw(".</p><p>As it stands: ")
        .html(&code(&words(&object.spec)))
        .raw("</p>")
        .html(&act(visit, "approve-object", &hidden, &Html::new(), ("Approve", Weight::Main)))
        .raw("</section>")
}

/// The signatures missing, in words.
pub(crate) fn missing(missing: &[Requirement]) -> String {
    if missing.is_empty() {
        return "nothing".to_owned();
    }
    let capacity = |capacity: &Value| match capacity {
        Value::String(word) if word == "environment" => "an approver of the environment".to_owned(),
        Value::Object(one) => one
            .iter()
            .map(|(whose, team)| format!("an approver of {}, which owns the {whose}", words(team)))
            .collect(),
        other => words(other),
    };
    let told = missing.iter().map(|one| {
        let any = one.any_of.iter().map(capacity).collect::<Vec<_>>().join(" or ");
        if one.count == 1 { any } else { format!("{} times {any}", one.count) }
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Who signed.
pub(crate) fn signatures(approvals: &[Approval]) -> Html {
    approvals.iter().enumerate().fold(Html::new(), |html, (index, one)| {
        let html = if index == 0 { html } else { html.raw("; ") };
        html.text(&one.approver).raw(", ").html(&time(&one.at))
    })
}

/// What a revision changes.
pub(crate) fn changes(changes: &[Change]) -> Html {
    let rows = changes.iter().fold(Table::new(&["Field", "Effect", "Before", "After"]), |table, change| {
        let before = Html::new().raw("<del>").text(&words(&change.before)).raw("</del>");
        let after = Html::new().raw("<ins>").text(&words(&change.after)).raw("</ins>");
        table.row(&[code(&change.field), badge(&change.effect), before, after])
    });
    rows.finish(
        "What it changes",
        "It is the first revision, or only the approved server or policy behind it is another one: read the whole card.",
    )
}
