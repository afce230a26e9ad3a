//! Becomes a server's process: sets limits, takes the credential out of sight, and runs the program in
//! its own place. Started by the gateway only; before the program's first instruction.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use base64::Engine as _;
use clap::Args;
use gateway_core::secret::Secret;
use gateway_proxy::upstream::stdio::CREDENTIAL_VARIABLE;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

/// How the shell reports a program that cannot be run.
const CANNOT_RUN: u8 = 126;

#[derive(Args, Debug)]
pub(super) struct StdioChildArguments {
    /// Writable memory, MiB
    #[arg(long)]
    memory_mib: u64,
    /// Open files
    #[arg(long)]
    open_files: u64,
    /// Largest file written, MiB
    #[arg(long)]
    file_mib: u64,
    /// The variable that is to name the credential's file
    #[arg(long)]
    credential_file: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the program; returns only where that fails. Standard error is the gateway's to read.
pub(super) fn run(arguments: &StdioChildArguments) -> ExitCode {
    let mut printer = super::print::Printer::standard(super::print::Output::Table, true);
    let why = match prepare(arguments) {
        Ok((mut command, _file)) => command.exec().to_string(),
        Err(why) => why.to_string(),
    };
    printer.note(&format!("the server's process cannot be run: {why}"));
    ExitCode::from(CANNOT_RUN)
}

fn prepare(arguments: &StdioChildArguments) -> std::io::Result<(Command, Option<OwnedFd>)> {
    const MIB: u64 = 1024 * 1024;
    limit(Resource::Data, arguments.memory_mib.saturating_mul(MIB))?;
    limit(Resource::Nofile, arguments.open_files)?;
    limit(Resource::Fsize, arguments.file_mib.saturating_mul(MIB))?;
    limit(Resource::Core, 0)?;
    // Whatever happens to the gateway, what holds its credential does not outlive it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    let (program, rest) =
        arguments.command.split_first().ok_or_else(|| std::io::Error::other("no program is named"))?;
    let mut command = Command::new(program);
    command.args(rest).env_remove(CREDENTIAL_VARIABLE);
    let file = match &arguments.credential_file {
        None => None,
        Some(variable) => {
            let file = credential_file()?;
            command.env(variable, format!("/proc/self/fd/{}", file.as_raw_fd()));
            Some(file)
        }
    };
    Ok((command, file))
}

fn limit(resource: Resource, most: u64) -> std::io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Moves the credential from the environment into a file in memory, which has no name on any disk and
/// cannot be changed any more. It stays open over the change of program.
#[expect(clippy::disallowed_methods, reason = "the credential's way into the process")]
fn credential_file() -> std::io::Result<OwnedFd> {
    let missing = || std::io::Error::other("the credential is missing");
    let text = std::env::var_os(CREDENTIAL_VARIABLE).ok_or_else(missing)?;
    let value = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).map_err(|_| missing())?;
    let value = Secret::new(value);
    let file = memfd_create("credential", MemfdFlags::ALLOW_SEALING)?;
    let mut bytes = value.expose();
    while !bytes.is_empty() {
        let written = rustix::io::write(&file, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}
