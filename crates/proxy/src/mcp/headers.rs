//! Which generation a POST belongs to, and whether its headers tell the same story as its body
//! (2026-07-28, Streamable HTTP, "Request Metadata" and "Server Validation").
//!
//! Policy is always decided on the body; the comparison makes sure that nobody between us and the
//! client, or between us and the server, was told something else. `Mcp-Param-*` mirror arguments
//! by a schema that only the upstream knows: they are forwarded, and the upstream compares them.

use base64::Engine as _;
use http::HeaderMap;

use super::message::{Invocation, Message};
use super::method::MethodKind;
use super::version::{Generation, ProtocolVersion};

/// Header: the protocol revision.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// Header: the method, as in the body.
pub const METHOD: &str = "mcp-method";
/// Header: the name, URI or task, as in the body.
pub const NAME: &str = "mcp-name";

/// What a POST speaks, once headers and body were found to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Modern or legacy.
    pub generation: Generation,
    /// The revision; for `initialize` none is agreed yet, and this is `None`.
    pub version: Option<ProtocolVersion>,
}

/// Why headers and body are refused. All answer with HTTP status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// A required header is missing.
    #[error("header mismatch: {0} header is required")]
    Missing(&'static str),
    /// A header is there twice, or holds bytes that are not allowed.
    #[error("header mismatch: {0} header is repeated or malformed")]
    Malformed(&'static str),
    /// A header says something else than the body.
    #[error("header mismatch: {0} header does not match the body")]
    Mismatch(&'static str),
    /// `_meta` lacks a required member.
    #[error("invalid params: `_meta` is missing the required member `io.modelcontextprotocol/{0}`")]
    Metadata(&'static str),
    /// The revision is not served.
    #[error("unsupported protocol version")]
    Version {
        /// What was asked for, shortened to 64 characters.
        requested: Box<str>,
    },
    /// A modern client may not send responses.
    #[error("a client sends no JSON-RPC responses in this protocol version")]
    Response,
}

impl HeaderFault {
    /// The JSON-RPC error code.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Missing(_) | Self::Malformed(_) | Self::Mismatch(_) => -32020,
            Self::Metadata(_) => -32602,
            Self::Version { .. } => -32022,
            Self::Response => -32600,
        }
    }

    /// The `data` member of the error, where the protocol defines one.
    #[must_use]
    pub fn data(&self) -> Option<serde_json::Value> {
        let Self::Version { requested } = self else { return None };
        let supported = ProtocolVersion::SUPPORTED.map(ProtocolVersion::as_str);
        Some(serde_json::json!({ "supported": supported, "requested": requested }))
    }

    fn version(requested: &str) -> Self {
        Self::Version { requested: requested.chars().take(64).collect() }
    }
}

/// Decides the generation of one POST and compares headers with the body.
///
/// # Errors
/// [`HeaderFault`] where a modern request is incomplete or contradicts itself, or where the
/// revision is not served.
pub fn validate(headers: &HeaderMap, message: &Message) -> Result<Dialect, HeaderFault> {
    let stated = single(headers, PROTOCOL_VERSION)?;
    let Some(call) = message.invocation() else {
        let dialect = by_header(stated)?;
        let modern = dialect.generation == Generation::Modern;
        return if modern { Err(HeaderFault::Response) } else { Ok(dialect) };
    };
    // The handshake exists in the legacy generation only, and its headers are the upstream's to judge. One that
    // states a modern revision in its metadata is a modern request for a method that is gone.
    if call.kind == MethodKind::Initialize && !call.params.is_modern() {
        return Ok(Dialect { generation: Generation::Legacy, version: None });
    }
    let is_request = matches!(message, Message::Request { .. });
    let dialect = match call.params.protocol_version.as_deref() {
        Some(version) => by_metadata(stated, version)?,
        None => {
            let opens_modern = call.kind == MethodKind::Discover || headers.contains_key(METHOD);
            if is_request && stated.is_none() && opens_modern {
                return Err(HeaderFault::Metadata("protocolVersion"));
            }
            by_header(stated)?
        }
    };
    if dialect.generation == Generation::Modern {
        compare(headers, call, is_request)?;
    }
    Ok(dialect)
}

fn by_header(stated: Option<&str>) -> Result<Dialect, HeaderFault> {
    let version = match stated {
        Some(text) => ProtocolVersion::parse(text).ok_or_else(|| HeaderFault::version(text))?,
        None => ProtocolVersion::V20250326,
    };
    Ok(Dialect { generation: version.generation(), version: Some(version) })
}

fn by_metadata(stated: Option<&str>, version: &str) -> Result<Dialect, HeaderFault> {
    match stated {
        None => Err(HeaderFault::Missing("MCP-Protocol-Version")),
        Some(text) if text != version => Err(HeaderFault::Mismatch("MCP-Protocol-Version")),
        Some(_) => by_header(stated),
    }
}

/// Modern requests must carry metadata and mirrors. Notifications need neither in this revision,
/// but a mirror that is there must agree.
fn compare(headers: &HeaderMap, call: &Invocation, is_request: bool) -> Result<(), HeaderFault> {
    if is_request && call.params.protocol_version.is_none() {
        return Err(HeaderFault::Metadata("protocolVersion"));
    }
    if is_request && !call.params.has_client_capabilities {
        return Err(HeaderFault::Metadata("clientCapabilities"));
    }
    match single(headers, METHOD)? {
        Some(method) if method != &*call.method => return Err(HeaderFault::Mismatch("Mcp-Method")),
        None if is_request => return Err(HeaderFault::Missing("Mcp-Method")),
        _ => {}
    }
    // Where the body names nothing, the header mirrors nothing, and nobody here reads it.
    let Some(target) = call.target() else { return Ok(()) };
    match single(headers, NAME)? {
        Some(value) if !names(value, target)? => Err(HeaderFault::Mismatch("Mcp-Name")),
        None if is_request && call.kind.requires_name_header() => Err(HeaderFault::Missing("Mcp-Name")),
        _ => Ok(()),
    }
}

/// The one value of a header; visible ASCII, spaces and tabs only.
fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, HeaderFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (values.next(), value.to_str()) {
        (None, Ok(text)) => Ok(Some(text)),
        _ => Err(HeaderFault::Malformed(wire_name(name))),
    }
}

fn wire_name(name: &'static str) -> &'static str {
    match name {
        PROTOCOL_VERSION => "MCP-Protocol-Version",
        METHOD => "Mcp-Method",
        _ => "Mcp-Name",
    }
}

/// Whether a header value, plain or in the form `=?base64?…?=`, stands for this text.
fn names(value: &str, target: &str) -> Result<bool, HeaderFault> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value == target);
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
    decoded.map(|bytes| bytes == target.as_bytes()).map_err(|_| HeaderFault::Malformed("Mcp-Name"))
}

#[cfg(test)]
mod tests;
