//! What AWS answers, and what its errors mean.

use std::fmt;
use std::time::Duration;

use gateway_core::lease::VersionId;
use gateway_core::ports::{StoreError, StoreErrorKind};
use http::{HeaderMap, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credentials::element;
use crate::https::{OutboundError, OutboundResponse};

/// An answer of a service.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.status)
    }
}

impl Answer {
    /// Takes what the client got.
    pub(super) fn of(sent: Result<OutboundResponse, OutboundError>) -> Result<Self, StoreError> {
        let response = sent.map_err(|error| {
            let kind = match error {
                OutboundError::Timeout(_) => StoreErrorKind::Timeout,
                OutboundError::Unreachable { .. } => StoreErrorKind::Unavailable,
                OutboundError::Insecure(_)
                | OutboundError::Address { .. }
                | OutboundError::TooLarge { .. }
                | OutboundError::Status { .. }
                | OutboundError::NotJson(_) => StoreErrorKind::Malformed,
            };
            StoreError::new(kind, error)
        })?;
        Ok(Self { status: response.status.as_u16(), headers: response.headers, body: response.body })
    }

    /// The body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as what is expected; it borrows from the zeroed buffer.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|_| self.senseless())
    }

    /// AWS's own id of the request, as its CloudTrail records it.
    pub(super) fn request_id(&self) -> Option<VersionId> {
        let id = self.headers.get("x-amzn-requestid").and_then(|value| value.to_str().ok());
        id.map(VersionId::new).filter(|id| !id.as_str().is_empty())
    }

    /// The name of the error: in the document, in a header, or in XML where the front door answers.
    pub(super) fn code(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "__type")]
            kind: String,
        }
        let document = serde_json::from_slice::<Body>(&self.body).ok().map(|body| body.kind);
        let header = || {
            let value = self.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let xml = || {
            let text = std::str::from_utf8(&self.body).ok()?;
            element(text, "Code").map(str::to_owned)
        };
        let code = document.or_else(header).or_else(xml).unwrap_or_default();
        // `namespace#Name`, `Name:address`: the name alone, and nothing that is none.
        let name = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
        name.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
    }

    /// Whether the request was refused because of the credentials' age, so that others may help.
    pub(super) fn wants_other_credentials(&self) -> bool {
        self.status >= 400
            && matches!(
                self.code().as_str(),
                "ExpiredToken"
                    | "ExpiredTokenException"
                    | "InvalidAccessKeyId"
                    | "InvalidClientTokenId"
                    | "InvalidToken"
                    | "UnrecognizedClientException"
            )
    }

    /// Whether it knows us and does not let us do this.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self.code().as_str(), "AccessDenied" | "AccessDeniedException")
    }

    /// The failure of a request to a store.
    pub(super) fn failure(&self) -> StoreError {
        let code = self.code();
        match code.as_str() {
            "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => {
                self.error(StoreErrorKind::NotFound, "there is no such secret, parameter or version")
            }
            // Of a read this can only be one that is scheduled for deletion.
            "InvalidRequestException" => self.error(StoreErrorKind::NotFound, "the secret is being deleted"),
            "DecryptionFailure" | "InvalidKeyId" | "KMSAccessDeniedException" => {
                self.error(StoreErrorKind::Denied, "the key of the secret does not open it for us")
            }
            _ => self.common_failure(&code),
        }
    }

    /// The failure of a login: whatever is not taken of ours is a denial.
    pub(super) fn login_failure(&self) -> StoreError {
        let error = self.common_failure(&self.code());
        match error.kind {
            StoreErrorKind::Malformed => self.error(StoreErrorKind::Denied, "our login is refused"),
            _ => error,
        }
    }

    fn common_failure(&self, code: &str) -> StoreError {
        let throttled = code.contains("Throttl") || code == "TooManyRequestsException";
        match (code, self.status) {
            _ if throttled || self.status == 429 || code == "RequestLimitExceeded" => {
                let mut error = self.error(StoreErrorKind::Throttled, "AWS asks to slow down");
                let seconds = self.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                error.retry_after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
                error
            }
            ("InternalServiceError" | "InternalServerError" | "InternalFailure", _)
            | ("ServiceUnavailable" | "ServiceUnavailableException" | "IDPCommunicationError", _)
            | (_, 500..=599) => self.error(StoreErrorKind::Unavailable, "AWS is not able to answer"),
            ("IncompleteSignature" | "InvalidSignatureException" | "SignatureDoesNotMatch", _)
            | ("ExpiredToken" | "ExpiredTokenException" | "InvalidIdentityToken", _)
            | ("InvalidAccessKeyId" | "InvalidClientTokenId" | "InvalidToken", _)
            | ("MissingAuthenticationToken" | "UnrecognizedClientException" | "RequestExpired", _)
            | (_, 401 | 403) => self.error(StoreErrorKind::Denied, "AWS refuses the gateway"),
            _ if self.is_forbidden() => self.error(StoreErrorKind::Denied, "AWS refuses the gateway"),
            _ => self.error(StoreErrorKind::Malformed, "AWS does not understand the request"),
        }
    }

    /// An answer that was good and cannot be read.
    pub(super) fn senseless(&self) -> StoreError {
        self.error(StoreErrorKind::Malformed, "the answer of AWS makes no sense")
    }

    /// A failure with status, name and request id. AWS's own texts are left out: they may repeat what was
    /// sent.
    pub(super) fn error(&self, kind: StoreErrorKind, inside: &str) -> StoreError {
        let code = Some(self.code()).filter(|code| !code.is_empty()).map(|code| format!(" {code}"));
        let id = self.request_id().map(|id| format!(", request {id}"));
        let (code, id) = (code.unwrap_or_default(), id.unwrap_or_default());
        StoreError::new(kind, format!("{inside} (status {}{code}{id})", self.status))
    }
}
