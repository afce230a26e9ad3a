//! What the pages of single objects have in common: what is declared, what waits, the past, and the calls of late.

use gateway_core::id::EnvironmentName;
use gateway_login::page::Html;
use serde_json::Value;

use crate::lines;
use crate::pages::approvals::{changes, missing, signatures};
use crate::parts::{Facts, SEEN, Table, Weight, act, badge, code, field, link, text, time, words};
use crate::shapes::{Card, Cards};
use crate::told::{Calls, Past, Whole};
use crate::trouble::Trouble;
use crate::visit::{Visit, address as with_query};

/// How many bindings are listed on an object's page; all are a link away.
const SHOWN: &str = "50";

/// The page of an object.
pub(crate) fn address(kind: &str, environment: Option<&str>, name: &str) -> String {
    let place = match kind {
        "Binding" => "bindings",
        "Server" => "servers",
        "Agent" => "agents",
        "Workload" => "workloads",
        "Provider" => "providers",
        "Policy" => "policies",
        _ => "environments",
    };
    match environment {
        Some(environment) => format!("/console/{place}/{environment}/{name}"),
        None => format!("/console/{place}/{name}"),
    }
}

/// Reads an object; parts of its path that could be something else never reach the API.
pub(crate) async fn read(
    visit: &Visit,
    kind: &str,
    environment: Option<&str>,
    name: &str,
) -> Result<Whole, Trouble> {
    let environment = environment.map(EnvironmentName::parse).transpose().map_err(|_| Trouble::NotThere)?;
    if !is_plain(name) {
        return Err(Trouble::NotThere);
    }
    let environment = environment.as_ref().map_or("-", EnvironmentName::as_str);
    visit.read(&format!("/v1/objects/{kind}/{environment}/{name}"), &[]).await
}

/// Whether it can be one part of a path and nothing else.
pub(crate) fn is_plain(name: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(safe) && name != "." && name != ".."
}

/// Where it stands, who wrote and who signed it.
pub(crate) fn standing(whole: &Whole) -> Facts {
    let status = badge(&whole.status).raw(" revision ").text(&whole.revision.to_string());
    Facts::default()
        .fact("Status", &status)
        .fact("Environment", &text(whole.environment.as_deref().unwrap_or_default()))
        .fact("Owner", &text(&whole.said("owner")))
        .fact("Written by", &text(&whole.author))
        .fact("Signed", &signatures(&whole.approvals))
}

/// That a revision waits, and the way to it.
pub(crate) fn waits(whole: &Whole, kind: &str) -> Html {
    let Some(pending) = &whole.pending else { return Html::new() };
    let environment = whole.environment.as_deref().unwrap_or("-");
    let page = format!("/console/approvals/{}/{environment}/{}", kind.to_ascii_lowercase(), whole.name);
    Html::new()
        .raw("<section class=\"notice wait\"><h2>Revision ")
        .text(&pending.revision.to_string())
        .raw(" waits for signatures</h2><p>Written by ")
        .text(&pending.author)
        .raw(". Missing: ")
        .text(&missing(&pending.missing))
        .raw(". ")
        .html(&link(&page, "What it changes and would do"))
        .raw("</p></section>")
}

/// A spec as it is declared, field by field.
pub(crate) fn declared(spec: &Value) -> Html {
    let fields =
        spec.as_object().into_iter().flatten().filter(|(name, value)| *name != "kind" && !value.is_null());
    let facts = fields.fold(Facts::default(), |facts, (name, value)| match value {
        Value::String(long) if long.contains('\n') => {
            facts.wide(&name.replace('_', " "), &lines::block(long))
        }
        other => facts.named(&name.replace('_', " "), &text(&words(other))),
    });
    facts.finish()
}

/// Every revision with what it changed, the newest first.
pub(crate) fn history(past: &[Past]) -> Html {
    let start = Html::new().raw("<h2>History</h2><p class=\"fine\">Every revision, the newest first.</p>");
    past.iter().fold(start, |html, one| {
        let html = html
            .raw("<details><summary>Revision ")
            .text(&one.revision.to_string())
            .raw(" ")
            .html(&badge(&one.status))
            .raw(" by ")
            .text(&one.author)
            .raw(", ")
            .html(&time(&one.created_at))
            .raw("</summary>")
            .html(
                &Facts::default()
                    .fact("Changed its status", &time(&one.changed_at))
                    .fact("Signed", &signatures(&one.approvals))
                    .finish(),
            );
        let html = if one.changes.is_empty() { html } else { html.html(&changes(&one.changes)) };
        html.raw("<h3>As it was declared</h3>").html(&declared(&one.spec)).raw("</details>")
    })
}

