//! The tasks around one process: its three pipes, its end, and what is left of it.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use super::child::{Child, Ends, Stop};
use super::launch::{PrivateDirectory, UserLease};
use super::table::{SETTLED, Table};
use super::words::Words;

/// How long a process may take to end after its input was closed.
const AFTER_CLOSE: Duration = Duration::from_secs(2);
/// How long it may take after it was asked to (`SIGTERM`).
const AFTER_TERM: Duration = Duration::from_secs(3);
/// How long what it wrote before its end may take to be read.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// Lines that are no messages, in a row, after which the process is beyond help.
const GARBAGE_LINES: u32 = 1_000;

/// Everything that lives as long as the process.
pub(super) struct Supervision {
    pub(super) child: Arc<Child>,
    pub(super) ends: Ends,
    pub(super) table: Arc<Table>,
    pub(super) words: Words,
    pub(super) line_limit: usize,
    pub(super) directory: PrivateDirectory,
    pub(super) user: Option<UserLease>,
}

/// Starts the process and leaves a task to look after it. Must run on a thread that lives as long as the
/// gateway: the process dies with the thread that started it.
///
/// # Errors
/// The system's answer.
pub(super) fn start(mut command: Command, supervision: Supervision) -> std::io::Result<()> {
    let mut process = command.spawn()?;
    // The command holds a copy of the credential.
    drop(command);
    let missing = || std::io::Error::other("a pipe is missing");
    let input = process.stdin.take().ok_or_else(missing)?;
    let output = process.stdout.take().ok_or_else(missing)?;
    let words = process.stderr.take().ok_or_else(missing)?;
    let group = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Supervision { child, ends, table, words: heard, line_limit, directory, user } = supervision;
    let Ends { input: lines, stop, gone } = ends;
    tokio::spawn(feed(input, lines, stop.clone()));
    let reading = tokio::spawn(read(output, Arc::clone(&child), line_limit));
    let hearing = tokio::spawn(heard.hear(BufReader::new(words)));
    tokio::spawn(async move {
        let status = wait(&mut process, stop.clone(), group).await;
        let by_itself = matches!(*stop.borrow(), Stop::Run | Stop::Spent);
        kill(group, Signal::KILL);
        // What the process wrote before it ended still belongs to its callers.
        let broken = tokio::time::timeout(LAST_OUTPUT, reading).await.ok().and_then(Result::ok).flatten();
        let last_words = tokio::time::timeout(LAST_OUTPUT, hearing).await.ok().and_then(Result::ok);
        if (by_itself || broken.is_some()) && child.started.elapsed() < SETTLED {
            table.failed(&child.holder(), tokio::time::Instant::now());
        }
        child.close(story(status, broken, &last_words.unwrap_or_default()));
        drop(directory);
        drop(user);
        // Nobody may be waiting.
        let _ = gone.send(true);
    });
    Ok(())
}

fn story(status: std::io::Result<ExitStatus>, broken: Option<&'static str>, last_words: &str) -> String {
    let status = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let broken = broken.map(|why| format!("{why}; ")).unwrap_or_default();
    let heard = if last_words.is_empty() { String::new() } else { format!("; it last said: {last_words}") };
    format!("{broken}the process ended: {status}{heard}")
}

/// Waits for the end, and brings it about where it is asked for.
async fn wait(
    process: &mut tokio::process::Child,
    mut stop: watch::Receiver<Stop>,
    group: Option<Pid>,
) -> std::io::Result<ExitStatus> {
    let asked = tokio::select! {
        status = process.wait() => return status,
        asked = stop.wait_for(|stop| *stop != Stop::Run) => asked.map(|stop| *stop).unwrap_or(Stop::Kill),
    };
    if asked != Stop::Kill {
        for (time, signal) in [(AFTER_CLOSE, Some(Signal::TERM)), (AFTER_TERM, None)] {
            tokio::select! {
                status = process.wait() => return status,
                () = tokio::time::sleep(time) => {}
                _ = stop.wait_for(|stop| *stop == Stop::Kill) => break,
            }
            if let Some(signal) = signal {
                kill(group, signal);
            }
        }
    }
    kill(group, Signal::KILL);
    process.wait().await
}

fn kill(group: Option<Pid>, signal: Signal) {
    // A group that is gone needs no signal.
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

/// Writes lines to the process; its input closes with the last of them, or when it is to end.
async fn feed(mut input: ChildStdin, mut lines: mpsc::Receiver<Bytes>, mut stop: watch::Receiver<Stop>) {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = stop.wait_for(|stop| *stop != Stop::Run) => None,
        };
        let Some(line) = line else { return };
        let write = async {
            input.write_all(&line).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        let written = tokio::select! {
            written = write => written,
            _ = stop.wait_for(|stop| *stop == Stop::Kill) => return,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Reads what the process writes. Says why, where it is ended for it.
async fn read(output: ChildStdout, child: Arc<Child>, limit: usize) -> Option<&'static str> {
    let mut output = BufReader::with_capacity(16 * 1024, output);
    let mut garbage = 0_u32;
    loop {
        match line(&mut output, limit).await {
            Line::Whole(line) if line.trim_ascii().is_empty() => {}
            Line::Whole(line) => match child.deliver(line).await {
                Ok(()) => garbage = 0,
                Err(_) => {
                    garbage += 1;
                    tracing::debug!(server = %child.standing.server, "a server's process wrote a line that is no message");
                }
            },
            Line::TooLong => {
                child.stop(Stop::Kill);
                return Some("it wrote a message that is larger than allowed");
            }
            // Nothing more can be answered.
            Line::End => {
                child.stop(Stop::Spent);
                return None;
            }
        }
        if garbage >= GARBAGE_LINES {
            child.stop(Stop::Kill);
            return Some("it wrote lines that are no messages");
        }
    }
}

enum Line {
    Whole(Bytes),
    TooLong,
    End,
}

/// One line without its end, at most `limit` bytes of it held.
async fn line(output: &mut BufReader<impl AsyncRead + Unpin>, limit: usize) -> Line {
    let mut held = BytesMut::new();
    loop {
        let Ok(chunk) = output.fill_buf().await else { return Line::End };
        if chunk.is_empty() {
            return Line::End;
        }
        let end = memchr::memchr(b'\n', chunk);
        let taken = end.unwrap_or(chunk.len());
        if held.len() + taken > limit {
            return Line::TooLong;
        }
        held.extend_from_slice(chunk.get(..taken).unwrap_or_default());
        output.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Line::Whole(held.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_at_their_ends_and_never_held_beyond_the_limit() {
        let text: &[u8] = b"one\n\ntwo";
        let mut reader = BufReader::with_capacity(2, text);
        assert!(matches!(line(&mut reader, 8).await, Line::Whole(line) if line == "one"));
        assert!(matches!(line(&mut reader, 8).await, Line::Whole(line) if line.is_empty()));
        assert!(matches!(line(&mut reader, 8).await, Line::End));
        let mut reader = BufReader::with_capacity(2, &b"123456789\n"[..]);
        assert!(matches!(line(&mut reader, 8).await, Line::TooLong));
    }
}
