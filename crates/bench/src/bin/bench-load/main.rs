//! A closed-loop load generator over HTTP/1.1 keep-alive connections. Every answer is checked: status,
//! id and echoed text. Prints one JSON object; ends with 1 where any call failed.

mod call;
mod figures;
mod phase;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gateway_bench::process::Usage;
use gateway_bench::{Failure, announce, read_line};
use tokio::time::Instant;

use call::Template;
use figures::Report;
use phase::Clients;

/// Sends modern `tools/call` messages as fast as they are answered.
#[derive(Parser)]
struct Arguments {
    /// Where to: `http://127.0.0.1:PORT/path`.
    #[arg(long)]
    url: http::Uri,
    /// File with the bearer token.
    #[arg(long)]
    token_file: PathBuf,
    /// How many connections, each with one call under way.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How many calls are measured, in all.
    #[arg(long)]
    calls: u64,
    /// How many calls go before, unmeasured but checked.
    #[arg(long, default_value_t = 0)]
    warmup: u64,
    /// No call begins later than this.
    #[arg(long, default_value_t = 60)]
    max_seconds: u64,
    /// Processes whose CPU time and memory are read before and after.
    #[arg(long)]
    pid: Vec<u32>,
}

async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let token = read_line(&arguments.token_file)?;
    let template = Template::new(&arguments.url, &token)?;
    let until = Instant::now() + Duration::from_secs(arguments.max_seconds);
    let mut clients = Clients::connect(&arguments.url, arguments.connections, template).await?;
    let warm = clients.phase(arguments.warmup, until).await;
    let before = Usage::of(&arguments.pid)?;
    let start = Instant::now();
    let measured = clients.phase(arguments.calls, until).await;
    let elapsed = start.elapsed();
    let after = Usage::of(&arguments.pid)?;
    let report = Report::new(arguments.connections, measured, elapsed, &before, &after)
        .with_earlier_failures(warm.failures, warm.first_failure);
    announce(&serde_json::to_string(&report)?)?;
    Ok(report.failures == 0 && report.calls == arguments.calls)
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let limit = Duration::from_secs(arguments.max_seconds + 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = async { tokio::time::timeout(limit, run(arguments)).await? };
    let good = tokio::task::LocalSet::new().block_on(&runtime, all)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
