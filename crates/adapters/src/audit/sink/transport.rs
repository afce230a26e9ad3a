//! What a sink needs of a receiver, and why it may not have taken something.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::ChainId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use crate::audit::cursor::Batch;
use crate::https::OutboundResponse;

/// The way to one receiver.
#[async_trait]
pub(super) trait Transport: Send + Sync + std::fmt::Debug {
    /// Gives it the lines.
    ///
    /// # Errors
    /// It does not have them, or nobody knows.
    async fn send(&self, chain: ChainId, batch: &Batch) -> Result<(), Failure>;

    /// How long what was sent must stand until it counts as taken: no time where the receiver answers for
    /// itself.
    fn confirmed_after(&self) -> Duration {
        Duration::ZERO
    }

    /// The most records that may be sent before they count as taken.
    fn window(&self) -> u64 {
        u64::MAX
    }

    /// Whether the connection over which everything was sent is still there.
    ///
    /// # Errors
    /// It is not: what is not confirmed is sent again.
    async fn is_alive(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Why a receiver does not have a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// The batch was too large.
    pub(super) too_large: bool,
    /// How long the receiver asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(why: impl std::fmt::Display) -> Self {
        Self { why: why.to_string(), too_large: false, retry_after: None }
    }

    /// What an answer other than 2xx means; nothing where it is one.
    pub(super) fn of(answer: &OutboundResponse) -> Result<(), Self> {
        if answer.status.is_success() {
            return Ok(());
        }
        let seconds =
            answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Self {
            too_large: answer.status == StatusCode::PAYLOAD_TOO_LARGE,
            retry_after: seconds.map(Duration::from_secs),
            ..Self::new(format!("the receiver answered {}", answer.status.as_u16()))
        })
    }
}

/// The bearer token, as the file has it now. Absent where no file is named.
///
/// # Errors
/// The file cannot be read, or holds no token. The text never holds what is in it.
pub(crate) fn bearer(file: Option<&Path>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let Some(path) = file else { return Ok(headers) };
    let token = std::fs::read_to_string(path).map_err(|error| format!("the token file: {error}"))?;
    let token = Zeroizing::new(token);
    if token.trim().is_empty() {
        return Err("the token file is empty".to_owned());
    }
    let text = Zeroizing::new(format!("Bearer {}", token.trim()));
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| "the token file holds more than a token".to_owned())?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(headers)
}
