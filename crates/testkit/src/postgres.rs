//! A real PostgreSQL server of one test: own data folder, free loopback port, password by file,
//! ended when the test ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a missing part fails the test")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PASSWORD: &str = "a-password-of-one-test";

/// A running server.
#[derive(Debug)]
pub struct PostgresServer {
    binaries: PathBuf,
    directory: TempDir,
    port: u16,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    pub fn start() -> Self {
        let binaries = binaries();
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { binaries, directory, port };
        fs::write(server.password_file(), format!("{PASSWORD}\n")).unwrap();
        if is_root() {
            let (user, group) = account();
            let owner = format!("{user}:{group}");
            let changed = run(Command::new("chown").args(["-R", &owner]).arg(server.directory.path()));
            assert!(changed.status.success(), "chown: {changed:?}");
        }
        let made = run(server
            .command("initdb")
            .args(["--username=gateway", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"])
            .arg("--pwfile")
            .arg(server.password_file())
            .arg("-D")
            .arg(server.data()));
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.resume();
        server
    }

    /// Starts the stopped server again, on the same port.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn resume(&self) {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {} -c unix_socket_directories='' -c fsync=off",
            self.port
        );
        let started = run(self.control("start").args(["-o", &options]).arg("-l").arg(self.log()));
        let log = || fs::read_to_string(self.log()).unwrap_or_default();
        assert!(started.status.success(), "pg_ctl start: {started:?}\n{}", log());
    }

    /// Stops the server as a crash would: without a shutdown, and without a word to its clients.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn crash(&self) {
        let stopped = run(self.control("stop").args(["-m", "immediate"]));
        assert!(stopped.status.success(), "pg_ctl stop: {stopped:?}");
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// Where the server refuses.
    pub fn create_database(&self, name: &str) {
        let made = run(self.command("createdb").env("PGPASSWORD", PASSWORD).args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "gateway",
            name,
        ]));
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// The database's URL, without the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://gateway@127.0.0.1:{}/{database}", self.port)
    }

    /// The database's URL with the password in it, for clients that know no better.
    pub fn literal_url(&self, database: &str) -> String {
        format!("postgres://gateway:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The file with the password.
    pub fn password_file(&self) -> PathBuf {
        self.directory.path().join("password")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// `pg_ctl`, waiting until the server has done as told.
    fn control(&self, verb: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.args([verb, "-w", "-s", "-t", "60", "-D"]).arg(self.data());
        command
    }

    /// One of PostgreSQL's programs, as a user that it is willing to run for.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let (user, group) = account();
            command.args([format!("--reuid={user}"), format!("--regid={group}")]);
            command.args(["--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.directory.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Already stopped is as good.
        let _ = run(self.control("stop").args(["-m", "immediate"]));
    }
}

/// Runs to the end. A started server inherits none of our pipes, which it would never close.
fn run(command: &mut Command) -> Output {
    if command.get_args().any(|argument| argument == "start") {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    let shown = format!("{:?}", command.get_program());
    command.output().unwrap_or_else(|error| panic!("{shown}: {error}"))
}

/// Where `initdb` is: Debian keeps it out of the path.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = versions.map(|version| version.path().join("bin"));
    let on_path = std::env::var_os("PATH");
    let on_path = on_path.iter().flat_map(std::env::split_paths);
    packaged
        .chain(on_path)
        .find(|directory| directory.join("initdb").exists() && directory.join("pg_ctl").exists())
        .expect("PostgreSQL is needed: `apt-get install postgresql`")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0).unwrap_or(false)
}

/// User and group id of the account that PostgreSQL's package made, or of the one every system has.
fn account() -> (String, String) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some((ids.next()?.to_owned(), ids.next()?.to_owned()))
    };
    find("postgres").or_else(|| find("nobody")).expect("root needs another account to run PostgreSQL as")
}
