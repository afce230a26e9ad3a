//! The person's own browser.

use std::io;
use std::process::{Command, Stdio};

use url::Url;

#[cfg(target_os = "macos")]
const OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

/// Opens it at this address. The program gets none of our streams: standard output belongs to the client.
///
/// # Errors
/// There is no such program.
pub(super) fn open(url: &Url) -> io::Result<()> {
    let mut child = Command::new(OPENER)
        .arg(url.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // It may stay for as long as the browser does; somebody has to hear of its end.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}
