//! The log: structured, to standard error, with third parties capped below `trace`: their trace lines
//! may hold what they send.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the log goes.
#[derive(Debug)]
pub enum Destination {
    /// Standard error.
    StandardError,
    /// A file.
    File(std::fs::File),
}

/// Starts the log; later calls in the same process change nothing.
pub fn start(level: LevelFilter, format: Format, destination: Destination) {
    // Libraries are told to keep their wire dumps to themselves, whatever level is asked for.
    let others = level.min(LevelFilter::DEBUG);
    let ours = ["mcp_gateway", "gateway_core", "gateway_adapters", "gateway_proxy", "gateway_control"];
    let targets = Targets::new()
        .with_default(others.min(LevelFilter::INFO))
        .with_targets(ours.map(|name| (name, level)));
    let colour = std::io::stderr().is_terminal() && matches!(destination, Destination::StandardError);
    let started = match (format, destination) {
        (Format::Text, Destination::StandardError) => {
            let layer = fmt::layer().with_ansi(colour).with_writer(std::io::stderr);
            tracing_subscriber::registry().with(layer.with_filter(targets)).try_init()
        }
        (Format::Json, Destination::StandardError) => {
            let layer = fmt::layer().json().with_writer(std::io::stderr);
            tracing_subscriber::registry().with(layer.with_filter(targets)).try_init()
        }
        (_, Destination::File(file)) => {
            let layer = fmt::layer().json().with_writer(Mutex::new(file));
            tracing_subscriber::registry().with(layer.with_filter(targets)).try_init()
        }
    };
    drop(started);
}
