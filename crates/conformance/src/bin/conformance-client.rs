//! The client of the conformance runs; ends with 1 where the visit failed.

use std::process::ExitCode;

use clap::Parser as _;
use gateway_conformance::client::{Options, visit};

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command speaks to its caller")]
async fn main() -> ExitCode {
    match visit(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-client: {error}");
            ExitCode::FAILURE
        }
    }
}
