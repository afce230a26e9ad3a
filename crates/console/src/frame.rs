//! The frame of every page: navigation, who one is, and the headers. Works without script, from a keyboard, in the
//! dark and on a narrow screen.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use gateway_login::page::{Html, page};
use gateway_login::{Signed, sign_out_form};
use http::{HeaderValue, StatusCode, header};

use crate::live;
use crate::router::Console;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// Where the style is.
pub(crate) const STYLE_PATH: &str = "/console/style.css";
const STYLE: &str = include_str!("console.css");

/// The pages of the navigation.
const PLACES: [(&str, &str); 16] = [
    ("/console", "Overview"),
    ("/console/bindings", "Bindings"),
    ("/console/approvals", "Approvals"),
    ("/console/access", "Access"),
    ("/console/environments", "Environments"),
    ("/console/servers", "Servers"),
    ("/console/agents", "Agents"),
    ("/console/workloads", "Workloads"),
    ("/console/providers", "Providers"),
    ("/console/policies", "Policies"),
    ("/console/grants", "Grants"),
    ("/console/sessions", "Sessions"),
    ("/console/locks", "Locks"),
    ("/console/revocations", "Revocations"),
    ("/console/stores", "Stores"),
    ("/console/audit", "Audit"),
];

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// The heading and the window's title.
    pub(crate) title: String,
    /// The content.
    pub(crate) content: Html,
    /// What stands below it and never changes by itself: what one fills in.
    pub(crate) still: Html,
    /// Whether the script keeps the content up to date.
    pub(crate) live: bool,
    /// Whether a browser without script loads it again by itself every few seconds.
    pub(crate) reloads: bool,
}

impl Sheet {
    pub(crate) fn new(title: impl Into<String>, content: Html) -> Self {
        Self { title: title.into(), content, still: Html::new(), live: false, reloads: false }
    }

    /// A page that is kept up to date.
    pub(crate) fn living(title: impl Into<String>, content: Html) -> Self {
        Self { live: true, ..Self::new(title, content) }
    }

    /// Adds what stands below.
    pub(crate) fn with(mut self, still: Html) -> Self {
        self.still = still;
        self
    }
}

impl Visit {
    /// The answer to the browser.
    pub(crate) fn answer(&self, made: Result<Sheet, Trouble>) -> Response {
        match made {
            Ok(sheet) => self.framed(StatusCode::OK, &sheet),
            Err(trouble) => self.failed(&trouble, &Html::new()),
        }
    }

    /// The answer where something went wrong, with what one can go on with.
    pub(crate) fn failed(&self, trouble: &Trouble, more: &Html) -> Response {
        let sheet = Sheet::new(trouble.title(), trouble.content().html(more));
        self.framed(trouble.status(), &sheet)
    }

    fn framed(&self, status: StatusCode, sheet: &Sheet) -> Response {
        let html = head(sheet)
            .html(&self.navigation())
            .raw("<main id=\"content\"><h1>")
            .text(&sheet.title)
            .raw("</h1>")
            .html(&body(sheet))
            .raw("</main></body></html>");
        let mut response = Response::new(Body::from(html.as_str().to_owned()));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn navigation(&self) -> Html {
        let mut bar = Html::new()
            .raw("<a class=\"skip\" href=\"#content\">Skip to the content</a><header><strong>MCP gateway</strong>")
            .raw("<nav aria-label=\"Pages\"><ul>");
        for (place, name) in PLACES {
            bar = bar.raw("<li><a href=\"").raw(place).raw("\"");
            if self.stands_at(place) {
                bar = bar.raw(" aria-current=\"page\"");
            }
            bar = bar.raw(">").raw(name).raw("</a></li>");
        }
        bar.raw("</ul></nav><div class=\"who\"><span>")
            .text(&self.signed.person.user.subject)
            .raw("</span>")
            .html(&sign_out_form(&self.console.login, &self.signed.cookie))
            .raw("</div></header>")
    }

    fn stands_at(&self, place: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || (rest.starts_with('/') && place != "/console");
        self.path.strip_prefix(place).is_some_and(below)
    }
}

fn body(sheet: &Sheet) -> Html {
    if !sheet.live {
        return sheet.content.clone().html(&sheet.still);
    }
    live::bar().html(&live::region(&sheet.content)).html(&sheet.still)
}

fn head(sheet: &Sheet) -> Html {
    let mut head = Html::new()
        .raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\">");
    if sheet.reloads {
        head = head.raw("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>");
    }
    head.raw("<title>")
        .text(&sheet.title)
        .raw(" · MCP gateway console</title><link rel=\"stylesheet\" href=\"")
        .raw(STYLE_PATH)
        .raw("\"><script src=\"")
        .raw(live::SCRIPT_PATH)
        .raw("\" defer></script></head><body>")
}

/// The page of somebody who is known and may do nothing here.
pub(crate) fn no_role(console: &Console, signed: &Signed) -> Response {
    let content = Html::new()
        .raw("<p role=\"alert\">You are logged in as <strong>")
        .text(&signed.person.user.to_string())
        .raw("</strong>, and no role of this gateway is given to you.</p>")
        .raw("<p>What to do: ask whoever runs the gateway for a role (<code>operators.issuers</code>).</p>")
        .html(&sign_out_form(&console.login, &signed.cookie));
    page(StatusCode::FORBIDDEN, "No role", &content).into_response()
}

pub(crate) async fn style() -> Response {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    ([kind, (header::CACHE_CONTROL, "max-age=3600")], STYLE).into_response()
}
