//! What the bridge knows of the conversation: its generation, and the session of the older one. A session
//! that the gateway has forgotten is begun anew with the client's own first message, so that a gateway
//! that restarts does not end its clients.

use bytes::Bytes;
use gateway_proxy::mcp::message::Message;
use http::{HeaderValue, Method};
use serde::Deserialize;

use super::send::Outgoing;
use super::{Ending, Wire};

/// The client's second message, which the bridge repeats in its name.
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The conversation.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The revision that `initialize` agreed on.
    version: Option<String>,
    session: Option<HeaderValue>,
    /// The client's `initialize`, as it was written.
    initialize: Option<Bytes>,
    /// The revision that modern messages state.
    modern: Option<String>,
    /// Ends the stream that listens in the session.
    pub(super) listening: Option<Ending>,
}

#[derive(Deserialize)]
struct Agreed {
    result: Revision,
}

#[derive(Deserialize)]
struct Revision {
    #[serde(rename = "protocolVersion")]
    protocol_version: String,
}

impl Talk {
    /// Whether the older generation's handshake was made.
    pub(super) const fn has_begun(&self) -> bool {
        self.initialize.is_some()
    }

    pub(super) const fn is_modern(&self) -> bool {
        self.modern.is_some() && self.initialize.is_none()
    }

    pub(super) fn modern_version(&self) -> Option<String> {
        self.modern.clone()
    }

    pub(super) fn speaks_modern(&mut self, version: String) {
        self.modern = Some(version);
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) fn session(&self) -> Option<HeaderValue> {
        self.session.clone()
    }

    /// The door answered the client's first message.
    pub(super) fn begins(&mut self, initialize: Bytes, session: Option<HeaderValue>, answer: &[u8]) {
        let agreed = serde_json::from_slice::<Agreed>(answer).ok();
        if let Some(agreed) = agreed {
            self.version = Some(agreed.result.protocol_version);
            self.session = session;
            self.initialize = Some(initialize);
        }
    }
}

impl Wire {
    /// Begins a session in the place of one that is gone, unless that was done meanwhile. Whether there is
    /// one now.
    pub(super) async fn renew_session(&self, gone: &HeaderValue) -> bool {
        let _one = self.renewing.lock().await;
        let initialize = {
            let talk = self.talk();
            if talk.session.as_ref() != Some(gone) {
                return talk.session.is_some();
            }
            talk.initialize.clone()
        };
        let Some(body) = initialize else { return false };
        let Ok(message) = Message::parse(&body) else { return false };
        let outgoing = Outgoing::first(&message, &body);
        let Ok(answer) = Box::pin(self.send(&outgoing)).await else { return false };
        let session = answer.headers.get(super::headers::SESSION).cloned();
        let Some(id) = message.id() else { return false };
        let Ok(reply) = self.whole_answer(answer, id).await else { return false };
        self.talk().begins(body, session, &reply);
        let fresh = self.talk().session.clone();
        if fresh.is_none() || fresh.as_ref() == Some(gone) {
            return false;
        }
        let told = Bytes::from_static(INITIALIZED);
        if let Ok(message) = Message::parse(&told) {
            let sent = Box::pin(self.send(&Outgoing::first(&message, &told))).await;
            drop(sent);
        }
        self.notes.say("the gateway had forgotten the session; a new one goes on in its place");
        true
    }

    /// The client ends: the door hears of it where there is a session.
    pub(super) async fn end_session(&self) {
        let (session, listening) = {
            let mut talk = self.talk();
            (talk.session.clone(), talk.listening.take())
        };
        if let Some(listening) = listening {
            listening.cancel();
        }
        if session.is_some() {
            drop(self.send(&Outgoing::without_body(Method::DELETE, None)).await);
        }
    }
}
