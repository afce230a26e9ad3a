//! `mcp-gateway`: parses, dispatches, ends.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_gateway::cli::run(std::env::args_os())
}
