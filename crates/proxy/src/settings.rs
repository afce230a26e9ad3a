//! What the data plane is told once, at start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::stdio::StdioRules;
use ipnet::IpNet;

use crate::upstream::{Resolver, SystemResolver};

/// Limits and names of the data plane. Bytes, counts and durations as their types say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL that clients know, without a trailing slash.
    pub public_url: String,
    /// Values of `Host` that are ours, lower-case, with port where it is not the scheme's own.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that browsers may send.
    pub allowed_origins: Vec<String>,
    /// Issuers named in the protected-resource metadata (RFC 9728 `authorization_servers`).
    pub authorization_servers: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed about the source address.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from trusted proxies begin with a PROXY protocol header (version 1 or 2).
    pub proxy_protocol: bool,
    /// The largest request body.
    pub request_body_bytes: usize,
    /// The largest answer that has to be held whole (lists), and the largest single SSE event.
    pub held_answer_bytes: usize,
    /// The largest head of a request.
    pub header_bytes: usize,
    /// How long a request body may take to arrive.
    pub request_body_time: Duration,
    /// How many requests may be open at once.
    pub concurrent_requests: usize,
    /// How many legacy sessions one actor may hold.
    pub sessions_per_actor: usize,
    /// How long a legacy session may rest.
    pub session_idle: Duration,
    /// How long a legacy session may live.
    pub session_lifetime: Duration,
    /// How long an event stream is silent until the caller gets a comment; zero for never.
    pub stream_heartbeat: Duration,
    /// How long the retry of a person who is about to connect an account waits for that, at most.
    pub connect_wait: Duration,
    /// How old the state may be in production environments.
    pub staleness_production: Duration,
    /// How old the state may be elsewhere.
    pub staleness_other: Duration,
    /// Whether the audit log is `durability: process`, which production bindings must except.
    pub process_durability: bool,
    /// Looks up the names of routes.
    pub resolver: Arc<dyn Resolver>,
    /// Servers that are processes.
    pub stdio: StdioSettings,
}

/// Servers that are processes: which may run, as whom, and how many. Allows none by default.
#[derive(Debug, Clone)]
pub struct StdioSettings {
    /// The commands that may be run.
    pub rules: StdioRules,
    /// The first of the users that processes run as, one each, and how many there are; absent means
    /// the gateway's own user.
    pub users: Option<(u32, u32)>,
    /// How many processes may run at once.
    pub processes: usize,
    /// How long a process may rest before it is ended.
    pub idle: Duration,
    /// Where the private directories of processes are made.
    pub directory: PathBuf,
    /// The program, with its first arguments, that sets limits and then becomes the server. Without
    /// one the server is started as it is, without limits.
    pub launcher: Vec<OsString>,
}

impl Default for StdioSettings {
    fn default() -> Self {
        Self {
            rules: StdioRules::default(),
            users: None,
            processes: 64,
            idle: Duration::from_secs(600),
            directory: std::env::temp_dir().join("mcp-gateway-stdio"),
            launcher: Vec::new(),
        }
    }
}

impl Settings {
    /// Defaults as in DESIGN, section 5, for a public URL.
    pub fn new(public_url: &str) -> Self {
        let authority =
            public_url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            allowed_hosts: vec![authority.to_ascii_lowercase()],
            allowed_origins: Vec::new(),
            authorization_servers: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            request_body_bytes: 4 << 20,
            held_answer_bytes: 16 << 20,
            header_bytes: 64 << 10,
            request_body_time: Duration::from_secs(30),
            concurrent_requests: 20_000,
            sessions_per_actor: 1_000,
            session_idle: Duration::from_secs(30 * 60),
            session_lifetime: Duration::from_secs(24 * 3600),
            stream_heartbeat: Duration::from_secs(25),
            connect_wait: Duration::from_secs(20),
            staleness_production: Duration::from_secs(5),
            staleness_other: Duration::from_secs(15),
            process_durability: true,
            stdio: StdioSettings::default(),
            resolver: Arc::new(SystemResolver),
        }
    }

    /// The URL of a server's door: the token's audience and the metadata's `resource`.
    pub fn resource(&self, environment: &str, server: &str) -> String {
        format!("{}/mcp/{environment}/{server}", self.public_url)
    }
}
