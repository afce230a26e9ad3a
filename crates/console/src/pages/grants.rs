//! Users' grants.

use axum::response::Response;

use crate::frame::Sheet;
use crate::parts::{Table, Weight, act, badge, text, time};
use crate::shapes::{Grant, Items};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit) -> Response {
    let made = list(&visit).await;
    visit.answer(made)
}

async fn list(visit: &Visit) -> Result<Sheet, Trouble> {
    let grants: Items<Grant> = visit.read("/v1/grants", &[("ended", Some("true"))]).await?;
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
    Ok(Sheet::new("Grants", rows.finish(caption, "No user has granted anything.")))
}
