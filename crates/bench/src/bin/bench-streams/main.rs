//! Opens many event streams at once, half of them `subscriptions/listen` of 2026-07-28, half GET
//! streams of 2025-11-25 with a session each, and checks and measures what holding them open takes.
//!
//! Prints one JSON object; ends with 1 where an event was lost, came late or twice, or a stream ended
//! early. What is measured stands in docs/performance.md, "Open streams".

mod board;
mod control;
mod fleet;
mod follow;
mod open;
mod report;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gateway_bench::{Failure, announce};

/// Holds streams open.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Where to: `http://127.0.0.1:PORT/path`. Streams are dealt out evenly.
    #[arg(long)]
    url: Vec<http::Uri>,
    /// File with bearer tokens, one a line, for the URL in the same place.
    #[arg(long)]
    token_file: Vec<PathBuf>,
    /// The upstream itself, which is told when to send.
    #[arg(long)]
    upstream: SocketAddr,
    /// How many streams.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// How many of them are flooded while their client does not read.
    #[arg(long, default_value_t = 32)]
    flooded: usize,
    /// Bytes that the upstream tries to send on each flooded stream.
    #[arg(long, default_value_t = 64 << 20)]
    flood_bytes: u64,
    /// How long the streams rest while CPU time is measured.
    #[arg(long, default_value_t = 10)]
    idle_seconds: u64,
    /// An event must be everywhere within this.
    #[arg(long, default_value_t = 20)]
    event_seconds: u64,
    /// The whole run must end within this.
    #[arg(long, default_value_t = 600)]
    max_seconds: u64,
    /// Processes whose CPU time and memory are read.
    #[arg(long)]
    pid: Vec<u32>,
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let limit = Duration::from_secs(arguments.max_seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = async { tokio::time::timeout(limit, run::run(&arguments)).await? };
    let report = tokio::task::LocalSet::new().block_on(&runtime, all)?;
    announce(&serde_json::to_string(&report)?)?;
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
