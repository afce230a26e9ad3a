//! The smallest `adopt`: finds the loose keys in one client configuration as the command does, and
//! rewrites it to point at the gateway.
//!
//! ```json
//! {"mcpServers": {"issues": {"url": "https://…/mcp", "headers": {"Authorization": "Bearer KEY"}}}}
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use gateway_adopt::{Finding, Scanned, Slot, Way, scan};
use gateway_core::secret::Secret;
use serde_json::{Map, Value, json};
use url::Url;

/// A key found in a client's configuration.
pub struct LooseKey {
    /// The name of the entry under `mcpServers`.
    pub server: String,
    /// The server's URL.
    pub url: Url,
    /// The header that carries the key.
    pub header: String,
    /// The text around the key, with `{secret}` in its place.
    pub format: String,
    /// The key.
    pub value: Secret,
}

impl fmt::Debug for LooseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LooseKey(`{}` of `{}`)", self.header, self.server)
    }
}

/// Finds every loose key in a header of a server, as `mcp-gateway adopt` does.
#[must_use]
pub fn find(file: &str, text: &str) -> Vec<LooseKey> {
    let Scanned { findings, servers, .. } = scan(file, text.as_bytes());
    let loose = |finding: Finding| {
        let server = servers.get(finding.place.server?)?;
        let (Slot::Header { name, before }, Way::Http { url: Some(url), .. }) =
            (finding.place.slot, &server.way)
        else {
            return None;
        };
        Some(LooseKey {
            server: server.name.clone(),
            url: url.clone(),
            header: name,
            format: format!("{before}{{secret}}"),
            value: finding.secret,
        })
    };
    findings.into_iter().filter_map(loose).collect()
}

/// Points one server of the configuration at the gateway. The agent's own token comes from its
/// environment; the configuration holds no secret any more.
pub fn rewrite(document: &mut Value, server: &str, door: &str) {
    let entry = document.pointer_mut("/mcpServers").and_then(|servers| servers.get_mut(server));
    if let Some(entry) = entry.and_then(Value::as_object_mut) {
        entry.insert("url".to_owned(), json!(door));
        entry.insert("headers".to_owned(), json!({"Authorization": "Bearer ${MCP_GATEWAY_TOKEN}"}));
    }
}

/// The configuration as it was, with the reference in the place of the key: good enough to go back to,
/// and nothing to steal.
#[must_use]
pub fn backup(document: &Value, key: &LooseKey, reference: &str) -> Value {
    let mut copy = document.clone();
    let headers = copy
        .pointer_mut("/mcpServers")
        .and_then(|servers| servers.get_mut(&key.server))
        .and_then(|entry| entry.get_mut("headers"))
        .and_then(Value::as_object_mut);
    headers.map(|headers: &mut Map<String, Value>| {
        headers.insert(
            key.header.clone(),
            json!(key.format.replace("{secret}", &format!("moved to {reference}"))),
        )
    });
    copy
}

/// Writes a document whole or not at all.
///
/// # Errors
/// The disk refuses.
pub fn write(path: &Path, document: &Value) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, serde_json::to_vec_pretty(document)?)?;
    std::fs::rename(beside, path)
}
