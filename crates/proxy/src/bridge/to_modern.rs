//! A message of a client of the older generation, as a modern server understands it.

use bytes::Bytes;

use super::edit::{Edits, Members, Path, without};
use super::level::Level;
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::version::{Generation, ProtocolVersion};

/// What a client of the older generation said of itself in its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The version that the session speaks: the proposed one where it is served, else the newest.
    pub version: ProtocolVersion,
    /// Its capabilities that can be served, as JSON text.
    capabilities: Box<str>,
    /// Its name and version, as JSON text.
    info: Option<Box<str>>,
}

impl Default for Client {
    /// A client that says nothing of itself: the gateway's own questions.
    fn default() -> Self {
        Self { version: ProtocolVersion::V20251125, capabilities: "{}".into(), info: None }
    }
}

/// Capabilities by which the server would ask the client, or that both generations spell differently.
const CLIENT_ONLY: [Path; 5] = [
    &["sampling"],
    &["elicitation"],
    &["roots"],
    &["tasks"],
    &["extensions", "io.modelcontextprotocol/tasks"],
];

/// Members of `_meta` that the gateway sets itself.
const OWN: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];

impl Client {
    /// Reads the handshake.
    ///
    /// # Errors
    /// The body is not acceptable JSON.
    pub fn read(initialize: &Bytes) -> Result<Self, JsonError> {
        let (mut version, mut capabilities, mut info) = (None, None, None);
        let mut scanner = Scanner::new(initialize)?;
        scanner.object(|scanner, key| match key {
            "params" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| match key {
                "protocolVersion" => {
                    scanner.text().map(|text| version = text.as_deref().and_then(ProtocolVersion::parse))
                }
                "capabilities" if scanner.peek()? == Kind::Object => {
                    scanner.raw().map(|raw| capabilities = Some(raw))
                }
                "clientInfo" if scanner.peek()? == Kind::Object => scanner.raw().map(|raw| info = Some(raw)),
                _ => scanner.skip(),
            }),
            _ => scanner.skip(),
        })?;
        scanner.finish()?;
        let version = version.filter(|version| version.generation() == Generation::Legacy);
        Ok(Self {
            version: version.unwrap_or(ProtocolVersion::V20251125),
            capabilities: without(capabilities.unwrap_or("{}"), &CLIENT_ONLY)?.into(),
            info: info.map(Box::from),
        })
    }

    /// What each request says of the client, as members of `_meta`.
    fn metadata(&self, level: Option<Level>) -> String {
        let version = ProtocolVersion::V20260728;
        let mut text = format!(
            r#""io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{}"#,
            self.capabilities
        );
        if let Some(info) = &self.info {
            text.push_str(r#","io.modelcontextprotocol/clientInfo":"#);
            text.push_str(info);
        }
        if let Some(level) = level {
            text.push_str(&format!(r#","io.modelcontextprotocol/logLevel":"{}""#, level.as_str()));
        }
        text
    }
}

/// A message translated.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    /// The message to send.
    pub body: Bytes,
    /// Whether the client asks for a task of 2025-11-25 in place of the result.
    pub wants_task: bool,
}

/// Adds the metadata that every modern request carries.
///
/// # Errors
/// The body is not acceptable JSON, which its parser has ruled out before.
pub fn message(body: &Bytes, client: &Client, level: Option<Level>) -> Result<Translated, JsonError> {
    let metadata = client.metadata(level);
    let mut edits = Edits::default();
    let (mut has_params, mut wants_task) = (false, false);
    let mut scanner = Scanner::new(body)?;
    let mut members = Members::begin(&mut scanner);
    scanner.object(|scanner, key| {
        if key == "params" && scanner.peek()? == Kind::Object {
            has_params = true;
            wants_task = add_to_params(scanner, &metadata, &mut edits)?;
            members.passed(scanner, true);
        } else {
            scanner.skip()?;
            // `null` for "none": in its place comes an object.
            members.passed(scanner, key != "params");
        }
        Ok::<(), JsonError>(())
    })?;
    scanner.finish()?;
    let added = if has_params { String::new() } else { format!(r#""params":{{"_meta":{{{metadata}}}}}"#) };
    members.end(&added, &mut edits);
    Ok(Translated { body: edits.apply(body), wants_task })
}

/// Returns whether a task is asked for.
fn add_to_params(scanner: &mut Scanner<'_>, metadata: &str, edits: &mut Edits) -> Result<bool, JsonError> {
    let (mut has_meta, mut wants_task) = (false, false);
    let mut params = Members::begin(scanner);
    scanner.object(|scanner, key| {
        let mut keep = true;
        match key {
            "_meta" if scanner.peek()? == Kind::Object => {
                has_meta = true;
                let mut meta = Members::begin(scanner);
                scanner.object(|scanner, key| {
                    scanner.skip()?;
                    meta.passed(scanner, !OWN.contains(&key));
                    Ok::<(), JsonError>(())
                })?;
                meta.end(metadata, edits);
            }
            "_meta" => {
                scanner.skip()?;
                keep = false;
            }
            "task" => {
                wants_task = scanner.peek()? == Kind::Object;
                scanner.skip()?;
            }
            _ => scanner.skip()?,
        }
        params.passed(scanner, keep);
        Ok::<(), JsonError>(())
    })?;
    let added = if has_meta { String::new() } else { format!(r#""_meta":{{{metadata}}}"#) };
    params.end(&added, edits);
    Ok(wants_task)
}

#[cfg(test)]
mod tests;
