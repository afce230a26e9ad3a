//! What can go wrong with a provider, as a refusal of the one table and with the provider's own code.

use std::fmt;
use std::time::Duration;

use gateway_core::ports::StoreError;
use gateway_core::refusal::{Code, Refusal};

use crate::https::{OutboundBuildError, OutboundError};

/// A provider that does not answer, refuses, or answers what is not acceptable. Holds no token and no
/// part of a body beyond the error code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{refusal}")]
pub struct ProviderError {
    refusal: Refusal,
    answer: Option<String>,
}

impl ProviderError {
    /// The refusal for the caller.
    pub const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The provider's error code (RFC 6749, section 5.2), where it answered one; for evidence.
    pub fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// Whether the provider said that the grant itself is over (`invalid_grant`): asking again with it
    /// is of no use.
    pub fn ends_grant(&self) -> bool {
        self.answer.as_deref() == Some("invalid_grant")
    }

    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.refusal.code(),
            Code::ProviderUnavailable | Code::StoreUnavailable | Code::AuditUnavailable
        )
    }

    pub(in crate::source) fn unavailable(inside: impl fmt::Display) -> Self {
        Self { refusal: Refusal::new(Code::ProviderUnavailable).because(inside), answer: None }
    }

    pub(in crate::source) fn refused(inside: impl fmt::Display) -> Self {
        Self { refusal: Refusal::new(Code::ProviderRefused).because(inside), answer: None }
    }

    pub(in crate::source) fn malformed(inside: impl fmt::Display) -> Self {
        Self { refusal: Refusal::new(Code::ProviderMalformed).because(inside), answer: None }
    }

    pub(in crate::source) fn answering(self, answer: impl Into<String>) -> Self {
        Self { answer: Some(answer.into()), ..self }
    }

    pub(in crate::source) fn retry_after(self, after: Option<Duration>) -> Self {
        match after {
            Some(after) => Self { refusal: self.refusal.retry_after(after), ..self },
            None => self,
        }
    }
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        error.refusal
    }
}

impl From<Refusal> for ProviderError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, answer: None }
    }
}

impl From<StoreError> for ProviderError {
    fn from(error: StoreError) -> Self {
        Self { refusal: error.into(), answer: None }
    }
}

impl From<OutboundError> for ProviderError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Timeout(_) | OutboundError::Unreachable { .. } => Self::unavailable(error),
            OutboundError::Status { status, .. } if status >= 500 => Self::unavailable(error),
            OutboundError::Insecure(_)
            | OutboundError::Address { .. }
            | OutboundError::TooLarge { .. }
            | OutboundError::Status { .. }
            | OutboundError::NotJson(_) => Self::malformed(error),
        }
    }
}

impl From<OutboundBuildError> for ProviderError {
    fn from(error: OutboundBuildError) -> Self {
        // Files of ours that cannot be read: the provider was never asked.
        Self::unavailable(error)
    }
}
