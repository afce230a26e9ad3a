//! The Rust SDK's client as the matrix's command: prints what it was given, as the other clients do.

use std::process::ExitCode;

use clap::Parser as _;
use gateway_conformance::matrix::{Options, run};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command speaks to its caller")]
async fn main() -> ExitCode {
    let outcome = run(Options::parse()).await;
    println!("{}", serde_json::to_string(&outcome).unwrap_or_default());
    if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
