//! One run of the program: its input, its output up to a limit, and the end of whatever it started.

use std::convert::Infallible;
use std::future::pending;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use gateway_core::ports::{StoreError, StoreErrorKind};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use zeroize::Zeroizing;

use crate::https::append;

/// How long the error output of a program that failed is read on.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What is left of a run.
pub(super) struct Finished {
    /// What it wrote to its output.
    pub(super) stdout: Zeroizing<Vec<u8>>,
    /// How much it wrote to its error output; nobody keeps what.
    pub(super) stderr_bytes: u64,
    /// How it ended.
    pub(super) status: ExitStatus,
}

/// The process group of a run. Everything in it is killed when the run is over, however it ends.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        Self(number.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs the command. Dropping the future ends the process and what it started.
pub(super) async fn run(command: Command, input: &[u8], limit: usize) -> Result<Finished, StoreError> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let unavailable = |what: &str, error: &std::io::Error| {
        StoreError::new(StoreErrorKind::Unavailable, format!("{what}: {error}"))
    };
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| unavailable("the program does not start", &error))?;
    // Declared after the child and so dropped before it: what is cut off dies as a group.
    let _group = Group::of(&child);
    let (Some(stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(StoreError::new(StoreErrorKind::Unavailable, "the program has no pipes"));
    };
    let mut stderr_bytes = 0_u64;
    let talk = async {
        let ((), stdout) = tokio::join!(tell(stdin, input), read_whole(stdout, limit));
        let stdout = stdout?;
        let status = child.wait().await;
        let status = status.map_err(|error| unavailable("the program's end is not known", &error))?;
        Ok::<_, StoreError>((stdout, status))
    };
    let talked = tokio::select! {
        talked = talk => talked,
        never = async { count(&mut stderr, &mut stderr_bytes).await; pending::<Infallible>().await } => match never {},
    };
    let (stdout, status) = talked?;
    if !status.success() {
        // Its last words are in the pipe; what it started may hold that open for ever.
        let _ = tokio::time::timeout(LAST_WORDS, count(&mut stderr, &mut stderr_bytes)).await;
    }
    Ok(Finished { stdout, stderr_bytes, status })
}

/// Writes the request and closes the input. A program need not read it: what it answers counts.
async fn tell(mut stdin: ChildStdin, input: &[u8]) {
    let _unread = stdin.write_all(input).await;
}

async fn read_whole(mut stdout: ChildStdout, limit: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut whole = Zeroizing::new(Vec::with_capacity(4096));
    let mut chunk = Zeroizing::new(vec![0_u8; 4096]);
    loop {
        let read = stdout.read(chunk.as_mut_slice()).await.map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("the program's output broke: {error}"))
        })?;
        if read == 0 {
            return Ok(whole);
        }
        if whole.len().saturating_add(read) > limit {
            let inside = format!("the program's answer is longer than {limit} bytes");
            return Err(StoreError::new(StoreErrorKind::Malformed, inside));
        }
        append(&mut whole, chunk.get(..read).unwrap_or_default());
    }
}

/// Takes what the program says on its error output, so that it never waits for a reader, and forgets it.
async fn count(stderr: &mut ChildStderr, bytes: &mut u64) {
    let mut chunk = Zeroizing::new(vec![0_u8; 4096]);
    while let Ok(read) = stderr.read(chunk.as_mut_slice()).await {
        if read == 0 {
            break;
        }
        *bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}
