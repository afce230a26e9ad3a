//! Finds out whether a process speaks 2026-07-28 (MCP, "stdio", "Backward compatibility").

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::refusal::Refusal;

use super::child::{Child, Piece};
use crate::mcp::message::{Message, RawId};

/// A process that says nothing to a question it does not know gets this long.
const PATIENCE: Duration = Duration::from_secs(10);

const DISCOVER: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"mcp-gateway","version":"1"}}}}"#;

/// Asks for what the server supports. A server that does not know the question is of an older
/// generation.
///
/// # Errors
/// [`gateway_core::refusal::Code::ProcessEnded`] where the process went away over it.
pub(super) async fn speaks_modern(child: &Arc<Child>, limit: Duration) -> Result<bool, Refusal> {
    let body = Bytes::from_static(DISCOVER);
    let Ok(message) = Message::parse(&body) else { return Ok(false) };
    let mut ticket = child.ask(&RawId::number(0), &message, &body, false).await?;
    match tokio::time::timeout(limit.min(PATIENCE), ticket.pieces.recv()).await {
        Err(_) => Ok(false),
        Ok(None) => Err(child.why_ended()),
        Ok(Some(Piece::Message(_))) => Ok(false),
        Ok(Some(Piece::Answer(answer))) => {
            ticket.done = true;
            Ok(supports_modern(&answer))
        }
    }
}

fn supports_modern(answer: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer {
        result: Option<Discovered>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Discovered {
        #[serde(default)]
        supported_versions: Vec<String>,
    }
    let result = serde_json::from_slice::<Answer>(answer).ok().and_then(|answer| answer.result);
    result.is_some_and(|found| found.supported_versions.iter().any(|version| version == "2026-07-28"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_says_so_is_modern() {
        assert!(supports_modern(br#"{"result":{"supportedVersions":["2025-11-25","2026-07-28"]}}"#));
        assert!(!supports_modern(br#"{"result":{"supportedVersions":["2025-11-25"]}}"#));
        assert!(!supports_modern(br#"{"error":{"code":-32601,"message":"Method not found"}}"#));
        assert!(!supports_modern(br#"{"result":{}}"#));
    }

    #[test]
    fn the_question_is_a_message() {
        assert!(matches!(Message::parse(DISCOVER), Ok(Message::Request { .. })));
    }
}
