//! A provider: where users grant something and tokens come from.

use axum::extract::Path;
use axum::response::Response;

use crate::frame::Sheet;
use crate::pages::object;
use crate::parts::{code, link, text};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path((environment, name)): Path<(String, String)>) -> Response {
    let made = provider(&visit, &environment, &name).await;
    visit.answer(made)
}

async fn provider(visit: &Visit, environment: &str, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "provider", Some(environment), name).await?;
    let facts = object::standing(&whole)
        .fact("Issuer", &code(&whole.said("issuer")))
        .fact("Origins", &text(&whole.said("origins")))
        .fact("Endpoints", &text(&whole.said("endpoints")))
        .fact("Client", &text(&whole.said("client")))
        .fact("Tokens of grants are kept in", &code(&whole.said("grants")))
        .finish();
    let content = object::waits(&whole, "Provider")
        .html(&facts)
        .raw("<p>")
        .html(&link(&format!("/console/audit?environment={environment}&provider={name}"), "All its evidence"))
        .raw(" · ")
        .html(&link("/console/grants", "Grants"))
        .raw("</p>")
        .html(&object::history(&whole.history));
    Ok(Sheet::new(format!("Provider {environment}/{name}"), content))
}
