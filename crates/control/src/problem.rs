//! One envelope for everything that goes wrong: RFC 9457 with our stable codes.

use axum::response::{IntoResponse, Response};
use gateway_core::lifecycle::{Finding, Rule};
use gateway_core::manifest::ObjectKey;
use gateway_core::ports::StateError;
use gateway_core::refusal::{Code, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::entity::EntityTag;
use crate::ports::AuditReadError;

/// A refusal or failure on its way out.
#[derive(Clone, Debug)]
pub struct Problem {
    status: u16,
    code: &'static str,
    detail: String,
    hint: &'static str,
    fixer: &'static str,
    findings: Vec<Finding>,
    retry_after: Option<u32>,
    etag: Option<Box<EntityTag>>,
}

#[derive(Serialize)]
struct Rendered<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    hint: &'a str,
    fixer: &'a str,
    /// The tag of the thing as it stands, where it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a EntityTag>,
    #[serde(skip_serializing_if = "<[Finding]>::is_empty")]
    findings: &'a [Finding],
}

/// What the recorder of refusals learns from a response.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) object: Option<ObjectKey>,
}

static BUSY: Rule = Rule {
    code: "state.busy",
    status: 503,
    fixer: "the operator",
    hint: "others were changing the state at the same time: try again",
};
static STATE_DOWN: Rule = Rule {
    code: "state.unavailable",
    status: 503,
    fixer: "the gateway's operator",
    hint: "check the state database",
};
static STATE_REFUSES: Rule = Rule {
    code: "state.constraint",
    status: 409,
    fixer: "the operator",
    hint: "read the object again: a rule of the database refused the change",
};
static AUDIT_UNREADABLE: Rule = Rule {
    code: "audit.unreadable",
    status: 503,
    fixer: "the gateway's operator",
    hint: "check the audit directory",
};
static UNAUTHENTICATED: Rule = Rule {
    code: "operator.unauthenticated",
    status: 401,
    fixer: "the operator",
    hint: "send `Authorization: Bearer …` with an operator's token",
};
static MALFORMED: Rule = Rule {
    code: "request.malformed",
    status: 400,
    fixer: "the operator",
    hint: "see /v1/openapi.json for what this call takes",
};
static CONTRADICTORY: Rule = Rule {
    code: "request.contradictory",
    status: 422,
    fixer: "the operator",
    hint: "say what is meant once, as the message says",
};
static TOO_LARGE: Rule =
    Rule { code: "request.too_large", status: 413, fixer: "the operator", hint: "send less at a time" };
static NO_ROUTE: Rule =
    Rule { code: "request.unknown", status: 404, fixer: "the operator", hint: "see /v1/openapi.json" };
static NO_METHOD: Rule = Rule {
    code: "request.method",
    status: 405,
    fixer: "the operator",
    hint: "use a method that `Allow` names; see /v1/openapi.json",
};
static CONTENT_TYPE: Rule = Rule {
    code: "request.content_type",
    status: 415,
    fixer: "the operator",
    hint: "send the body as `Content-Type: application/json`",
};
static NOT_PUBLISHED: Rule = Rule {
    code: "state.not_published",
    status: 503,
    fixer: "the gateway's operator",
    hint: "the change stands and is taken over by itself once the audit log and the state can be used; look at /readyz",
};
static INCOMPLETE: Rule = Rule {
    code: "revocation.incomplete",
    status: 503,
    fixer: "the gateway's operator",
    hint: "the binding is revoked and stays blocked; some of its traffic did not end in time: restart the gateway to be sure",
};

static LOCK_INCOMPLETE: Rule = Rule {
    code: "lock.incomplete",
    status: 503,
    fixer: "the gateway's operator",
    hint: "the lock stands and new calls are stopped; some of what ran did not end in time: restart the replica to be sure",
};

impl Problem {
    /// One broken rule.
    pub fn new(rule: &'static Rule, detail: impl std::fmt::Display) -> Self {
        Self {
            status: rule.status,
            code: rule.code,
            detail: detail.to_string(),
            hint: rule.hint,
            fixer: rule.fixer,
            findings: Vec::new(),
            retry_after: None,
            etag: None,
        }
    }

    /// With the tag of the thing as it stands.
    pub(crate) fn at(self, current: &EntityTag) -> Self {
        Self { etag: Some(Box::new(current.clone())), ..self }
    }

    /// With the number of seconds after which to try again.
    pub(crate) fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn about(rule: &'static Rule, key: &ObjectKey, detail: impl std::fmt::Display) -> Self {
        vec![Finding::of(rule, key, detail)].into()
    }

