//! The first page: what waits for me, what runs, what ends soon, what ails, what was refused of late.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::pages::audit::table;
use crate::pages::object::address;
use crate::pages::stores::refusal;
use crate::parts::{Table, badge, card_address, link, text, time};
use crate::shapes::{Items, Records, Session};
use crate::told::{Calls, Soon, Store, Summary, Waits};
use crate::trouble::Trouble;
use crate::visit::Visit;

/// How many lines of each list; the rest is a link away.
const LINES: usize = 8;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = overview(&visit).await;
    visit.answer(made)
}

async fn overview(visit: &Visit) -> Result<Sheet, Trouble> {
    // Evidence is read on threads of its own: begun first, it is at hand when the rest is.
    let (calls, refusals, summary, waiting, sessions, stores, soon) = futures::try_join!(
        calls(visit),
        refusals(visit),
        visit.read::<Summary>("/v1/summary", &[]),
        visit.every::<Waits>("/v1/waiting", &[]),
        visit.read::<Items<Session>>("/v1/sessions", &[]),
        visit.every::<Store>("/v1/stores", &[]),
        visit.every::<Soon>("/v1/expiring", &[]),
    )?;
    let mine = waiting.items.iter().filter(|one| one.yours).count();
    let late = soon.items.iter().filter(|one| one.due == "review" && one.overdue).count();
    let streams = sessions.items.iter().filter(|session| session.kind == "stream").count();
    let figures = Html::new()
        .raw("<ul class=\"figures\">")
        .html(&figure("/console/approvals", mine, "wait for me"))
        .html(&figure("/console/approvals", waiting.items.len(), "wait for signatures"))
        .html(&figure("/console/bindings?status=active", summary.bindings.active, "active bindings"))
        .html(&figure("/console/bindings?status=disabled", summary.bindings.disabled, "disabled bindings"))
        .html(&figure("/console/bindings?review=overdue", late, "reviews overdue"))
        .html(&calls)
        .html(&figure("/console/sessions", sessions.items.len(), "sessions and streams"))
        .html(&figure("/console/sessions", streams, "streams open"))
        .raw("</ul>");
    let content = readiness(visit)
        .await
        .html(&ill(&stores.items))
        .html(&figures)
        .html(&waits(&waiting.items))
        .html(&ending(&soon.items))
        .html(&refusals);
    Ok(Sheet::living("Overview", content))
}

fn figure(address: &'static str, count: impl ToString, words: &'static str) -> Html {
    let start = Html::new().raw("<li><a href=\"").raw(address).raw("\"><strong>").text(&count.to_string());
    start.raw("</strong> ").raw(words).raw("</a></li>")
}

/// Calls and refusals of the last hour, for those who may read the evidence.
async fn calls(visit: &Visit) -> Result<Html, Trouble> {
    match visit.read::<Calls>("/v1/calls", &[("minutes", Some("60"))]).await {
        Ok(calls) => {
            let more = if calls.more { "+" } else { "" };
            let uses = figure(
                "/console/audit?kind=outcome",
                format!("{}{more}", calls.uses),
                "calls in the last hour",
            );
            let refused = figure(
                "/console/audit?kind=refused",
                format!("{}{more}", calls.refusals),
                "refusals in the last hour",
            );
            Ok(uses.html(&refused))
        }
        // A viewer has no eyes for the evidence, and needs none here.
        Err(Trouble::Problem(..)) => Ok(Html::new()),
        Err(other) => Err(other),
    }
}

async fn readiness(visit: &Visit) -> Html {
    let waiting = visit.console.api.waiting_for().await;
    if waiting.is_empty() {
        return Html::new().raw("<p class=\"notice good\">The gateway is ready.</p>");
    }
    let start = Html::new().raw("<div class=\"notice bad\" role=\"alert\"><p>The gateway waits for:</p><ul>");
    let list = waiting.iter().fold(start, |html, one| html.raw("<li>").text(one).raw("</li>"));
    list.raw("</ul></div>")
}

