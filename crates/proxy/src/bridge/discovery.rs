//! The handshake of one generation, told in the words of the other.

use bytes::Bytes;
use gateway_core::id::ServerName;

use super::edit::{Edits, Members, Path, without};
use crate::mcp::json::{JsonError, Kind, Scanner};
use crate::mcp::message::RawId;
use crate::mcp::version::ProtocolVersion;

/// Capabilities of a server that no client of the other generation can be given: news need a stream of
/// the session or a subscription, tasks are another thing in each.
const UNSERVED: [Path; 4] = [
    &["*", "listChanged"],
    &["resources", "subscribe"],
    &["tasks"],
    &["extensions", "io.modelcontextprotocol/tasks"],
];

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// What a handshake's answer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `protocolVersion`, of `initialize`.
    pub version: Option<Box<str>>,
    /// `supportedVersions`, of `server/discover`.
    pub supported: Vec<Box<str>>,
    /// Whether there is a result at all.
    pub is_result: bool,
    /// Whether the server sends log messages.
    pub logs: bool,
    /// `serverInfo`, as JSON text.
    info: Option<Box<str>>,
}

impl Facts {
    /// Reads the answer to `initialize` or `server/discover`.
    ///
    /// # Errors
    /// The answer is not acceptable JSON, or no object.
    pub fn read(answer: &[u8]) -> Result<Self, JsonError> {
        let mut facts = Self::default();
        let mut scanner = Scanner::new(answer)?;
        scanner.object(|scanner, key| match key {
            "result" if scanner.peek()? == Kind::Object => facts.read_result(scanner),
            _ => scanner.skip(),
        })?;
        scanner.finish()?;
        Ok(facts)
    }

    fn read_result(&mut self, scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
        self.is_result = true;
        scanner.object(|scanner, key| match key {
            "protocolVersion" => scanner.text().map(|text| self.version = text.map(Box::from)),
            "supportedVersions" if scanner.peek()? == Kind::Array => scanner.array(|scanner| {
                let text = scanner.text()?;
                self.supported.extend(text.map(Box::from));
                Ok::<(), JsonError>(())
            }),
            "serverInfo" => scanner.raw().map(|raw| self.info = Some(raw.into())),
            "capabilities" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| {
                self.logs |= key == "logging";
                scanner.skip()
            }),
            "_meta" if scanner.peek()? == Kind::Object => scanner.object(|scanner, key| {
                if key == SERVER_INFO {
                    scanner.raw().map(|raw| self.info = Some(raw.into()))
                } else {
                    scanner.skip()
                }
            }),
            _ => scanner.skip(),
        })
    }
}

/// The answer to `server/discover`, made from the answer to `initialize`.
///
/// # Errors
/// The answer is not acceptable JSON.
pub fn discover(initialized: &Bytes, id: &RawId, agreed: &str) -> Result<Bytes, JsonError> {
    let facts = Facts::read(initialized)?;
    let versions = format!(r#"["{}","{agreed}"]"#, ProtocolVersion::V20260728);
    let info = facts.info.map(|info| format!("\"{SERVER_INFO}\":{info}"));
    let added =
        format!(r#""resultType":"complete","supportedVersions":{versions},"ttlMs":0,"cacheScope":"private""#);
    let dropped = ["protocolVersion", "serverInfo", "resultType", "supportedVersions", "ttlMs", "cacheScope"];
    retell(initialized, id, &added, &dropped, info.as_deref())
}

/// The answer to `initialize`, made from the answer to `server/discover`.
///
/// # Errors
/// The answer is not acceptable JSON.
pub fn initialize(
    discovered: &Bytes,
    id: &RawId,
    version: ProtocolVersion,
    server: &ServerName,
) -> Result<Bytes, JsonError> {
    let facts = Facts::read(discovered)?;
    let info =
        facts.info.map_or_else(|| format!(r#"{{"name":"{server}","version":"unknown"}}"#), String::from);
    let added = format!(r#""protocolVersion":"{version}","serverInfo":{info}"#);
    retell(discovered, id, &added, &["protocolVersion", "serverInfo", "supportedVersions"], None)
}

/// The same answer with another id, without some members of its result, with others added, and with
/// the capabilities that can be served. `meta` is added to `_meta`.
fn retell(
    answer: &Bytes,
    id: &RawId,
    added: &str,
    dropped: &[&str],
    meta: Option<&str>,
) -> Result<Bytes, JsonError> {
    let mut edits = Edits::default();
    let mut scanner = Scanner::new(answer)?;
    scanner.object(|scanner, key| match key {
        "id" => {
            scanner.skip_space();
            let start = scanner.offset();
            scanner.skip()?;
            edits.replace(start..scanner.offset(), id.as_json().to_owned());
            Ok(())
        }
        "result" if scanner.peek()? == Kind::Object => {
            retell_result(scanner, added, dropped, meta, &mut edits)
        }
        _ => scanner.skip(),
    })?;
    scanner.finish()?;
    Ok(edits.apply(answer))
}

fn retell_result(
    scanner: &mut Scanner<'_>,
    added: &str,
    dropped: &[&str],
    meta: Option<&str>,
    edits: &mut Edits,
) -> Result<(), JsonError> {
    let (mut has_meta, mut has_capabilities) = (false, false);
    let mut members = Members::begin(scanner);
    scanner.object(|scanner, key| {
        match key {
            "capabilities" if scanner.peek()? == Kind::Object => {
                has_capabilities = true;
                scanner.skip_space();
                let start = scanner.offset();
                let served = without(scanner.raw()?, &UNSERVED)?;
                edits.replace(start..scanner.offset(), served);
            }
            "_meta" if scanner.peek()? == Kind::Object => {
                has_meta = true;
                let mut inner = Members::begin(scanner);
                scanner.object(|scanner, key| {
                    scanner.skip()?;
                    inner.passed(scanner, meta.is_none() || key != SERVER_INFO);
                    Ok::<(), JsonError>(())
                })?;
                inner.end(meta.unwrap_or_default(), edits);
            }
            _ => scanner.skip()?,
        }
        members.passed(scanner, !dropped.contains(&key));
        Ok::<(), JsonError>(())
    })?;
    let mut added = added.to_owned();
    if !has_capabilities {
        added.push_str(r#","capabilities":{}"#);
    }
    if let (Some(meta), false) = (meta, has_meta) {
        added.push_str(&format!(r#","_meta":{{{meta}}}"#));
    }
    members.end(&added, edits);
    Ok(())
}

#[cfg(test)]
mod tests;
