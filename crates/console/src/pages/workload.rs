//! A workload: what a runtime's own token proves here, and its end.

use axum::extract::Path;
use axum::response::Response;

use crate::frame::Sheet;
use crate::pages::object;
use crate::parts::{link, text};
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path(name): Path<String>) -> Response {
    let made = workload(&visit, &name).await;
    visit.answer(made)
}

async fn workload(visit: &Visit, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "workload", None, name).await?;
    let facts = object::standing(&whole)
        .fact("Environments", &text(&whole.said("environments")))
        .fact("Purpose", &text(&whole.said("purpose")))
        .fact("Proven by", &text(&whole.said("identities")))
        .finish();
    let evidence = format!("/console/audit?workload={name}");
    let content = object::waits(&whole, "Workload")
        .html(&facts)
        .raw("<p>")
        .html(&link(&evidence, "All its evidence"))
        .raw("</p>")
        .html(&object::acts(
            visit,
            &whole,
            ("disable-workload", "enable-workload", "revoke-workload"),
            "From then on nothing is this workload, and what runs for it is decided anew.",
        ))
        .html(&object::history(&whole.history));
    Ok(Sheet::new(format!("Workload {name}"), content))
}