/// The stores that somebody should look at.
fn ill(stores: &[Store]) -> Html {
    let ill: Vec<&Store> = stores.iter().filter(|store| store.health.is_ill()).collect();
    if ill.is_empty() {
        return Html::new();
    }
    let start =
        Html::new().raw("<div class=\"notice bad\" role=\"alert\"><p>Stores that do not answer:</p><ul>");
    let list = ill.into_iter().fold(start, |html, store| {
        html.raw("<li>").text(&store.name).raw(": ").html(&refusal(&store.health)).raw("</li>")
    });
    list.raw("</ul><p>").html(&link("/console/stores", "Stores")).raw("</p></div>")
}

fn waits(waiting: &[Waits]) -> Html {
    let mine: Vec<&Waits> = waiting.iter().filter(|one| one.yours).collect();
    let columns = &["What", "Where", "Revision", "Written by", "Written"];
    let rows = mine.iter().take(LINES).fold(Table::new(columns), |table, one| {
        let environment = one.environment.as_deref();
        let page = match (one.kind.as_str(), environment) {
            ("Binding", environment) => card_address(environment.unwrap_or_default(), &one.name),
            (kind, environment) => {
                let kind = kind.to_ascii_lowercase();
                format!("/console/approvals/{kind}/{}/{}", environment.unwrap_or("-"), one.name)
            }
        };
        table.row(&[
            link(&page, &format!("{} {}", one.kind, one.name)),
            text(environment.unwrap_or_default()),
            text(&one.revision.to_string()),
            text(&one.author),
            time(&one.created_at),
        ])
    });
    let start = Html::new().raw("<h2>Waits for me</h2>");
    let html = start.html(&rows.finish("What you can sign now", "Nothing waits for your signature."));
    if mine.len() <= LINES {
        return html;
    }
    html.raw("<p>").html(&link("/console/approvals", "Everything that waits")).raw("</p>")
}

fn ending(soon: &[Soon]) -> Html {
    let columns = &["When", "What", "Which"];
    let rows = soon.iter().take(LINES).fold(Table::new(columns), |table, one| {
        let what = match one.due.as_str() {
            "ends" => "a binding ends",
            "review" => "review a binding",
            "rotation" => "rotate a secret",
            _ => "an agent's token ends",
        };
        let page = match &one.environment {
            Some(environment) => card_address(environment, &one.name),
            None => address("Agent", None, &one.name),
        };
        let when = if one.at.contains('T') { time(&one.at) } else { text(&one.at) };
        let late = if one.overdue { badge("overdue") } else { Html::new() };
        table.row(&[when.raw(" ").html(&late), text(what), link(&page, &one.name)])
    });
    let start = Html::new().raw("<h2>Due within 14 days</h2>");
    let html =
        start.html(&rows.finish("The earliest first", "Nothing ends and nothing is due within 14 days."));
    let rest = soon.len().saturating_sub(LINES);
    if rest == 0 {
        return html;
    }
    html.raw("<p class=\"fine\">And ").text(&rest.to_string()).raw(" more: <code>mcp-gateway due</code>.</p>")
}

/// The newest refusals, for those who may read the evidence.
async fn refusals(visit: &Visit) -> Result<Html, Trouble> {
    let query = [("kind", Some("refused")), ("limit", Some("8"))];
    match visit.read::<Records>("/v1/audit", &query).await {
        Ok(found) => Ok(Html::new()
            .raw("<h2>Refused last</h2>")
            .html(&table(&found.records, "The newest refusals", "Nothing was refused."))
            .raw("<p>")
            .html(&link("/console/audit?kind=refused", "All refusals"))
            .raw("</p>")),
        // As above.
        Err(Trouble::Problem(..)) => Ok(Html::new()),
        Err(other) => Err(other),
    }
}
