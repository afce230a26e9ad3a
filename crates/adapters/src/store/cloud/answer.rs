//! What such a service answers, and what its errors mean.

use std::fmt;
use std::time::Duration;

use gateway_core::lease::VersionId;
use gateway_core::ports::{StoreError, StoreErrorKind};
use http::{HeaderMap, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::https::{OutboundError, OutboundResponse};

/// What is particular to a service's answers.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Dialect {
    /// What it is called in an operator's log.
    pub(in crate::store) name: &'static str,
    /// The header with its own id of the request, as its audit log has it.
    pub(in crate::store) request_id: Option<&'static str>,
    /// The name of the error in its error document; absent where the body is none.
    pub(in crate::store) error_name: fn(&[u8]) -> Option<String>,
}

/// An answer.
pub(in crate::store) struct Answer {
    /// The HTTP status.
    pub(in crate::store) status: u16,
    dialect: Dialect,
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
    pub(in crate::store) fn of(
        dialect: Dialect,
        sent: Result<OutboundResponse, OutboundError>,
    ) -> Result<Self, StoreError> {
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
        let status = response.status.as_u16();
        Ok(Self { status, dialect, headers: response.headers, body: response.body })
    }

    /// A header's value, where it is plain text.
    pub(in crate::store) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as what is expected; it borrows from the zeroed buffer.
    pub(in crate::store) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|_| self.senseless())
    }

    /// The service's own id of the request.
    pub(in crate::store) fn request_id(&self) -> Option<VersionId> {
        let id = self.dialect.request_id.and_then(|name| self.header(name));
        id.map(VersionId::new).filter(|id| !id.as_str().is_empty())
    }

    /// The name of the error, where the body is an error document of this service.
    pub(in crate::store) fn error_name(&self) -> Option<String> {
        let name = (self.dialect.error_name)(&self.body)?;
        Some(name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect())
    }

    /// The failure of a request.
    pub(in crate::store) fn failure(&self) -> StoreError {
        let name = self.dialect.name;
        match self.status {
            429 => self.throttled(),
            408 | 500..=599 => {
                self.error(StoreErrorKind::Unavailable, &format!("{name} is not able to answer"))
            }
            401 | 403 => self.error(StoreErrorKind::Denied, &format!("{name} refuses the gateway")),
            // Of something else that answers at this address, 404 says nothing about a secret.
            404 if self.error_name().is_some() => {
                self.error(StoreErrorKind::NotFound, "there is no such secret or version")
            }
            300..=399 => self.error(StoreErrorKind::Malformed, "a redirect, which is never followed"),
            _ => self.error(StoreErrorKind::Malformed, &format!("{name} does not understand the request")),
        }
    }

    /// The failure of a login: whatever is not taken of ours is a denial.
    pub(in crate::store) fn login_failure(&self) -> StoreError {
        let error = self.failure();
        match error.kind {
            StoreErrorKind::Malformed | StoreErrorKind::NotFound => {
                self.error(StoreErrorKind::Denied, "our login is refused")
            }
            _ => error,
        }
    }

    /// Whether the service knows us, of an answer that shows no value. Whether we may do what was asked is
    /// another question, and not that of a probe.
    pub(in crate::store) fn proves_login(&self) -> Result<(), StoreError> {
        match self.status {
            200..=299 => Ok(()),
            403 | 404 if self.error_name().is_some() => Ok(()),
            _ => Err(self.failure()),
        }
    }

    fn throttled(&self) -> StoreError {
        let mut error =
            self.error(StoreErrorKind::Throttled, &format!("{} asks to slow down", self.dialect.name));
        let seconds = self.header(header::RETRY_AFTER.as_str());
        error.retry_after = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        error
    }

    /// An answer that was good and cannot be read.
    pub(in crate::store) fn senseless(&self) -> StoreError {
        self.error(StoreErrorKind::Malformed, &format!("the answer of {} makes no sense", self.dialect.name))
    }

    /// A failure with status, name and request id. The service's own texts are left out: they may repeat
    /// what was sent.
    pub(in crate::store) fn error(&self, kind: StoreErrorKind, inside: &str) -> StoreError {
        let named = self.status >= 400;
        let name = self.error_name().filter(|name| named && !name.is_empty());
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let id = self.request_id().map(|id| format!(", request {id}")).unwrap_or_default();
        StoreError::new(kind, format!("{inside} (status {}{name}{id})", self.status))
    }
}
