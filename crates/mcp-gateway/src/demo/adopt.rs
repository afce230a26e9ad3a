//! The smallest `adopt`: finds the loose keys in one client configuration of the usual shape
//! (`mcpServers`), and rewrites it to point at the gateway.
//!
//! ```json
//! {"mcpServers": {"issues": {"url": "https://…/mcp", "headers": {"Authorization": "Bearer KEY"}}}}
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use gateway_core::secret::Secret;
use serde_json::{Map, Value, json};
use url::Url;

/// A value shorter than this is taken for a word, not for a key.
const SHORTEST_KEY: usize = 16;

/// Words in the names of headers that carry keys.
const TELLING: [&str; 6] = ["auth", "key", "token", "secret", "credential", "password"];

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

/// Finds every loose key. A header that refers to a variable (`${NAME}`) holds none.
pub fn find(document: &Value) -> Vec<LooseKey> {
    let servers = document.get("mcpServers").and_then(Value::as_object);
    let mut found = Vec::new();
    for (server, entry) in servers.into_iter().flatten() {
        let url = entry.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        let headers = entry.get("headers").and_then(Value::as_object);
        let (Some(url), Some(headers)) = (url, headers) else { continue };
        for (header, text) in headers {
            let text = text.as_str().unwrap_or_default();
            let Some((before, value)) = loose(header, text) else { continue };
            found.push(LooseKey {
                server: server.clone(),
                url: url.clone(),
                header: header.clone(),
                format: format!("{before}{{secret}}"),
                value: Secret::copy_from(value.as_bytes()),
            });
        }
    }
    found
}

/// Splits a header's text into a scheme and a key, if there is a key.
fn loose<'t>(header: &str, text: &'t str) -> Option<(&'t str, &'t str)> {
    let name = header.to_ascii_lowercase();
    let telling = TELLING.iter().any(|word| name.contains(word));
    let key_at = text.find(' ').map_or(0, |space| space.saturating_add(1));
    let (before, value) = text.split_at_checked(key_at)?;
    (telling && value.len() >= SHORTEST_KEY && !value.contains("${")).then_some((before, value))
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
