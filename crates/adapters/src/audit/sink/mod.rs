//! Carries the chain and its checkpoints off the host: at least once, in order.
//!
//! The chain's own files are the queue of every sink. A sink's cursor moves only once the receiver has what
//! is before it, so a dead receiver delays and loses nothing, and calls never wait for it.

mod all;
mod config;
mod frame;
mod otlp;
mod syslog;
pub(crate) mod transport;
mod webhook;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::ports::{Random, Sequence};
use serde::Serialize;
use tokio::time::Instant;

use self::all::Synced;
use self::otlp::Otlp;
use self::syslog::Syslog;
use self::transport::{Failure, Transport};
use self::webhook::Webhook;
use super::cursor::{Batch, Cursor};
use super::log::AuditLog;

pub use self::all::{AuditSinks, SinkBuildError};
pub use self::config::{HttpSinkConfig, MOST_SINKS, SinkConfig, SinkKind, SyslogConfig};

/// How long to rest when everything is sent.
const REST: Duration = Duration::from_millis(500);
/// How long to let records gather after a batch that was not full.
const GATHER: Duration = Duration::from_millis(200);
/// The first and the longest wait after a failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// About the largest body.
const MAX_BYTES: usize = 1024 * 1024;

/// One sink.
#[derive(Debug)]
pub struct Sink {
    name: String,
    kind: SinkKind,
    cursor_file: String,
    log: Arc<AuditLog>,
    synced: Arc<Synced>,
    transport: Box<dyn Transport>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Everything before it is taken; what is in the cursor's file.
    taken: Cursor,
    /// Everything before it was sent.
    sent: Cursor,
    /// What was sent and does not count as taken yet, oldest first: the place after it, and when.
    unconfirmed: VecDeque<(Cursor, Instant)>,
    /// Halved when the receiver finds a batch too large.
    max_lines: usize,
    failures: u32,
    last_error: Option<String>,
}

/// How a sink is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SinkKind,
    /// The last record that the receiver has taken.
    pub sent: Sequence,
    /// How many records wait.
    pub lag: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure, where it was not followed by a success.
    pub last_error: Option<String>,
}

