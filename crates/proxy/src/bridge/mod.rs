//! Between the generations: what a modern client (2026-07-28) says to a server that knows handshakes and
//! sessions only, and the other way round.
//!
//! Messages are translated by cutting and inserting members; every other byte stays as it was written,
//! so that fields nobody here knows survive. What has no counterpart in the other generation is refused
//! in words of the protocol, never dropped in silence and never guessed.

pub mod client;
pub mod discovery;
pub mod edit;
pub mod from_legacy;
pub mod from_modern;
pub mod known;
mod learn;
pub mod level;
pub mod line;
pub mod link;
pub mod mirror;
pub mod newer;
pub mod older;
pub mod pool;
pub mod stop;
pub mod stream;
pub mod to_legacy;
pub mod to_modern;

use gateway_core::policy::Permit;
use gateway_core::refusal::Code;
use http::Response;

use self::known::Known;
use self::line::Line;
use crate::mcp::method::MethodKind;
use crate::mcp::version::Generation;
use crate::path::body::AnswerBody;
use crate::path::forward::{self, Forwarded};
use crate::path::identify::Misread;
use crate::path::journey::Journey;

/// What came of a message.
#[derive(Debug)]
pub enum Outcome {
    /// The server's answer, in the client's generation.
    Upstream(Box<Forwarded>),
    /// The gateway's own answer.
    Own(Response<AnswerBody>),
}

/// Something that cannot be said in the other generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untranslatable {
    /// The HTTP status that the client's generation has for it.
    pub status: u16,
    /// The JSON-RPC code.
    pub code: i64,
    /// What it is.
    pub text: String,
}

/// Takes the message to the server, in the generation that the server speaks. Where that is the
/// client's own, this adds a look into a map to the way of a call.
///
/// # Errors
/// Any refusal of the corridor, and [`Misread::Untranslatable`].
pub async fn travel(journey: Journey<'_>, permit: Permit) -> Result<Outcome, Misread> {
    let Journey { gateway, trip, call, .. } = journey;
    if let Some(session) = &call.session {
        return match &session.bridged {
            Some(bridged) => {
                let line = Line::of(journey);
                Box::pin(older::serve(&line, call, session, bridged, permit)).await
            }
            None => straight(journey, permit).await,
        };
    }
    let handshake = call.kind() == Some(MethodKind::Initialize);
    match (call.generation, gateway.generations.of(permit.binding(), trip.started)) {
        (Generation::Modern, Some(Known::LegacyOnly)) => {
            let line = Line::of(journey);
            Box::pin(newer::serve(&line, call, permit)).await
        }
        (Generation::Legacy, Some(Known::ModernOnly)) if handshake => {
            let line = Line::of(journey);
            Box::pin(older::open(&line, call, &permit)).await
        }
        (Generation::Legacy, Some(Known::ModernOnly)) => Err(Code::SessionMissing.into()),
        (Generation::Modern, None) if call.is_request() => Box::pin(learn::modern(journey, permit)).await,
        (Generation::Legacy, None | Some(Known::Modern)) if handshake => {
            Box::pin(learn::legacy(journey, permit)).await
        }
        _ => straight(journey, permit).await,
    }
}

async fn straight(journey: Journey<'_>, permit: Permit) -> Result<Outcome, Misread> {
    let forwarded = forward::forward(journey, permit).await?;
    Ok(Outcome::Upstream(Box::new(forwarded)))
}
