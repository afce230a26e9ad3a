//! The first page: what waits, what runs, what was refused of late.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::pages::approvals::waiting_objects;
use crate::pages::audit::table;
use crate::parts::link;
use crate::shapes::{Cards, Items, Records, Session};
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The most that a figure counts; above it says "500 and more".
const MOST: usize = 500;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = overview(&visit).await;
    visit.answer(made)
}

async fn overview(visit: &Visit) -> Result<Sheet, Trouble> {
    let active = count(visit, "status", "active").await?;
    let pending = count(visit, "status", "pending").await?;
    let disabled = count(visit, "status", "disabled").await?;
    let due = count(visit, "review", "due").await?;
    let overdue = count(visit, "review", "overdue").await?;
    let objects = waiting_objects(visit).await?.len();
    let sessions: Items<Session> = visit.read("/v1/sessions", &[]).await?;
    let streams = sessions.items.iter().filter(|session| session.kind == "stream").count();
    let waits = pending.saturating_add(objects);
    let figures = Html::new()
        .raw("<ul class=\"figures\">")
        .html(&figure("/console/bindings?status=active", active, "active bindings"))
        .html(&figure("/console/approvals", waits, "wait for signatures"))
        .html(&figure("/console/bindings?status=disabled", disabled, "disabled bindings"))
        .html(&figure("/console/bindings?review=due", due, "reviews due"))
        .html(&figure("/console/bindings?review=overdue", overdue, "reviews overdue"))
        .html(&figure("/console/sessions", sessions.items.len(), "sessions and streams"))
        .html(&figure("/console/sessions", streams, "streams open"))
        .raw("</ul>");
    let content = readiness(visit).await.html(&figures).html(&refusals(visit).await?);
    Ok(Sheet::new("Overview", content))
}

async fn count(visit: &Visit, field: &str, word: &str) -> Result<usize, Trouble> {
    let query = [(field, Some(word)), ("limit", Some("500"))];
    let cards: Cards = visit.read("/v1/bindings", &query).await?;
    Ok(cards.items.len())
}

fn figure(address: &'static str, count: usize, words: &'static str) -> Html {
    let mut shown = count.to_string();
    if count >= MOST {
        shown.push('+');
    }
    let start = Html::new().raw("<li><a href=\"").raw(address).raw("\"><strong>").text(&shown);
    start.raw("</strong> ").raw(words).raw("</a></li>")
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

/// The newest refusals, for those who may read the evidence.
async fn refusals(visit: &Visit) -> Result<Html, Trouble> {
    let query = [("kind", Some("refused")), ("limit", Some("10"))];
    match visit.read::<Records>("/v1/audit", &query).await {
        Ok(found) => Ok(Html::new()
            .raw("<h2>Refused last</h2>")
            .html(&table(&found.records, "The newest refusals", "Nothing was refused."))
            .raw("<p>")
            .html(&link("/console/audit?kind=refused", "All refusals"))
            .raw("</p>")),
        // A viewer has no eyes for the evidence, and needs none here.
        Err(Trouble::Problem(..)) => Ok(Html::new()),
        Err(other) => Err(other),
    }
}
