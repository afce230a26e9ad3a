//! An agent: what it may reach, what it called of late, its tokens, and its end.

use axum::extract::Path;
use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::pages::object;
use crate::parts::{Table, badge, code, link, text, time, words};
use crate::shapes::Items;
use crate::told::AgentToken;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Response {
    let made = agent(&visit, &name).await;
    visit.answer(made)
}

async fn agent(visit: &Visit, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "agent", None, name).await?;
    let facts = object::standing(&whole)
        .fact("Environments", &text(&whole.said("environments")))
        .fact("Purpose", &text(&whole.said("purpose")))
        .fact("Highest risk", &badge(&whole.said("risk_ceiling")))
        .fact("Proven by", &text(&whole.said("proofs")))
        .fact("Limits", &text(&whole.said("limits")))
        .fact("Comes through", &text(&whole.said("surfaces")))
        .finish();
    let query = [("agent", Some(name))];
    let content = object::waits(&whole, "Agent")
        .html(&facts)
        .html(&object::bindings(visit, &query, "What it may reach").await?)
        .html(&object::calls(visit, &format!("/v1/agents/{name}/calls"), "Its calls, last 24 hours").await?)
        .raw("<p>")
        .html(&link(&format!("/console/audit?agent={name}"), "All its evidence"))
        .raw("</p>")
        .html(&tokens(visit, name).await?);
    let acts = object::acts(
        visit,
        &whole,
        ("disable-agent", "enable-agent", "revoke-agent"),
        "Its tokens, calls, streams, sessions and processes end with it. Tokens do not come back when it is enabled.",
    );
    Ok(Sheet::living(format!("Agent {name}"), content).with(acts.html(&object::history(&whole.history))))
}

async fn tokens(visit: &Visit, name: &str) -> Result<Html, Trouble> {
    let tokens: Items<AgentToken> = visit.read(&format!("/v1/agents/{name}/tokens"), &[]).await?;
    let columns = &["Token", "Opens", "Issued by", "Issued", "Ends", "Revoked"];
    let rows = tokens.items.iter().rev().fold(Table::new(columns), |table, one| {
        table.row(&[
            code(&one.id),
            text(&words(&one.entries)),
            text(&one.issued_by),
            time(&one.created_at),
            time(&one.expires_at),
            time(one.revoked_at.as_deref().unwrap_or_default()),
        ])
    });
    let start = Html::new().raw("<h2>Tokens</h2>");
    Ok(start.html(&rows.finish("Tokens that the gateway issued, never the token itself", "None was issued.")))
}
