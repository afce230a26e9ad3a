//! Pages: a frame with the same headers for all of them. Works without script, in the dark, and for
//! readers of screens.

use axum::body::Body;
use gateway_core::login::Fault;
use http::{HeaderValue, Response, StatusCode, header};

/// No script at all, nothing from elsewhere, in nobody's frame, and forms only to this gateway.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The style of every page, at [`STYLE_PATH`].
pub(crate) const STYLE: &str = include_str!("page.css");

/// Where the style is.
pub const STYLE_PATH: &str = "/login/style.css";

/// HTML that is made of escaped texts.
#[derive(Clone, Default, Debug)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds markup of ours.
    #[must_use]
    pub fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a text, whatever it holds; fit for content and for quoted attributes.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for one in text.chars() {
            match one {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Controls and marks that turn the direction of writing would let a name pose as another.
                _ if one.is_control()
                    || matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    self.0.push('\u{fffd}');
                }
                _ => self.0.push(one),
            }
        }
        self
    }

    /// Adds other HTML.
    #[must_use]
    pub fn html(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds a hidden field of a form.
    #[must_use]
    pub fn hidden(self, name: &'static str, value: &str) -> Self {
        self.raw("<input type=\"hidden\" name=\"").raw(name).raw("\" value=\"").text(value).raw("\">")
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page with this title and content.
pub fn page(status: StatusCode, title: &str, content: &Html) -> Response<Body> {
    framed(status, title, &Html::new(), content)
}

/// A page that leads on to another site by itself, and by a link where the browser does not. A redirect
/// would be judged by the `form-action` of the page whose form led here; this is a step of its own.
pub fn leading_to(url: &str, whereto: &str) -> Response<Body> {
    let head = Html::new().raw("<meta http-equiv=\"refresh\" content=\"0;url=").text(url).raw("\">");
    let content = Html::new()
        .raw("<p>You are being taken to <strong>")
        .text(whereto)
        .raw("</strong>.</p><p><a class=\"button\" href=\"")
        .text(url)
        .raw("\" rel=\"noreferrer\">Continue</a></p>");
    framed(StatusCode::OK, "One moment", &head, &content)
}

/// The page of a refusal.
pub fn refusal(fault: Fault, more: &Html) -> Response<Body> {
    let row = fault.row();
    let content = Html::new()
        .raw("<p role=\"alert\">This did not work: ")
        .text(row.text)
        .raw(".</p><p>What to do: ")
        .text(row.hint)
        .raw(".</p>")
        .html(more)
        .raw("<p class=\"fine\">Code: <code>")
        .text(row.code)
        .raw("</code></p>");
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_REQUEST);
    page(status, "Not this time", &content)
}

fn framed(status: StatusCode, title: &str, head: &Html, content: &Html) -> Response<Body> {
    let html = Html::new()
        .raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">")
        .html(head)
        .raw("<title>")
        .text(title)
        .raw(" · MCP gateway</title><link rel=\"stylesheet\" href=\"/login/style.css\"></head><body><main><h1>")
        .text(title)
        .raw("</h1>")
        .html(content)
        .raw("</main></body></html>");
    let mut response = Response::new(Body::from(html.0));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A way on to another address of this gateway or, after a recorded consent, to a client.
pub fn redirect(url: &str) -> Response<Body> {
    let Ok(mut place) = HeaderValue::from_str(url) else {
        return refusal(Fault::RequestMalformed, &Html::new());
    };
    // A code may be in it.
    place.set_sensitive(true);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, place);
    response
}

/// The headers of every answer of the pages.
pub fn guard(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}
