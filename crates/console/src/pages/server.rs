//! A server as its owner sees it: calls at the door, bindings on it, receipts, and its end.

use axum::extract::Path;
use axum::response::Response;
use gateway_login::page::Html;

use crate::frame::Sheet;
use crate::pages::object;
use crate::parts::{Weight, act, code, field, link, text};
use crate::told::Whole;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn page(visit: Visit, Path((environment, name)): Path<(String, String)>) -> Response {
    let made = server(&visit, &environment, &name).await;
    visit.answer(made)
}

async fn server(visit: &Visit, environment: &str, name: &str) -> Result<Sheet, Trouble> {
    let whole = object::read(visit, "server", Some(environment), name).await?;
    let tools = object::standing(&whole)
        .fact("Route", &code(&whole.said("route")))
        .fact("Tools and their risk", &text(&whole.said("tools")))
        .fact("Credential", &text(&whole.said("credential")))
        .fact("Probe", &text(&whole.said("probe")))
        .finish();
    let calls = format!("/v1/servers/{environment}/{name}/calls");
    let query = [("environment", Some(environment)), ("server", Some(name))];
    let content = object::waits(&whole, "Server")
        .html(&tools)
        .html(&object::calls(visit, &calls, "Calls at the door, last 24 hours").await?)
        .html(&object::bindings(visit, &query, "Bindings on it").await?)
        .raw("<p>")
        .html(&link(&format!("/console/audit?environment={environment}&server={name}"), "All its evidence"))
        .raw(" · ")
        .html(&link(
            &format!("/console/sessions?environment={environment}&server={name}"),
            "Sessions and streams",
        ))
        .raw("</p>")
        .html(&receipts());
    let still = end(visit, &whole).html(&object::history(&whole.history));
    Ok(Sheet::living(format!("Server {environment}/{name}"), content).with(still))
}

/// How the server can check by itself what the gateway tells it.
fn receipts() -> Html {
    Html::new().raw(
        "<h2>Receipts</h2><p>Every forwarded call carries a signed receipt (<code>Mcp-Gateway-Receipt</code>): who called, \
         which binding, mode and policy version decided. The server verifies it with the keys at \
         <code>{public_url}/.well-known/jwks/receipt.json</code>; <code>mcp-gateway receipt verify</code> does the same by \
         hand. The guide is <code>docs/receipts.md</code>.</p>",
    )
}

fn end(visit: &Visit, whole: &Whole) -> Html {
    if whole.status == "revoked" {
        return Html::new().raw("<p class=\"notice bad\">It was revoked. Its name stays refused.</p>");
    }
    let environment = whole.environment.as_deref().unwrap_or_default();
    let hidden = [("environment", environment), ("name", whole.name.as_str())];
    let confirm = field("confirm", "Type the server's name to revoke it for ever", "", "");
    Html::new()
        .raw("<h2>Acts</h2><p>A revocation ends every binding on it, and all that runs, was issued or granted for it.</p>")
        .raw("<div class=\"acts\">")
        .html(&act(visit, "revoke-server", &hidden, &confirm, ("Revoke", Weight::Final)))
        .raw("</div>")
}
