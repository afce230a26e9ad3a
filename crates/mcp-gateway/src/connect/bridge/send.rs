//! One message to the door: with the token of the person, again where nothing was delivered, and never
//! again where it may have been.

use std::time::Duration;

use bytes::Bytes;
use gateway_adapters::https::{OpenAnswer, OpenError, OutboundError, OutboundRequest};
use gateway_proxy::mcp::challenge;
use gateway_proxy::mcp::message::Message;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use super::Wire;
use super::headers::Dressed;
use crate::connect::trouble::{Code, Trouble};

/// How long a gateway may be away: the time of a restart.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is to be sent.
pub(super) struct Outgoing<'a> {
    method: Method,
    message: Option<(&'a Message, &'a Bytes)>,
    last: Option<&'a HeaderValue>,
    renews: bool,
}

impl<'a> Outgoing<'a> {
    /// A message in the conversation.
    pub(super) const fn message(message: &'a Message, body: &'a Bytes) -> Self {
        Self { method: Method::POST, message: Some((message, body)), last: None, renews: true }
    }

    /// A message that begins a session, and is not sent again in another one.
    pub(super) const fn first(message: &'a Message, body: &'a Bytes) -> Self {
        Self { method: Method::POST, message: Some((message, body)), last: None, renews: false }
    }

    /// A stream, or the end of the session.
    pub(super) const fn without_body(method: Method, last: Option<&'a HeaderValue>) -> Self {
        Self { method, message: None, last, renews: false }
    }
}

impl Wire {
    /// Sends it, and returns the answer's head.
    pub(super) async fn send(&self, outgoing: &Outgoing<'_>) -> Result<OpenAnswer, Trouble> {
        let (mut challenged, mut renewed) = (false, false);
        let (began, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            let pass = self.access.pass().await?;
            let Dressed { mut headers, session } = match outgoing.message {
                Some((message, body)) => self.dressed(message, body),
                None => self.dressed_to_listen(outgoing.last),
            };
            let serial = pass.map(|pass| {
                headers.insert(header::AUTHORIZATION, pass.header);
                pass.serial
            });
            let mut request = OutboundRequest::new(outgoing.method.clone(), self.door.url().clone());
            request.headers = headers;
            if let Some((_, body)) = outgoing.message {
                request = request.body(body.to_vec());
            }
            let answer = match self.http.open(request).await {
                Ok(answer) => answer,
                Err(OpenError::NotSent(error)) if may_pass(&error) && began.elapsed() < PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSES.1);
                    continue;
                }
                Err(OpenError::NotSent(error)) => return Err(Trouble::new(Code::Unreachable).because(error)),
                Err(OpenError::Broken(error)) => return Err(Trouble::new(Code::Interrupted).because(error)),
            };
            match (answer.status, session) {
                (StatusCode::UNAUTHORIZED, _) if !challenged => {
                    challenged = true;
                    let metadata = challenge::resource_metadata(&answer.headers);
                    drop(answer);
                    self.access.refused(serial, metadata).await?;
                }
                (StatusCode::NOT_FOUND, Some(gone)) if outgoing.renews && !renewed => {
                    renewed = true;
                    if !self.renew_session(&gone).await {
                        return Ok(answer);
                    }
                }
                _ => return Ok(answer),
            }
        }
    }
}

/// Whether another try may do better: an address that is refused stays refused.
const fn may_pass(error: &OutboundError) -> bool {
    matches!(error, OutboundError::Unreachable { .. } | OutboundError::Timeout(_))
}
