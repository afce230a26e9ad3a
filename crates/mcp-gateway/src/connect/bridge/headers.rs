//! What a message needs in HTTP headers, by its generation (Streamable HTTP).

use std::sync::PoisonError;

use bytes::Bytes;
use gateway_proxy::bridge::mirror::{self, Mirror};
use gateway_proxy::mcp::headers::PROTOCOL_VERSION;
use gateway_proxy::mcp::message::{Invocation, Message};
use gateway_proxy::mcp::method::MethodKind;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Wire;

/// The session of the older generation.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The last event that was seen of a stream.
pub(super) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Headers, and the session that they name.
pub(super) struct Dressed {
    pub(super) headers: HeaderMap,
    pub(super) session: Option<HeaderValue>,
}

impl Wire {
    /// Whether a message is of the generation without sessions. What does not say so itself goes with the
    /// rest of the conversation.
    pub(super) fn is_modern(&self, message: &Message) -> bool {
        let stated = message.invocation().is_some_and(|call| call.params.protocol_version.is_some());
        let begins = message.invocation().is_some_and(|call| call.kind == MethodKind::Initialize);
        stated || !begins && self.talk().is_modern()
    }

    /// For a message on its way to the door.
    pub(super) fn dressed(&self, message: &Message, body: &Bytes) -> Dressed {
        let mut headers = HeaderMap::new();
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match message.invocation() {
            Some(call) if self.is_modern(message) => {
                let mirrors = self.mirrors_of(call);
                let mut headers = mirror::headers(&headers, call, body, &mirrors);
                let stated = call.params.protocol_version.as_deref().map(str::to_owned);
                if let Some(version) = stated.or_else(|| self.talk().modern_version()) {
                    // What the message says itself counts, whatever this program knows of it.
                    headers.insert(PROTOCOL_VERSION, mirror::value(&version));
                    self.talk().speaks_modern(version);
                }
                Dressed { headers, session: None }
            }
            Some(call) if call.kind == MethodKind::Initialize => Dressed { headers, session: None },
            _ => self.in_session(headers),
        }
    }

    /// For a stream that listens or goes on.
    pub(super) fn dressed_to_listen(&self, last: Option<&HeaderValue>) -> Dressed {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = last {
            headers.insert(LAST_EVENT, last.clone());
        }
        self.in_session(headers)
    }

    /// Names version and session of the older generation.
    pub(super) fn in_session(&self, mut headers: HeaderMap) -> Dressed {
        let talk = self.talk();
        if let Some(version) = talk.version().and_then(|version| HeaderValue::from_str(version).ok()) {
            headers.insert(PROTOCOL_VERSION, version);
        }
        let session = talk.session();
        if let Some(session) = &session {
            headers.insert(SESSION, session.clone());
        }
        Dressed { headers, session }
    }

    fn mirrors_of(&self, call: &Invocation) -> Vec<Mirror> {
        if call.kind != MethodKind::CallTool {
            return Vec::new();
        }
        let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        call.params.name.as_deref().and_then(|name| mirrors.get(name)).cloned().unwrap_or_default()
    }
}
