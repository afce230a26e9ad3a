//! What goes wrong behind a page, and how it is told.

use bytes::Bytes;
use gateway_login::page::Html;
use http::{Response, StatusCode};
use serde::Deserialize;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The API's own words (RFC 9457).
    Problem(StatusCode, Box<Problem>),
    /// There is no such thing, or not for this operator: both look the same.
    NotThere,
    /// An answer that this console cannot read.
    Senseless,
}

/// The API's envelope for everything that goes wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    code: String,
    detail: String,
    hint: String,
    fixer: String,
    findings: Vec<Finding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Finding {
    code: String,
    message: String,
    hint: String,
}

impl Trouble {
    /// Reads the answer of a request that failed.
    pub(crate) fn of(answer: &Response<Bytes>) -> Self {
        match serde_json::from_slice::<Problem>(answer.body()) {
            Ok(problem) if problem.code == "object.unknown" => Self::NotThere,
            Ok(problem) if !problem.code.is_empty() => Self::Problem(answer.status(), Box::new(problem)),
            _ => Self::Senseless,
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Problem(status, _) => *status,
            Self::NotThere => StatusCode::NOT_FOUND,
            Self::Senseless => StatusCode::BAD_GATEWAY,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Problem(_, problem) if problem.has_moved_on() => "It has changed meanwhile",
            Self::Problem(..) => "Refused",
            Self::NotThere => "Nothing here",
            Self::Senseless => "Something is wrong",
        }
    }

    pub(crate) fn content(&self) -> Html {
        match self {
            Self::Problem(_, problem) => problem.content(),
            Self::NotThere => Html::new().raw(
                "<p>There is no such thing, or your roles do not cover it. What one may not see does not exist here.</p>",
            ),
            Self::Senseless => Html::new()
                .raw("<p role=\"alert\">The console does not understand the gateway's own answer. Its log says more.</p>"),
        }
    }
}

impl Problem {
    /// Whether somebody changed the thing after its page was made.
    fn has_moved_on(&self) -> bool {
        self.code == "object.changed"
    }

    fn content(&self) -> Html {
        if self.has_moved_on() {
            return Html::new().raw(
                "<div class=\"notice wait\" role=\"alert\"><p><strong>Nothing was done: somebody has changed it since \
                 your page was made.</strong></p><p>Look at it as it is now, and decide again.</p><p class=\"fine\">\
                 <code>object.changed</code></p></div>",
            );
        }
        let mut content = Html::new()
            .raw("<div class=\"notice bad\" role=\"alert\"><p><strong>")
            .text(&self.detail)
            .raw("</strong></p><p>What to do: ")
            .text(&self.hint)
            .raw(". Who can: ")
            .text(&self.fixer)
            .raw(".</p><p class=\"fine\"><code>")
            .text(&self.code)
            .raw("</code></p></div>");
        // One that says what stands above already need not be said again.
        let more: Vec<&Finding> = self.findings.iter().filter(|one| one.message != self.detail).collect();
        if !more.is_empty() {
            content = content.raw("<ul>");
            for finding in more {
                content = content
                    .raw("<li><code>")
                    .text(&finding.code)
                    .raw("</code> ")
                    .text(&finding.message)
                    .raw(" <span class=\"fine\">")
                    .text(&finding.hint)
                    .raw("</span></li>");
            }
            content = content.raw("</ul>");
        }
        content
    }
}
