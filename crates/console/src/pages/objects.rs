//! Lists of servers, agents, workloads, providers and policies.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::pages::object::address;
use crate::parts::{Table, badge, choice, code, field, link, text, words};
use crate::shapes::{Items, Object};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn servers(visit: Visit) -> Response {
    let made = list(&visit, "/v1/servers").await.map(|found| {
        let columns = &["Server", "Environment", "Owner", "Route", "Tools", "Status", "Bindings"];
        let rows = found.items.iter().fold(Table::new(columns), |table, one| {
            let environment = one.environment.as_deref().unwrap_or_default();
            let bindings = format!("/console/bindings?environment={environment}&server={}", one.name);
            table.row(&[
                name("Server", one),
                text(environment),
                text(&said(one, "owner")),
                code(&said(one, "route")),
                text(&said(one, "tools")),
                standing(one),
                link(&bindings, "who reaches it"),
            ])
        });
        sheet(&visit, ("Servers", "/console/servers"), rows, &found, "There is no server here.")
    });
    visit.answer(made)
}

pub(crate) async fn agents(visit: Visit) -> Response {
    let made = list(&visit, "/v1/agents").await.map(|found| {
        let columns =
            &["Agent", "Environments", "Owner", "Purpose", "Highest risk", "Proven by", "Status", "Bindings"];
        let rows = found.items.iter().fold(Table::new(columns), |table, one| {
            table.row(&[
                name("Agent", one),
                text(&said(one, "environments")),
                text(&said(one, "owner")),
                text(&said(one, "purpose")),
                badge(&said(one, "risk_ceiling")),
                text(&said(one, "proofs")),
                standing(one),
                link(&format!("/console/bindings?agent={}", one.name), "what it reaches"),
            ])
        });
        sheet(&visit, ("Agents", "/console/agents"), rows, &found, "There is no agent here.")
    });
    visit.answer(made)
}

pub(crate) async fn workloads(visit: Visit) -> Response {
    let made = list(&visit, "/v1/workloads").await.map(|found| {
        let columns = &["Workload", "Environments", "Owner", "Purpose", "Proven by", "Status"];
        let rows = found.items.iter().fold(Table::new(columns), |table, one| {
            table.row(&[
                name("Workload", one),
                text(&said(one, "environments")),
                text(&said(one, "owner")),
                text(&said(one, "purpose")),
                text(&said(one, "identities")),
                standing(one),
            ])
        });
        let nothing = "No workload is declared: no runtime's own token proves anything here.";
        sheet(&visit, ("Workloads", "/console/workloads"), rows, &found, nothing)
    });
    visit.answer(made)
}

pub(crate) async fn providers(visit: Visit) -> Response {
    let made = list(&visit, "/v1/providers").await.map(|found| {
        let columns = &["Provider", "Environment", "Owner", "Issuer", "Client", "Status"];
        let rows = found.items.iter().fold(Table::new(columns), |table, one| {
            table.row(&[
                name("Provider", one),
                text(one.environment.as_deref().unwrap_or_default()),
                text(&said(one, "owner")),
                code(&said(one, "issuer")),
                text(&said(one, "client")),
                standing(one),
            ])
        });
        let nothing = "No provider is declared: nobody can grant anything here.";
        sheet(&visit, ("Providers", "/console/providers"), rows, &found, nothing)
    });
    visit.answer(made)
}

pub(crate) async fn policies(visit: Visit) -> Response {
    let made = list(&visit, "/v1/policies").await.map(|found| {
        let columns = &["Policy", "Environment", "Owner", "Written by", "Lines", "Status", "Bindings"];
        let rows = found.items.iter().fold(Table::new(columns), |table, one| {
            let environment = one.environment.as_deref().unwrap_or_default();
            let bindings = format!("/console/bindings?environment={environment}&policy={}", one.name);
            table.row(&[
                name("Policy", one),
                text(environment),
                text(&said(one, "owner")),
                text(&one.author),
                text(&said(one, "cedar").lines().count().to_string()),
                standing(one),
                link(&bindings, "bindings under it"),
            ])
        });
        let nothing = "There is no policy here: nothing is permitted.";
        sheet(&visit, ("Policies", "/console/policies"), rows, &found, nothing)
    });
    visit.answer(made)
}

const FILTERS: [&str; 4] = ["text", "environment", "owner", "status"];
const PAGE: &str = "100";

fn sheet(
    visit: &Visit,
    page: (&'static str, &'static str),
    rows: Table,
    found: &Items<Object>,
    nothing: &'static str,
) -> Sheet {
    let (title, place) = page;
    let said = |name: &str| visit.query.text(name).unwrap_or_default();
    let statuses = [("", "any"), ("active", "active"), ("pending", "pending"), ("disabled", "disabled")];
    let filters = Html::new()
        .raw("<form class=\"bar\" role=\"search\" method=\"get\" action=\"")
        .raw(place)
        .raw("\">")
        .html(&field("text", "Search", said("text"), "name, environment, owner"))
        .html(&field("environment", "Environment", said("environment"), ""))
        .html(&field("owner", "Owner", said("owner"), ""))
        .html(&choice("status", "Status", said("status"), &statuses))
        .raw("<button>Filter</button></form>");
    let further = visit.further(place, &FILTERS, found.next.as_deref());
    Sheet::new(title, filters.html(&rows.finish("What your roles cover", nothing)).html(&further))
}

async fn list(visit: &Visit, path: &str) -> Result<Items<Object>, Trouble> {
    let mut query = visit.said(&FILTERS);
    query.extend([("cursor", visit.query.text("cursor")), ("limit", Some(PAGE))]);
    visit.read(path, &query).await
}

fn name(kind: &str, one: &Object) -> Html {
    link(&address(kind, one.environment.as_deref(), &one.name), &one.name)
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