    pub(crate) fn busy() -> Self {
        Self { retry_after: Some(1), ..Self::new(&BUSY, "the state kept changing") }
    }

    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::new(&UNAUTHENTICATED, detail)
    }

    pub(crate) fn malformed(detail: impl std::fmt::Display) -> Self {
        Self::new(&MALFORMED, detail)
    }

    /// Of the documented form, and saying two things or nothing.
    pub(crate) fn contradictory(detail: impl std::fmt::Display) -> Self {
        Self::new(&CONTRADICTORY, detail)
    }

    pub(crate) fn too_large() -> Self {
        Self::new(&TOO_LARGE, "the body is larger than this call takes")
    }

    /// What was to be answered cannot be answered.
    pub(crate) fn senseless() -> Self {
        Self::from(Refusal::new(Code::Internal))
    }

    pub(crate) fn no_route() -> Self {
        Self::new(&NO_ROUTE, "there is nothing here")
    }

    pub(crate) fn no_method() -> Self {
        Self::new(&NO_METHOD, "this method does not exist here")
    }

    pub(crate) fn content_type() -> Self {
        Self::new(&CONTENT_TYPE, "the body is not of the type `application/json`")
    }

    pub(crate) fn incomplete() -> Self {
        Self::new(
            &INCOMPLETE,
            "it is written and blocked here, and not everything has ended yet on every replica",
        )
    }

    pub(crate) fn lock_incomplete(id: &str) -> Self {
        Self::new(
            &LOCK_INCOMPLETE,
            format!("lock `{id}` stands, and not everything has ended yet on every replica"),
        )
    }

    /// The change is committed, and this replica could not take it over, or its evidence into the chain.
    pub(crate) fn not_published(refusal: &Refusal) -> Self {
        tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "a change is not published");
        Self::new(
            &NOT_PUBLISHED,
            "the change is written, but not yet in force or not yet in the audit log here",
        )
    }

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Vec<Finding>> for Problem {
    /// The gravest finding gives status and code: what the operator may not do before what is wrong.
    fn from(findings: Vec<Finding>) -> Self {
        let forbidden = findings.iter().find(|finding| finding.rule.status == 403);
        let Some(main) = forbidden.or(findings.first()) else {
            return Self::new(&STATE_REFUSES, "refused without a reason");
        };
        Self { detail: main.message.clone(), findings: findings.clone(), ..Self::new(main.rule, "") }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let row = refusal.code().row();
        // A refusal of the data path's table keeps its code; a 401 there is about another door, and a reference that no
        // store takes is what the operator wrote, not an outage.
        let written = refusal.code() == Code::ReferenceRefused;
        let status = if row.status < 400 || row.status == 401 || written { 422 } else { row.status };
        if let Some(inside) = refusal.inside() {
            tracing::warn!(code = row.code, inside, "refused");
        }
        Self {
            status,
            code: row.code,
            detail: row.text.to_owned(),
            hint: row.hint,
            fixer: row.fixer.words(),
            findings: Vec::new(),
            retry_after: refusal.retry().map(|span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1)),
            etag: None,
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Conflict => Self::busy(),
            StateError::Constraint(why) => {
                tracing::warn!(why, "the state refuses a change");
                Self::new(&STATE_REFUSES, "a rule of the state refused the change")
            }
            StateError::Unavailable(why) | StateError::Corrupt(why) => {
                tracing::error!(why, "the state cannot be used");
                Self::new(&STATE_DOWN, "the state cannot be read or written now")
            }
        }
    }
}

impl From<AuditReadError> for Problem {
    fn from(error: AuditReadError) -> Self {
        tracing::error!(%error, "the audit log cannot be read");
        Self::new(&AUDIT_UNREADABLE, "the audit log cannot be read")
    }
}

impl Problem {
    /// What leaves evidence: an act beyond one's rights or against what stands, and a manifest that
    /// reaches across a boundary. Mere mistakes leave none.
    fn refused(&self) -> Option<Refused> {
        let crossing = self.findings.iter().find(|finding| crosses_boundary(finding.rule.code));
        if let Some(finding) = crossing {
            return Some(Refused { code: finding.rule.code, object: finding.object.clone() });
        }
        let object = self.findings.iter().find_map(|finding| finding.object.clone());
        let acted = matches!(self.status, 403 | 409) || self.code == "login.refused";
        acted.then_some(Refused { code: self.code, object })
    }
}

/// Whether the rule keeps paths, stores and environments apart.
fn crosses_boundary(code: &str) -> bool {
    let apart = ["path.unowned", "store.environment", "store.undelegated", "server.environment"];
    apart.contains(&code) || code.starts_with("production.") || code.starts_with("promotion.")
}

impl Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn rendered(&self) -> Rendered<'_> {
        let status = self.status();
        Rendered {
            r#type: format!("urn:mcp-gateway:problem:{}", self.code),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code,
            detail: &self.detail,
            hint: self.hint,
            fixer: self.fixer,
            etag: self.etag.as_deref(),
            findings: &self.findings,
        }
    }

    /// Its body.
    pub(crate) fn shown(&self) -> serde_json::Value {
        serde_json::to_value(self.rendered()).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self.rendered()).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.extend(self.etag.as_deref().and_then(EntityTag::header).map(|tag| (header::ETAG, tag)));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(refused) = self.refused() {
            response.extensions_mut().insert(refused);
        }
        response
    }
}
