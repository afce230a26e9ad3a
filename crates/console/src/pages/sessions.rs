//! What runs now, and its end.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, code, link, text, time, words};
use crate::shapes::{Items, Session};
use crate::trouble::Trouble;
use crate::visit::Visit;

const FILTERS: [&str; 4] = ["environment", "server", "actor", "binding"];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let reloads = visit.query.text("live").is_some();
    let mut query = visit.said(&FILTERS);
    query.extend([("cursor", visit.query.text("cursor")), ("limit", Some("100"))]);
    let sessions: Items<Session> = visit.read("/v1/sessions", &query).await?;
    let columns = &["Kind", "Server", "Who", "Under", "Answers", "Since", "End it"];
    let rows = sessions.items.iter().fold(Table::new(columns), |table, one| {
        let answers = one.tool.as_deref().or(one.method.as_deref()).unwrap_or_default();
        table.row(&[
            badge(&one.kind),
            text(&format!("{}/{}", one.environment, one.server)),
            text(&words(&one.actor)),
            text(&one.bindings.join(", ")),
            code(answers),
            time(&one.opened_at),
            act(visit, "end-session", &[("id", &one.id)], &text(""), ("End", Weight::Final)),
        ])
    });
    let switch = if reloads {
        link("/console/sessions", "Stop loading it again")
    } else {
        link("/console/sessions?live=1", "Load it again every 5 seconds")
    };
    let content = Html::new().raw("<noscript><p>").html(&switch).raw("</p></noscript>").html(&rows.finish(
        "Sessions, streams and processes of this replica, the oldest first",
        "Nothing is open on this replica.",
    ));
    let content = content.html(&visit.further("/console/sessions", &FILTERS, sessions.next.as_deref()));
    Ok(Sheet { reloads, ..Sheet::living("Sessions and streams", content) })
}
