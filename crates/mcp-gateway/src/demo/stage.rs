//! Everything that the acts are played on: the directory, the issuer, two MCP servers, the gateway and
//! its operators.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tracing_subscriber::filter::LevelFilter;

use super::collected::Collected;
use super::failure::Failure;
use super::issuer::Issuer;
use super::key::Key;
use super::operator::Operator;
use super::story::Story;
use crate::app::{self, Running, telemetry};
use crate::config;
use crate::fixture::{AcceptList, Fixture, FixtureOptions};

/// The audience of operators' tokens.
const CONTROL_AUDIENCE: &str = "mcp-gateway-demo-control";

/// The keys of the story.
pub(super) struct Keys {
    /// The loose one.
    pub(super) loose: Key,
    /// The one that takes its place.
    pub(super) rotated: Key,
    /// Production's.
    pub(super) release: Key,
}

impl Keys {
    /// All of them.
    pub(super) fn all(&self) -> [&Key; 3] {
        [&self.loose, &self.rotated, &self.release]
    }
}

/// The agents' tokens, by their names in the story.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) triage: String,
    pub(super) report: String,
    pub(super) stray: String,
    pub(super) release: String,
}

/// The stage.
pub(super) struct Stage {
    directory: TempDir,
    pub(super) keys: Keys,
    pub(super) tokens: Tokens,
    pub(super) collected: Collected,
    /// The development server that demands a credential.
    pub(super) server: Fixture,
    /// Production's.
    pub(super) production: Fixture,
    /// Writes.
    pub(super) alice: Operator,
    /// Signs, and reads the evidence.
    pub(super) bob: Operator,
    pub(super) running: Running,
    // Ends with the stage.
    _issuer: Issuer,
}

impl Stage {
    /// Builds it.
    pub(super) async fn build() -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("mcp-gateway-demo-").tempdir()?;
        let log = private_file(&directory.path().join("gateway.log"))?;
        telemetry::start(LevelFilter::TRACE, telemetry::Format::Json, telemetry::Destination::File(log));
        let keys = Keys { loose: Key::fresh()?, rotated: Key::fresh()?, release: Key::fresh()? };
        let server = fixture(&keys.loose, &directory.path().join("server.log")).await?;
        let production = fixture(&keys.release, &directory.path().join("production-server.log")).await?;
        let issuer = Issuer::start().await?;
        let file = directory.path().join("gateway.yaml");
        std::fs::write(&file, configuration(free_port()?, &issuer.url))?;
        let config =
            config::load(&file).map_err(|problems| Failure::at("the demo's configuration", problems))?;
        let running = Box::pin(app::start(config));
        let running = running.await.map_err(|error| Failure::at("the gateway does not start", error))?;
        let control = format!("http://{}", running.control_address);
        let collected = Collected::default();
        let operator = |name, group| {
            let token = issuer.token(CONTROL_AUDIENCE, name, &[group])?;
            Operator::new(&control, &token, &collected)
        };
        let (alice, bob) = (operator("alice", "platform")?, operator("bob", "security")?);
        let tokens = Tokens::default();
        Ok(Self {
            directory,
            keys,
            tokens,
            collected,
            server,
            production,
            alice,
            bob,
            running,
            _issuer: issuer,
        })
    }

    /// The directory that everything is in.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The gateway's door for a server.
    pub(super) fn door(&self, environment: &str, server: &str) -> String {
        format!("http://{}/mcp/{environment}/{server}", self.running.data_address)
    }

    /// Says how to connect to what is left running.
    pub(super) fn keep(&self, story: &mut Story) -> Result<(), Failure> {
        let file = self.path("report-bot.token");
        let mut written = private_file(&file)?;
        std::io::Write::write_all(&mut written, format!("{}\n", self.tokens.report).as_bytes())?;
        let url = self.door("dev", "issues");
        story.aside("");
        story.aside("Everything is still running. Connect any MCP client:");
        story.aside(&format!("  URL        {url}"));
        story.aside(&format!("  token      in {} (agent report-bot, one hour)", file.display()));
        story.aside(&format!("  control    http://{}", self.running.control_address));
        story.aside(&format!("  files      {}", self.root().display()));
        story.aside("");
        story.aside(&format!(
            "  curl -s {url} -H \"Authorization: Bearer $(cat {})\" \\\n    \
             -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\\n    \
             -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\
             \"2025-11-25\",\"capabilities\":{{}},\"clientInfo\":{{\"name\":\"curl\",\"version\":\"1\"}}}}}}'",
            file.display()
        ));
        story.aside("");
        story.aside("Ctrl-C ends it and removes the files.");
        Ok(())
    }

    /// Ends everything and removes the directory.
    pub(super) async fn strike(self) {
        self.running.stop().await;
    }
}

async fn fixture(key: &Key, log: &Path) -> Result<Fixture, Failure> {
    let accept = AcceptList::default();
    accept.accept(key.sha256.clone());
    let options = FixtureOptions::loopback();
    let journal = options.journal.clone().also_to(log)?;
    Ok(Fixture::start(FixtureOptions { accept, journal, ..options }).await?)
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A port that was free a moment ago: the public URL has to be known before the gateway listens.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(port: u16, issuer: &str) -> String {
    format!(
        r#"listen: 127.0.0.1:{port}
public_url: http://127.0.0.1:{port}
control: {{ listen: "127.0.0.1:0" }}
state: sqlite://./state.db
audit: {{ directory: ./audit, durability: process, checkpoint_seconds: 1 }}
stores:
  local: {{ kind: sealed, path: ./sealed.db, key_file: ./sealed.key, environments: [dev] }}
  local-production:
    kind: sealed
    path: ./sealed-production.db
    key_file: ./sealed-production.key
    environments: [production]
    paths: [{{ prefix: issues/, owners: [support] }}]
operators:
  issuers:
    - issuer: "{issuer}"
      audience: {CONTROL_AUDIENCE}
      groups_claim: groups
      roles:
        - {{ role: admin, group: platform }}
        - {{ role: approver, group: security }}
        - {{ role: auditor, group: security }}
log: {{ level: trace, format: json }}
"#
    )
}
