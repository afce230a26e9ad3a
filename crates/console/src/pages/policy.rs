//! A policy: its text, its versions line by line, and the bindings under it.

use axum::extract::Path;
use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::lines;
use crate::pages::object;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path((environment, name)): Path<(String, String)>) -> Response {
    let made = policy(&visit, &environment, &name).await;
    visit.answer(made)
}

async fn policy(visit: &Visit, environment: &str, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "policy", Some(environment), name).await?;
    let query = [("environment", Some(environment)), ("policy", Some(name))];
    let content = object::waits(&whole, "Policy")
        .html(&object::standing(&whole).finish())
        .html(&Html::new().raw("<h2>Text</h2>").html(&lines::block(&whole.said("cedar"))))
        .html(&object::bindings(visit, &query, "Bindings under it").await?)
        .html(&object::history(&whole.history));
    Ok(Sheet::new(format!("Policy {environment}/{name}"), content))
}
