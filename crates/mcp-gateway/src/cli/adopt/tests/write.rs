//! The whole way with a real gateway, a real server that demands the key, and files on the disk.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::keys::{Noise, key};
use super::play;
use crate::app::{self, Running};
use crate::cli::print::Output;
use crate::fixture::{AcceptList, Fixture, FixtureOptions, sha256_hex};

/// A gateway with an operator, a server behind it, and somebody's home directory.
struct House {
    runtime: Runtime,
    running: Option<Running>,
    server: Fixture,
    directory: TempDir,
    gateway: String,
    control: String,
    key: String,
}

impl House {
    fn build(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let key = key("base62", &mut Noise::new(seed));
        let accept = AcceptList::default();
        accept.accept(sha256_hex(key.as_bytes()));
        let options = FixtureOptions { accept, ..FixtureOptions::loopback() };
        let server = runtime.block_on(Fixture::start(options)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let gateway = format!("http://127.0.0.1:{port}");
        let file = directory.path().join("gateway.yaml");
        let text = format!(
            "listen: 127.0.0.1:{port}\npublic_url: {gateway}\ncontrol: {{ listen: \"127.0.0.1:0\" }}\n\
             state: sqlite://./state.db\naudit: {{ directory: ./audit, durability: process }}\n\
             stores:\n  local: {{ kind: sealed, path: ./sealed.db, key_file: ./sealed.key, environments: [dev] }}\n\
             operators: {{ bootstrap_token_file: ./bootstrap.token }}\n"
        );
        fs::write(&file, text).unwrap();
        let config = crate::config::load(&file).unwrap();
        let running = runtime.block_on(Box::pin(app::start(config))).unwrap();
        let control = format!("http://{}", running.control_address);
        let mut house = Self { runtime, running: Some(running), server, directory, gateway, control, key };
        house.settle();
        house
    }

    /// An operator, an environment and an agent.
    fn settle(&mut self) {
        let bootstrap = self.path("bootstrap.token");
        let login = ["login", "--bootstrap-token-file", text(&bootstrap), "--name", "alice"];
        assert_eq!(self.run(&login).0, 0);
        let manifests = self.path("base.yaml");
        let base = "kind: Environment\nname: dev\ntier: dev\n---\nkind: Agent\nname: triage-bot\nenvironments: [dev]\n\
                    owner: support\npurpose: sorts issues\nrisk_ceiling: write\nproofs: [agent_token]\n";
        fs::write(&manifests, base).unwrap();
        let (exit, _, error) = self.run(&["apply", "-f", text(&manifests)]);
        assert_eq!(exit, 0, "{error}");
        fs::create_dir_all(self.path("home/.cursor")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command with this operator at this gateway.
    fn run(&self, arguments: &[&str]) -> (u8, String, String) {
        let token = self.path("operator.token");
        play(&[arguments, &["--control", &self.control, "--token-file", text(&token)]].concat(), Output::Json)
    }

    fn adopt(&self, more: &[&str]) -> (u8, Value, String) {
        let (home, journal) = (self.path("home"), self.path("journal"));
        let adopt = ["adopt", text(&home), "--write", "--owner", "support", "--agent", "triage-bot"];
        let journal = ["--journal", text(&journal)];
        let (exit, out, error) = self.run(&[&adopt[..], &journal, more].concat());
        (exit, serde_json::from_str(&out).unwrap_or_default(), error)
    }

    /// A client's configuration, with comments and fields of its own.
    fn configure(&self, file: &str) -> String {
        let text = format!(
            "{{\n  // the tracker\n  \"mcpServers\": {{\n    \"issues\": {{\n      \"url\": \"{}\",\n      \
             \"headers\": {{\"Authorization\": \"Bearer {}\"}},\n      \"timeout\": 30,\n    }},\n  }},\n}}\n",
            self.server.url(),
            self.key
        );
        fs::write(self.path(file), &text).unwrap();
        fs::set_permissions(self.path(file), fs::Permissions::from_mode(0o640)).unwrap();
        text
    }

    /// Files below the directory that hold the key in clear text; the store's own are ciphertext.
    fn files_with_the_key(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if fs::read(&path).is_ok_and(|bytes| contains(&bytes, self.key.as_bytes())) {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_key_is_adopted_in_every_client_and_undone_but_for_the_value() {
    let house = House::build(21);
    let cursor = house.configure("home/.cursor/mcp.json");
    let claude = house.configure("home/.mcp.json");
    assert_eq!(house.files_with_the_key().len(), 2);
    let (exit, answer, error) = house.adopt(&["--gateway", &house.gateway]);
    assert_eq!(exit, 0, "{error} {answer}");
    assert!(!answer.to_string().contains(&house.key) && !error.contains(&house.key));
    assert_eq!(house.files_with_the_key(), Vec::<PathBuf>::new());
    let door = format!("{}/mcp/dev/issues", house.gateway);
    let reference = answer["adopted"][0]["reference"].as_str().unwrap().to_owned();
    for (file, before, variable) in [
        ("home/.cursor/mcp.json", &cursor, "${env:MCP_GATEWAY_TOKEN}"),
        ("home/.mcp.json", &claude, "${MCP_GATEWAY_TOKEN}"),
    ] {
        let wanted = before.replace(&house.server.url(), &door).replace(&house.key, variable);
        assert_eq!(fs::read_to_string(house.path(file)).unwrap(), wanted, "{file}");
        assert_eq!(fs::metadata(house.path(file)).unwrap().permissions().mode() & 0o777, 0o640);
    }
    let authorized = house.server.journal().since(0).iter().filter(|line| line.authorized).count();
    assert!(authorized >= 3, "the key worked before, and works through the gateway: {authorized}");
    let (exit, out, _) = house.run(&["binding", "get", "dev/issues-triage-bot"]);
    assert!(exit == 0 && out.contains(&reference), "{out}");

    let (id, journal) = (answer["id"].as_str().unwrap(), house.path("journal"));
    let undo = ["adopt", "undo", id, "--journal", text(&journal)];
    let (exit, out, error) = house.run(&undo);
    assert_eq!(exit, 0, "{error}{out}");
    for (file, before) in [("home/.cursor/mcp.json", &cursor), ("home/.mcp.json", &claude)] {
        let wanted = before.replace(&house.key, &reference);
        assert_eq!(fs::read_to_string(house.path(file)).unwrap(), wanted, "{file}");
    }
    assert_eq!(house.files_with_the_key(), Vec::<PathBuf>::new());
    assert_eq!(house.run(&undo).0, 1, "what was undone is not undone again");
}

#[test]
fn a_file_changes_only_for_what_was_proven() {
    let house = House::build(22);
    let before = house.configure("home/.cursor/mcp.json");
    // No gateway answers there: the value is stored, the objects stand, the file stays.
    let (exit, answer, error) = house.adopt(&["--gateway", "http://127.0.0.1:9"]);
    assert_eq!(exit, 1, "{error}");
    assert!(answer["left"].to_string().contains("the file stays as it is"), "{answer}");
    assert_eq!(fs::read_to_string(house.path("home/.cursor/mcp.json")).unwrap(), before);
    // The same again, with the right address: it goes on from there.
    let (exit, answer, error) = house.adopt(&["--gateway", &house.gateway]);
    assert_eq!(exit, 0, "{error} {answer}");
    // What somebody changes afterwards is theirs: undoing leaves it alone.
    let file = house.path("home/.cursor/mcp.json");
    let edited = fs::read_to_string(&file).unwrap().replace("30", "60");
    fs::write(&file, &edited).unwrap();
    let (id, journal) = (answer["id"].as_str().unwrap(), house.path("journal"));
    let (exit, out, _) = house.run(&["adopt", "undo", id, "--journal", text(&journal)]);
    assert!(exit == 1 && out.contains("changed since"), "{out}");
    assert_eq!(fs::read_to_string(&file).unwrap(), edited);
}

#[test]
fn a_dead_key_is_not_adopted() {
    let mut house = House::build(23);
    house.key = key("base62", &mut Noise::new(99));
    let before = house.configure("home/.cursor/mcp.json");
    let (exit, answer, error) = house.adopt(&["--gateway", &house.gateway]);
    assert!(exit == 1 && error.contains("nothing here can be adopted"), "{error}");
    assert!(answer["left"].to_string().contains("refuses the key"), "{answer}");
    assert_eq!(fs::read_to_string(house.path("home/.cursor/mcp.json")).unwrap(), before);
    let (_, out, _) = house.run(&["server", "list"]);
    assert!(!out.contains("issues"), "nothing was declared: {out}");
}

#[test]
fn an_unknown_adoption_is_not_undone() {
    for id in ["", "../x", "nothex", "00112233"] {
        let root = tempfile::tempdir().unwrap();
        let (exit, _, error) = play(&["adopt", "undo", id, "--journal", text(root.path())], Output::Table);
        assert_eq!(exit, 2, "{id}: {error}");
    }
}
