//! Carries the chain and its checkpoints off the host: a webhook, at least once, in order.
//!
//! The chain's own files are the queue. The cursor moves only after the receiver has answered 2xx, so a
//! dead receiver delays and loses nothing, and calls never wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_core::ports::{Random, Sequence};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use zeroize::Zeroizing;

use super::config::SinkConfig;
use super::cursor::{Batch, Cursor};
use super::log::AuditLog;
use crate::https::{OutboundBuildError, OutboundClient, OutboundConfig, OutboundRequest};

/// How long to rest when everything is sent.
const REST: Duration = Duration::from_millis(500);
/// The first and the longest wait after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// About the largest body.
const MAX_BYTES: usize = 1024 * 1024;

/// The sink.
#[derive(Debug)]
pub struct Sink {
    log: Arc<AuditLog>,
    client: OutboundClient,
    config: SinkConfig,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cursor: Option<Cursor>,
    /// Halved when the receiver finds a batch too large.
    max_lines: usize,
    failures: u32,
    last_error: Option<String>,
}

/// How the sink is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SinkStatus {
    /// The last record that the receiver has.
    pub sent: Sequence,
    /// How many records wait.
    pub lag: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure, where it was not followed by a success.
    pub last_error: Option<String>,
}

impl Sink {
    /// A sink for this log. Reads the certificate authorities, touches no network.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(
        log: Arc<AuditLog>,
        config: SinkConfig,
        random: Arc<dyn Random>,
    ) -> Result<Self, OutboundBuildError> {
        let client = OutboundClient::new(&OutboundConfig {
            ca_file: config.ca_file.clone(),
            timeout: Duration::from_secs(config.timeout_seconds.unwrap_or(10).max(1)),
            proxy: config.proxy.clone(),
            ..OutboundConfig::default()
        })?;
        let max_lines = config.batch_lines.unwrap_or(500).max(1);
        let state = Mutex::new(State { max_lines, ..State::default() });
        Ok(Self { log, client, config, random, state })
    }

    /// How the sink is.
    pub fn status(&self) -> SinkStatus {
        let newest = self.log.sequence();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = state.cursor.map_or(Sequence(0), |cursor| cursor.sequence);
        SinkStatus {
            sent,
            lag: newest.0.saturating_sub(sent.0),
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// Sends whatever is new, for ever. The binary runs it.
    pub async fn run(self: Arc<Self>) {
        loop {
            let wait = match self.deliver().await {
                Ok(0) => REST,
                Ok(_) => continue,
                Err(error) => {
                    let wait = self.back_off(&error);
                    tracing::warn!(%error, wait_millis = wait.as_millis(), "the audit sink does not take records");
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends one batch and says how many lines it had. Also what `preflight` calls.
    ///
    /// # Errors
    /// Why the receiver does not have it.
    pub async fn deliver(self: &Arc<Self>) -> Result<usize, String> {
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.read_batch()).await;
        let batch = read.map_err(|error| error.to_string())??;
        if batch.lines == 0 {
            return Ok(0);
        }
        self.post(&batch).await?;
        let (this, after) = (Arc::clone(self), batch.after);
        let saved = tokio::task::spawn_blocking(move || after.save(this.log.directory())).await;
        saved.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cursor = Some(after);
        state.failures = 0;
        state.last_error = None;
        Ok(batch.lines)
    }

    fn read_batch(&self) -> Result<Batch, String> {
        // Only what a power loss cannot take back may leave: else the receiver would hold a record that
        // the chain later has another one in place of.
        let durable = self.log.sync().map_err(|error| error.to_string())?;
        let (cursor, max_lines) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.cursor, state.max_lines)
        };
        let directory = self.log.directory();
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => Cursor::load(directory, durable.chain).map_err(|error| format!("the cursor: {error}"))?,
        };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).cursor = Some(cursor);
        cursor.next(directory, &durable, max_lines, MAX_BYTES).map_err(|error| error.to_string())
    }

    async fn post(&self, batch: &Batch) -> Result<(), String> {
        let chain =
            HeaderValue::from_str(&batch.after.chain.to_string()).map_err(|error| error.to_string())?;
        let mut request = OutboundRequest::new(Method::POST, self.config.url.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
            .header(HeaderName::from_static("x-audit-chain"), chain)
            .body(batch.body.clone());
        if let Some(value) = self.bearer()? {
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(());
        }
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.max_lines = (batch.lines / 2).max(1);
        }
        Err(format!("the receiver answered {}", answer.status.as_u16()))
    }

    fn bearer(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = &self.config.token_file else { return Ok(None) };
        let token = std::fs::read_to_string(path).map_err(|error| format!("the token file: {error}"))?;
        let token = Zeroizing::new(token);
        if token.trim().is_empty() {
            return Err("the token file is empty".to_owned());
        }
        let text = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| "the token file holds more than a token".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Doubles with every failure up to a minute; between half and all of it, so that many gateways do
    /// not come back at once.
    fn back_off(&self, error: &str) -> Duration {
        let (first, longest) = BACK_OFF;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = first.saturating_mul(1 << state.failures.min(10)).min(longest);
        state.failures = state.failures.saturating_add(1);
        state.last_error = Some(error.to_owned());
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        let [byte] = byte;
        full / 2 + (full / 2).saturating_mul(u32::from(byte)) / 255
    }
}
