//! `mcp-gateway demo`: the whole promise in one command, against a real MCP server that demands a
//! credential and with real MCP clients of both generations. No configuration, no account, loopback
//! only, a directory of its own that is removed at the end.
//!
//! Each act says what it does, does it, and takes its verdict from an outside party wherever there is
//! one: the server's own log, the agent's own transcript, the files on the disk.

mod acts;
pub mod adopt;
mod agent;
mod call;
mod collected;
mod failure;
mod issuer;
mod key;
mod manifests;
mod operator;
mod search;
mod stage;
mod story;
mod traffic;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use failure::Failure;
use stage::Stage;
use story::{Manner, Story};

/// How the demo is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoOptions {
    /// Print one JSON object in place of the story.
    pub output_json: bool,
    /// Leave everything running at the end, and say how to connect a client.
    pub keep: bool,
}

/// Plays every act; succeeds only if each of them held. Builds a runtime of its own, on a thread of
/// its own, so that it can be called from anywhere.
pub fn run(options: DemoOptions) -> ExitCode {
    let played = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(Box::pin(play(options)))
    });
    match played.join() {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(failure)) => complain(&failure),
        Err(_) => complain(&Failure::new("the demo broke off")),
    }
}

#[expect(clippy::print_stderr, reason = "a command speaks to its caller")]
fn complain(failure: &Failure) -> ExitCode {
    eprintln!("demo: {failure}");
    ExitCode::FAILURE
}

async fn play(options: DemoOptions) -> Result<bool, Failure> {
    let manner = if options.output_json {
        Manner::Silent
    } else if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
    {
        Manner::Coloured
    } else {
        Manner::Plain
    };
    let mut story = Story::new(manner);
    story.open();
    let mut stage = Box::pin(Stage::build()).await?;
    tokio::select! {
        () = Box::pin(acts::play(&mut stage, &mut story)) => {}
        // Dropping the stage removes the directory.
        () = interrupted() => return Err(Failure::new("interrupted")),
    }
    let ok = story.close();
    if options.output_json {
        story.print_json();
    }
    if options.keep {
        stage.keep(&mut story)?;
        interrupted().await;
    }
    stage.strike().await;
    Ok(ok)
}

/// Ends when somebody ends the demo.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[cfg(test)]
mod tests;
