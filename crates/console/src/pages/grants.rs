//! Users' grants.

use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, field, text, time};
use crate::shapes::{Grant, Items};
use crate::trouble::Trouble;
use crate::visit::Visit;

const FILTERS: [&str; 3] = ["environment", "provider", "user"];

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let mut query = visit.said(&FILTERS);
    query.extend([("ended", Some("true")), ("cursor", visit.query.text("cursor")), ("limit", Some("100"))]);
    let grants: Items<Grant> = visit.read("/v1/grants", &query).await?;
    let columns = &["User", "Provider", "Environment", "Account", "Scopes", "Granted", "Status", "End it"];
    let rows = grants.items.iter().fold(Table::new(columns), |table, grant| {
        let (status, end) = match &grant.end_reason {
            Some(reason) => (badge(reason), text("")),
            None => (
                badge("active"),
                act(visit, "end-grant", &[("id", &grant.id)], &text(""), ("Revoke", Weight::Final)),
            ),
        };
        table.row(&[
            text(&grant.user),
            text(&grant.provider),
            text(&grant.environment),
            text(grant.account.as_deref().unwrap_or_default()),
            text(&grant.scopes.join(" ")),
            time(&grant.created_at),
            status,
            end,
        ])
    });
    let caption = "What users granted at providers, and what ended within 30 days";
    let said = |name: &str| visit.query.text(name).unwrap_or_default();
    let content = Html::new()
        .raw("<form class=\"bar\" role=\"search\" method=\"get\" action=\"/console/grants\">")
        .html(&field("environment", "Environment", said("environment"), ""))
        .html(&field("provider", "Provider", said("provider"), ""))
        .html(&field("user", "User", said("user"), "issuer|subject"))
        .raw("<button>Filter</button></form>")
        .html(&rows.finish(caption, "No user has granted anything."))
        .html(&visit.further("/console/grants", &FILTERS, grants.next.as_deref()));
    Ok(Sheet::new("Grants", content))
}
