//! The one script of the console: it keeps the part of a page that is marked live as it is now. Every page says the same
//! without it (docs/adr/0026).

use axum::response::{IntoResponse as _, Response};
use gateway_login::page::Html;
use http::{HeaderValue, header};

/// Where the script is.
pub(crate) const SCRIPT_PATH: &str = "/console/live.js";

/// What the script sends, so that its asking counts as nobody's presence.
pub(crate) const HEADER: &str = "x-live";

const SCRIPT: &str = include_str!("live.js");

/// Scripts and requests of this gateway alone, nothing inline, nothing evaluated.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The part of a page that the script renews. What one fills in stands outside of it.
pub(crate) fn region(content: &Html) -> Html {
    Html::new().raw("<div data-live=\"5\">").html(content).raw("</div>")
}

/// Where the script says what it does, and where one stops it. Hidden where there is no script.
pub(crate) fn bar() -> Html {
    Html::new().raw(
        "<p id=\"live\" class=\"fine\" hidden><span role=\"status\">This page keeps itself up to date.</span> \
         <button type=\"button\" aria-pressed=\"false\">Pause updates</button></p>",
    )
}

pub(crate) async fn script() -> Response {
    let kind = (header::CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind, (header::CACHE_CONTROL, "max-age=3600")], SCRIPT).into_response()
}

/// The headers of every answer of the console.
pub(crate) async fn guard(mut response: Response) -> Response {
    gateway_login::page::guard(&mut response);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
