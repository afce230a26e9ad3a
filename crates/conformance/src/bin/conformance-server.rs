//! The upstream of the conformance runs; prints `{"ready":URL}` once it listens.

use std::process::ExitCode;

use clap::Parser as _;
use gateway_conformance::server::{Options, serve};

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]
async fn main() -> ExitCode {
    let ready = |url: &str| println!("{}", serde_json::json!({ "ready": url }));
    match serve(Options::parse(), ready).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-server: {error}");
            ExitCode::FAILURE
        }
    }
}
