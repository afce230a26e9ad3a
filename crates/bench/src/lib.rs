//! What the bench programs share. Development only; nothing here is shipped.

pub mod latency;
pub mod process;

use std::io::{self, Write};
use std::path::Path;

/// The path of the upstream's one door.
pub const UPSTREAM_PATH: &str = "/mcp";

/// What can end a bench program.
pub type Failure = Box<dyn std::error::Error>;

/// Tells the script that started us where we listen: one line on standard output.
///
/// # Errors
/// Nobody reads it any more.
pub fn announce(what: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}

/// The one line of a file, for example a token: never an argument, which everybody can read.
///
/// # Errors
/// The operating system's own.
pub fn read_line(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end().to_owned())
}