impl Sink {
    fn new(
        log: Arc<AuditLog>,
        config: SinkConfig,
        random: Arc<dyn Random>,
        synced: Arc<Synced>,
    ) -> Result<Self, SinkBuildError> {
        let (name, kind, cursor_file) = (config.name(), config.kind(), config.cursor_file());
        let max_lines = config.batch_lines();
        let transport: Box<dyn Transport> = match config {
            SinkConfig::Webhook(http) => Box::new(Webhook::new(http)?),
            SinkConfig::Otlp(http) => Box::new(Otlp::new(http)?),
            SinkConfig::Syslog(syslog) => Box::new(Syslog::new(syslog)?),
        };
        let taken = Cursor::load(log.directory(), &cursor_file, log.status().chain);
        let taken = taken.map_err(|error| SinkBuildError::Cursor { file: cursor_file.clone(), error })?;
        let unconfirmed = VecDeque::new();
        let state = State { taken, sent: taken, unconfirmed, max_lines, failures: 0, last_error: None };
        let state = Mutex::new(state);
        Ok(Self { name, kind, cursor_file, log, synced, transport, random, state })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is.
    pub fn status(&self) -> SinkStatus {
        let newest = self.log.sequence();
        let state = self.state();
        SinkStatus {
            name: self.name.clone(),
            kind: self.kind,
            sent: state.taken.sequence,
            lag: newest.0.saturating_sub(state.taken.sequence.0),
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// Sends whatever is new, for ever. The binary runs it.
    pub async fn run(self: Arc<Self>) {
        loop {
            let wait = match self.step().await {
                Ok(0) => REST,
                Ok(lines) if lines.saturating_mul(2) > self.state().max_lines => continue,
                Ok(_) => GATHER,
                Err(failure) => {
                    let wait = self.back_off(&failure);
                    let (sink, error) = (self.name.as_str(), failure.why.as_str());
                    tracing::warn!(
                        sink,
                        error,
                        wait_millis = wait.as_millis(),
                        "an audit sink does not take records"
                    );
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
        self.step().await.map_err(|failure| failure.why)
    }

    async fn step(self: &Arc<Self>) -> Result<usize, Failure> {
        let done = self.try_step().await;
        if done.is_err() {
            let mut state = self.state();
            // What the receiver may not have is sent again, from the last place that is certain.
            state.sent = state.taken;
            state.unconfirmed.clear();
        }
        done
    }

    async fn try_step(self: &Arc<Self>) -> Result<usize, Failure> {
        self.confirm().await?;
        if self.is_window_full() {
            return Ok(0);
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.read_batch()).await;
        let batch = read.map_err(Failure::new)?.map_err(Failure::new)?;
        if batch.lines == 0 {
            return Ok(0);
        }
        let sent = self.transport.send(batch.after.chain, &batch).await;
        if sent.as_ref().is_err_and(|failure| failure.too_large) {
            self.state().max_lines = (batch.lines / 2).max(1);
        }
        sent?;
        {
            let mut state = self.state();
            state.sent = batch.after;
            state.unconfirmed.push_back((batch.after, Instant::now()));
        }
        self.confirm().await?;
        Ok(batch.lines)
    }

    /// Moves the cursor over what was sent long enough ago, if the receiver is still there.
    async fn confirm(self: &Arc<Self>) -> Result<(), Failure> {
        let Some(due) = self.due() else { return Ok(()) };
        self.transport.is_alive().await?;
        let this = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || due.save(this.log.directory(), &this.cursor_file));
        saved.await.map_err(Failure::new)?.map_err(Failure::new)?;
        let mut state = self.state();
        state.taken = due;
        state.unconfirmed.retain(|(cursor, _)| !cursor.is_within(&due));
        state.failures = 0;
        state.last_error = None;
        Ok(())
    }

    /// The furthest place that counts as taken if the receiver is still there.
    fn due(&self) -> Option<Cursor> {
        let after = self.transport.confirmed_after();
        let state = self.state();
        let due = state.unconfirmed.iter().take_while(|(_, sent)| sent.elapsed() >= after);
        due.last().map(|(cursor, _)| *cursor)
    }

    fn is_window_full(&self) -> bool {
        let state = self.state();
        state.sent.sequence.0.saturating_sub(state.taken.sequence.0) >= self.transport.window()
    }

    fn read_batch(&self) -> Result<Batch, String> {
        let (sent, max_lines) = {
            let state = self.state();
            (state.sent, state.max_lines)
        };
        let directory = self.log.directory();
        if let Some(durable) = self.synced.last() {
            let batch =
                sent.next(directory, &durable, max_lines, MAX_BYTES).map_err(|error| error.to_string())?;
            if batch.lines > 0 {
                return Ok(batch);
            }
        }
        // Only what a power loss cannot take back may leave: else the receiver would hold a record that
        // the chain later has another one in place of.
        let durable = self.synced.renew(&self.log)?;
        sent.next(directory, &durable, max_lines, MAX_BYTES).map_err(|error| error.to_string())
    }

    /// Doubles with every failure up to a minute; between half and all of it, so that many gateways do
    /// not come back at once. A receiver that asks for more gets it, up to that minute.
    fn back_off(&self, failure: &Failure) -> Duration {
        let (first, longest) = BACK_OFF;
        let mut state = self.state();
        let full = first.saturating_mul(1 << state.failures.min(10)).min(longest);
        state.failures = state.failures.saturating_add(1);
        state.last_error = Some(failure.why.clone());
        drop(state);
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        let [byte] = byte;
        let wait = full / 2 + (full / 2).saturating_mul(u32::from(byte)) / 255;
        wait.max(failure.retry_after.unwrap_or_default().min(longest))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
