//! The list of bindings.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, badge, card_address, choice, code, field, link, text};
use crate::shapes::{Card, Cards};
use crate::trouble::Trouble;
use crate::visit::Visit;

const FILTERS: [&str; 8] = ["text", "environment", "server", "agent", "policy", "owner", "status", "review"];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let mut query = visit.said(&FILTERS);
    query.push(("cursor", visit.query.text("cursor")));
    let cards: Cards = visit.read("/v1/bindings", &query).await?;
    let columns = &["Binding", "Environment", "Server", "Owner", "Who", "Mode", "Risk", "Status"];
    let rows = cards.items.iter().fold(Table::new(columns), |table, card| table.row(&row(card)));
    let content = filters(visit).html(&rows.finish(
        "Bindings that your roles cover",
        "There is no binding here. Look at the filters; or write a manifest and apply it: mcp-gateway apply.",
    ));
    let further = visit.further("/console/bindings", &FILTERS, cards.next.as_deref());
    Ok(Sheet::new("Bindings", content.html(&further)))
}

fn row(card: &Card) -> [Html; 8] {
    let address = card_address(&card.environment, &card.name);
    let mut status = badge(&card.status);
    if card.pending.is_some() && card.status != "pending" {
        status = status.raw(" ").html(&badge("pending"));
    }
    let stage = card.review.as_ref().and_then(|review| review.stage.as_deref());
    if let Some(late @ ("due" | "overdue")) = stage {
        status = status.raw(" ").html(&badge(if late == "due" { "review due" } else { "review overdue" }));
    }
    let name = link(&address, &card.name);
    [
        name,
        text(&card.environment),
        text(&card.server),
        text(&card.owner),
        text(&card.who),
        code(&card.mode),
        text(&card.risk),
        status,
    ]
}

fn filters(visit: &Visit) -> Html {
    let said = |name: &str| visit.query.text(name).unwrap_or_default();
    let statuses = [
        ("", "any"),
        ("active", "active"),
        ("pending", "pending"),
        ("disabled", "disabled"),
        ("expired", "expired"),
        ("revoked", "revoked"),
    ];
    let reviews = [("", "any"), ("due", "due"), ("overdue", "overdue")];
    Html::new()
        .raw("<form class=\"bar\" role=\"search\" method=\"get\" action=\"/console/bindings\">")
        .html(&field("text", "Search", said("text"), "name, server, owner, who, path"))
        .html(&field("environment", "Environment", said("environment"), ""))
        .html(&field("server", "Server", said("server"), ""))
        .html(&field("agent", "Agent", said("agent"), ""))
        .html(&field("policy", "Policy", said("policy"), ""))
        .html(&field("owner", "Owner", said("owner"), ""))
        .html(&choice("status", "Status", said("status"), &statuses))
        .html(&choice("review", "Review", said("review"), &reviews))
        .raw("<button>Filter</button></form>")
}