/// The bindings that a condition finds, as far as one page goes.
pub(crate) async fn bindings(
    visit: &Visit,
    query: &[(&str, Option<&str>)],
    heading: &'static str,
) -> Result<Html, Trouble> {
    let mut asked = query.to_vec();
    asked.push(("limit", Some(SHOWN)));
    let cards: Cards = visit.read("/v1/bindings", &asked).await?;
    let columns = &["Binding", "Environment", "Server", "Who", "Tools", "Mode", "Risk", "Status"];
    let rows = cards.items.iter().fold(Table::new(columns), |table, card| table.row(&row(card)));
    let all = with_query("/console/bindings", query);
    let mut html = Html::new().raw("<h2>").raw(heading).raw("</h2>");
    html = html.html(&rows.finish("Bindings that your roles cover", "No binding."));
    if cards.next.is_some() {
        html = html.raw("<p>").html(&link(&all, "All of them")).raw("</p>");
    }
    Ok(html)
}

fn row(card: &Card) -> [Html; 8] {
    let tools = if card.tools.is_empty() { "every tool".to_owned() } else { card.tools.join(", ") };
    [
        link(&crate::parts::card_address(&card.environment, &card.name), &card.name),
        text(&card.environment),
        text(&card.server),
        text(&card.who),
        text(&tools),
        code(&card.mode),
        badge(&card.risk),
        badge(&card.status),
    ]
}

/// The calls of the last day, for those who may know.
pub(crate) async fn calls(visit: &Visit, path: &str, heading: &'static str) -> Result<Html, Trouble> {
    let start = Html::new().raw("<h2>").raw(heading).raw("</h2>");
    match visit.read::<Calls>(path, &[]).await {
        Ok(calls) => Ok(start.html(&counted(&calls)).html(&latest(&calls))),
        Err(Trouble::Problem(..)) => Ok(start.raw(
            "<p class=\"nothing\">Who calls is told to auditors, and to the editors and approvers of the thing.</p>",
        )),
        Err(other) => Err(other),
    }
}

fn counted(calls: &Calls) -> Html {
    let columns = &["Who", "Where", "Mode", "Outcome", "Code or status", "Calls", "Last"];
    let rows = calls.by.iter().fold(Table::new(columns), |table, line| {
        table.row(&[
            text(&line.who),
            text(&format!("{}/{}", line.environment, line.server)),
            code(&line.mode),
            badge(&line.outcome),
            code(&line.detail),
            text(&line.calls.to_string()),
            time(&line.last),
        ])
    });
    let more = if calls.more { " Only the newest were counted." } else { "" };
    Html::new()
        .raw("<p>Since ")
        .html(&time(&calls.since))
        .raw(": <strong>")
        .text(&calls.uses.to_string())
        .raw("</strong> uses of a credential, <strong>")
        .text(&calls.refusals.to_string())
        .raw("</strong> refusals.")
        .raw(more)
        .raw("</p>")
        .html(&rows.finish("By who called, mode and outcome; the most frequent first", "Nobody called."))
}

fn latest(calls: &Calls) -> Html {
    if calls.latest.is_empty() {
        return Html::new();
    }
    let columns = &["Time", "Who", "Where", "Tool", "Binding", "Outcome", "Code or status", "Call"];
    let rows = calls.latest.iter().fold(Table::new(columns), |table, one| {
        let story = one.request_id.as_deref().map(|id| link(&format!("/console/audit/{id}"), "its story"));
        table.row(&[
            time(&one.time),
            text(&one.who),
            text(&format!("{}/{}", one.environment, one.server)),
            text(one.tool.as_deref().unwrap_or_default()),
            text(one.binding.as_deref().unwrap_or_default()),
            badge(&one.outcome),
            code(&one.detail),
            story.unwrap_or_default(),
        ])
    });
    rows.finish("The last ones, the newest first", "None.")
}

/// What ends or switches an object: `kind` as in the acts' names. Disabling ends traffic too, so both want the name.
pub(crate) fn acts(
    visit: &Visit,
    whole: &Whole,
    names: (&'static str, &'static str, &'static str),
    warning: &'static str,
) -> Html {
    let (disable, enable, revoke) = names;
    if whole.status == "revoked" {
        return Html::new().raw("<p class=\"notice bad\">It was revoked. Its name stays refused.</p>");
    }
    let here = [("name", whole.name.as_str()), (SEEN, whole.etag.as_str())];
    let mut bar = Html::new().raw("<h2>Acts</h2><p>").raw(warning).raw("</p><div class=\"acts\">");
    match whole.status.as_str() {
        "active" => {
            let confirm = field("confirm", "Type its name to disable it", "", "");
            bar = bar.html(&act(visit, disable, &here, &confirm, ("Disable", Weight::Plain)));
        }
        "disabled" => {
            bar = bar.html(&act(visit, enable, &here, &Html::new(), ("Enable", Weight::Plain)));
        }
        _ => {}
    }
    let confirm = field("confirm_revoke", "Type its name to revoke it for ever", "", "");
    bar.html(&act(visit, revoke, &here, &confirm, ("Revoke", Weight::Final))).raw("</div>")
}
