//! Servers, agents and policies.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, badge, code, link, text, words};
use crate::shapes::{Items, Object};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn servers(visit: Visit) -> Response {
    let made = list(&visit, "/v1/servers").await.map(|items| {
        let columns = &["Server", "Environment", "Owner", "Route", "Tools", "Status", "Bindings"];
        let rows = items.iter().fold(Table::new(columns), |table, one| {
            let environment = one.environment.as_deref().unwrap_or_default();
            let bindings = format!("/console/bindings?environment={environment}&server={}", one.name);
            table.row(&[
                text(&one.name),
                text(environment),
                text(&said(one, "owner")),
                code(&said(one, "route")),
                text(&said(one, "tools")),
                standing(one),
                link(&bindings, "who reaches it"),
            ])
        });
        Sheet::new("Servers", rows.finish("Servers that your roles cover", "There is no server yet."))
    });
    visit.answer(made)
}

pub(crate) async fn agents(visit: Visit) -> Response {
    let made = list(&visit, "/v1/agents").await.map(|items| {
        let columns =
            &["Agent", "Environments", "Owner", "Purpose", "Highest risk", "Proven by", "Status", "Bindings"];
        let rows = items.iter().fold(Table::new(columns), |table, one| {
            table.row(&[
                text(&one.name),
                text(&said(one, "environments")),
                text(&said(one, "owner")),
                text(&said(one, "purpose")),
                badge(&said(one, "risk_ceiling")),
                text(&said(one, "proofs")),
                standing(one),
                link(&format!("/console/bindings?agent={}", one.name), "what it reaches"),
            ])
        });
        Sheet::new("Agents", rows.finish("Agents that your roles cover", "There is no agent yet."))
    });
    visit.answer(made)
}

pub(crate) async fn policies(visit: Visit) -> Response {
    let made = list(&visit, "/v1/policies").await.map(|items| {
        let content = items.iter().fold(Html::new(), |html, one| html.html(&policy(one)));
        if items.is_empty() {
            let nothing =
                Html::new().raw("<p class=\"nothing\">There is no policy yet: nothing is permitted.</p>");
            return Sheet::new("Policies", nothing);
        }
        Sheet::new("Policies", content)
    });
    visit.answer(made)
}

fn policy(one: &Object) -> Html {
    let environment = one.environment.as_deref().unwrap_or_default();
    let source = said(one, "cedar");
    // Line by line: within a text a line break would be a control character.
    let lines = source.lines().fold(Html::new(), |html, line| html.text(line).raw("\n"));
    Html::new()
        .raw("<section><h2>")
        .text(environment)
        .raw("/")
        .text(&one.name)
        .raw("</h2><p>")
        .html(&standing(one))
        .raw(" by ")
        .text(&one.author)
        .raw(". ")
        .html(&link(
            &format!("/console/bindings?environment={environment}&policy={}", one.name),
            "Bindings under it",
        ))
        .raw("</p><pre tabindex=\"0\"><code>")
        .html(&lines)
        .raw("</code></pre></section>")
}

async fn list(visit: &Visit, path: &str) -> Result<Vec<Object>, Trouble> {
    let list: Items<Object> = visit.read(path, &[("environment", visit.query.text("environment"))]).await?;
    Ok(list.items)
}

fn said(one: &Object, field: &str) -> String {
    one.spec.get(field).map(words).unwrap_or_default()
}

fn standing(one: &Object) -> Html {
    let status = badge(&one.status).raw(" revision ").text(&one.revision.to_string());
    if one.pending.is_some() && one.status != "pending" {
        status.raw(" ").html(&badge("pending"))
    } else {
        status
    }
}
