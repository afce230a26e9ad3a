//! What waits for signatures: bindings and every other object, with what they change and what that would do.

use axum::extract::Path;
use axum::response::Response;
use gateway_login::page::Html;
use serde_json::Value;

use crate::effects::effect;
use crate::frame::Sheet;
use crate::pages::object;
use crate::parts::{SEEN, Table, Weight, act, badge, card_address, code, link, text, time, words};
use crate::shapes::{Approval, Change, Items, Requirement};
use crate::told::Waits;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// Of how many objects the effect is worked out on the list; of every one on its own page.
const SHOWN: usize = 3;
/// How many are on one page.
const PAGE: &str = "100";

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let query = [("cursor", visit.query.text("cursor")), ("limit", Some(PAGE))];
    let waiting: Items<Waits> = visit.read("/v1/waiting", &query).await?;
    let further = visit.further("/console/approvals", &[], waiting.next.as_deref());
    if waiting.items.is_empty() {
        let nothing = Html::new().raw("<p class=\"nothing\">Nothing waits for a signature.</p>");
        return Ok(Sheet::living("Approvals", nothing));
    }
    let (bindings, others): (Vec<Waits>, Vec<Waits>) =
        waiting.items.into_iter().partition(|one| one.kind == "Binding");
    let mut content = Html::new().raw(
        "<p>One signs the revision that one has read. Whoever wrote it cannot sign it. What others rest on comes first.</p>",
    );
    if !others.is_empty() {
        content = content.raw("<h2>Servers, agents, policies and the like</h2>");
    }
    for (place, waits) in others.iter().enumerate() {
        content = content.html(&other(visit, waits, place < SHOWN).await?);
    }
    Ok(Sheet::new("Approvals", content.html(&cards(&bindings)).html(&further)))
}

pub(crate) async fn one(
    visit: Visit,
    Path((kind, environment, name)): Path<(String, String, String)>,
) -> Response {
    let made = single(&visit, &kind, &environment, &name).await;
    visit.answer(made)
}

async fn single(visit: &Visit, kind: &str, environment: &str, name: &str) -> Result<Sheet, Trouble> {
    let waiting: Items<Waits> = visit.every("/v1/waiting", &[]).await?;
    let same = |one: &Waits| {
        one.kind.eq_ignore_ascii_case(kind)
            && one.environment.as_deref().unwrap_or("-") == environment
            && one.name == name
    };
    let waits = waiting.items.into_iter().find(same).ok_or(Trouble::NotThere)?;
    let content = other(visit, &waits, true).await?;
    let more =
        link(&object::address(&waits.kind, waits.environment.as_deref(), &waits.name), "Everything about it");
    let title = format!("{} {name} waits", waits.kind);
    Ok(Sheet::new(title, content.raw("<p>").html(&more).raw("</p>")))
}

fn cards(bindings: &[Waits]) -> Html {
    let columns = &["Binding", "Revision", "Written by", "Written", "Missing", "Changes", "Yours"];
    let rows = bindings.iter().fold(Table::new(columns), |table, waits| {
        let environment = waits.environment.as_deref().unwrap_or_default();
        let fields: Vec<&str> = waits.changes.iter().map(|change| change.field.as_str()).collect();
        table.row(&[
            link(&card_address(environment, &waits.name), &format!("{environment}/{}", waits.name)),
            text(&waits.revision.to_string()),
            text(&waits.author),
            time(&waits.created_at),
            text(&missing(&waits.missing)),
            if fields.is_empty() { text("new") } else { text(&fields.join(", ")) },
            if waits.yours { badge("yours") } else { Html::new() },
        ])
    });
    Html::new()
        .raw("<h2>Bindings</h2>")
        .html(&rows.finish("Read the card, then sign there", "No binding waits."))
}

/// An object that is no binding.
async fn other(visit: &Visit, waits: &Waits, with_effect: bool) -> Result<Html, Trouble> {
    let environment = waits.environment.as_deref().unwrap_or("-");
    let kind = waits.kind.to_ascii_lowercase();
    let effect = if with_effect {
        effect(visit, &format!("/v1/objects/{kind}/{environment}/{}/effect", waits.name), waits.revision)
            .await?
    } else {
        let page = format!("/console/approvals/{kind}/{environment}/{}", waits.name);
        Html::new().raw("<p>").html(&link(&page, "What it would do to the calls of late")).raw("</p>")
    };
    let revision = waits.revision.to_string();
    let place = waits.environment.as_deref();
    let sign = sign(visit, waits).await?;
    Ok(Html::new()
        .raw("<section class=\"notice wait\"><h3>")
        .text(&waits.kind)
        .raw(" ")
        .html(&link(&object::address(&waits.kind, place, &waits.name), &waits.name))
        .raw(if place.is_some() { " in " } else { "" })
        .text(place.unwrap_or_default())
        .raw(", revision ")
        .text(&revision)
        .raw("</h3><p>Written by ")
        .text(&waits.author)
        .raw(", ")
        .html(&time(&waits.created_at))
        .raw(". Missing: ")
        .text(&missing(&waits.missing))
        .raw(".</p>")
        .html(&proposed(waits))
        .html(&effect)
        .html(&sign)
        .raw("</section>"))
}

/// What stands in the place of the button for everybody else.
pub(crate) fn not_yours() -> Html {
    Html::new().raw("<p class=\"fine\">It is not yours to sign.</p>")
}

/// The button, for whom it is to sign: as the thing stands on this page, and nothing that came after.
async fn sign(visit: &Visit, waits: &Waits) -> Result<Html, Trouble> {
    if !waits.yours {
        return Ok(not_yours());
    }
    let kind = waits.kind.to_ascii_lowercase();
    let whole = match object::read(visit, &kind, waits.environment.as_deref(), &waits.name).await {
        Ok(whole) => whole,
        Err(Trouble::NotThere) => {
            return Ok(
                Html::new().raw("<p class=\"fine\">It has changed meanwhile: load this page again.</p>")
            );
        }
        Err(other) => return Err(other),
    };
    let revision = waits.revision.to_string();
    let hidden = [
        (SEEN, whole.etag.as_str()),
        ("kind", waits.kind.as_str()),
        ("environment", waits.environment.as_deref().unwrap_or("-")),
        ("name", waits.name.as_str()),
        ("revision", revision.as_str()),
    ];
    let words = format!("Approve revision {revision}");
    Ok(act(visit, "approve-object", &hidden, &Html::new(), (&words, Weight::Main)))
}

/// What it changes; all of it where it is new.
fn proposed(waits: &Waits) -> Html {
    if waits.changes.is_empty() {
        let start = Html::new().raw("<h4>It is new</h4>");
        return start.html(&object::declared(&waits.spec));
    }
    changes(&waits.changes)
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
        if let (Value::String(before), Value::String(after)) = (&change.before, &change.after)
            && (before.contains('\n') || after.contains('\n'))
        {
            let lines = crate::lines::difference(before, after);
            return table.row(&[code(&change.field), badge(&change.effect), text("see after"), lines]);
        }
        let before = Html::new().raw("<del>").text(&words(&change.before)).raw("</del>");
        let after = Html::new().raw("<ins>").text(&words(&change.after)).raw("</ins>");
        table.row(&[code(&change.field), badge(&change.effect), before, after])
    });
    rows.finish(
        "What it changes",
        "It is the first revision, or only the approved server or policy behind it is another one: read the whole card.",
    )
}
