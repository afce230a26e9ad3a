//! The composition: the only place that names adapters, and where every task and thread is started.

mod bootstrap;
mod collector;
mod connect;
mod console;
mod control;
mod evidence;
pub(crate) mod harden;
mod house;
mod keys;
mod listen;
mod login;
mod operators;
mod pages;
mod parts;
mod ports;
mod preflight;
mod process;
mod publish;
mod replicas;
pub mod system;
pub mod telemetry;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::audit::{AuditLog, Checkpointer};
use gateway_adapters::source::Sources;
use gateway_core::audit::{Event, EventKind};
use gateway_core::ports::AuditSink as _;
use gateway_core::time::Clock as _;
use gateway_proxy::gateway::Gateway;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use bootstrap::bootstrap_token;
pub use preflight::{PreflightLine, PreflightRequest, preflight, store_assertions};

use crate::config::{Config, LogFormat, LogLevel};
use parts::Parts;
use replicas::{Moment, Replicas};
use system::SystemClock;

/// Why the gateway does not start. Every text names what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] gateway_adapters::store::StoreBuildError),
    /// The state cannot be opened.
    #[error("state: {0}")]
    State(#[from] gateway_adapters::state::OpenError),
    /// The state cannot be read.
    #[error("state: {0}")]
    StateRead(#[from] gateway_core::ports::StateError),
    /// The evidence cannot be opened.
    #[error("audit: {0}")]
    Audit(#[from] gateway_core::ports::AuditError),
    /// The evidence has seen a later state: a restored backup must be fenced first (DESIGN, 11.11).
    #[error("state: epoch {state} is behind the audit chain's {chain}: this looks like a restored backup")]
    StateBehind {
        /// The state's epoch.
        state: u64,
        /// The chain's high-water mark.
        chain: u64,
    },
    /// The stored policies do not compile.
    #[error("state: {0}")]
    Snapshot(#[from] gateway_core::snapshot::SnapshotError),
    /// An issuer's configuration is contradictory.
    #[error("identity: {0}")]
    Identity(String),
    /// Anything on this machine: a port in use, a file that cannot be read.
    #[error("{what}: {error}")]
    Machine {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: String,
    },
}

impl StartError {
    fn machine(what: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::Machine { what: what.into(), error: error.to_string() }
    }
}

/// How long a stop waits for stores to take leases back.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// A gateway that runs in this process.
pub struct Running {
    /// Where agents connect.
    pub data_address: SocketAddr,
    /// Where operators connect.
    pub control_address: SocketAddr,
    /// The data plane, for looking at it.
    pub gateway: Arc<Gateway>,
    audit: Arc<AuditLog>,
    checkpointer: Arc<Checkpointer>,
    stop: watch::Sender<bool>,
    replicas: Option<Arc<Replicas>>,
    sources: Arc<Sources>,
    threads: Vec<std::thread::JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    drain: Duration,
}

/// Starts everything. Must run inside a tokio runtime, which then carries the control plane and the
/// background work; the data plane has threads of its own.
///
/// # Errors
/// The first part that cannot start; nothing keeps running then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let parts = Box::pin(Parts::open(&config)).await?;
    if parts.replicas.is_none() {
        collector::inherit(&*parts.revocations, SystemClock.now()).await?;
    }
    let (stop, stopped) = watch::channel(false);
    let (data_address, threads) = listen::data(&config, &parts.gateway, &parts.verifier, &stopped)?;
    let (control_address, control) = control::serve(&config, &parts, stopped.clone()).await?;
    let mut tasks = parts.background();
    tasks.extend(control);
    tasks.push(control::keep_rotating(&parts));
    tracing::info!(data = %data_address, control = %control_address, "the gateway serves");
    Ok(Running {
        data_address,
        control_address,
        gateway: parts.gateway,
        audit: parts.audit,
        checkpointer: parts.checkpointer,
        replicas: parts.replicas,
        sources: parts.sources,
        stop,
        threads,
        tasks,
        drain: Duration::from_secs(config.limits.drain_seconds),
    })
}

impl Running {
    /// Stops in order: no new requests, running ones end within the drain time, the evidence is synced.
    pub async fn stop(self) {
        self.gateway.drain();
        // The last receiver may be gone already; then there is nothing to stop.
        let _ = self.stop.send(true);
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                drop(thread.join());
            }
        });
        if tokio::time::timeout(self.drain + Duration::from_secs(5), joined).await.is_err() {
            tracing::warn!("calls were still running at the end of the drain time");
        }
        if let Err(refusal) = self.gateway.children.end_all(Duration::from_secs(5)).await {
            tracing::warn!(
                inside = refusal.inside().unwrap_or(""),
                "processes of servers were still running"
            );
        }
        // Before the evidence closes: what is given back is recorded.
        match tokio::time::timeout(GIVING_BACK, self.sources.give_back()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "leases were given back"),
            Err(_) => tracing::warn!("not every lease was given back: what is left ends with its time"),
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(replicas) = &self.replicas {
            replicas.leave(Moment::now()).await;
        }
        let event = Event::new(EventKind::Stopped, SystemClock.now());
        if let Err(error) = self.audit.record(event).await {
            tracing::error!(%error, "the stop could not be recorded");
        }
        let checkpointer = Arc::clone(&self.checkpointer);
        let signed = tokio::task::spawn_blocking(move || checkpointer.checkpoint()).await;
        if !matches!(signed, Ok(Ok(_))) {
            tracing::error!("the last checkpoint could not be signed");
        }
    }
}

/// Runs the gateway until it is told to stop (SIGTERM or SIGINT), then drains it.
///
/// # Errors
/// Why it does not start.
pub fn serve(config: Config) -> Result<(), StartError> {
    let level = match config.log.level {
        LogLevel::Error => tracing_subscriber::filter::LevelFilter::ERROR,
        LogLevel::Warn => tracing_subscriber::filter::LevelFilter::WARN,
        LogLevel::Info => tracing_subscriber::filter::LevelFilter::INFO,
        LogLevel::Debug => tracing_subscriber::filter::LevelFilter::DEBUG,
        LogLevel::Trace => tracing_subscriber::filter::LevelFilter::TRACE,
    };
    let format = match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::start(level, format, telemetry::Destination::StandardError);
    if let Err(error) = harden::harden() {
        tracing::warn!(%error, "the process could not be hardened against inspection");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("service")
        .build()
        .map_err(|error| StartError::machine("the service runtime", error))?;
    runtime.block_on(async {
        let running = start(config).await?;
        told_to_stop().await?;
        tracing::info!("stopping: running calls may end");
        running.stop().await;
        Ok(())
    })
}

async fn told_to_stop() -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| StartError::machine("the signal handler", error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
