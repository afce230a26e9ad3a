//! What the server's owner is told about a message, where its route asks for that: a receipt, signed once
//! the intent is recorded, so that no receipt says what the evidence does not.

use gateway_core::id::{EnvironmentName, RequestId, ServerName, ToolName};
use gateway_core::manifest::{HttpRoute, Route};
use gateway_core::policy::Permit;
use gateway_core::receipt::{ContentDigest, HEADER, Receipt, ReceiptMode, Who};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use http::{HeaderName, HeaderValue};

use super::admit::Trip;
use super::inject::Message;
use super::intent::{Intent, method};
use crate::gateway::Gateway;

/// The header that carries it. The caller's of this name never goes upstream: its beginning is ours.
pub const RECEIPT: HeaderName = HeaderName::from_static(HEADER);

/// One message, as its intent has it.
pub(crate) struct About<'a> {
    pub(crate) request_id: &'a RequestId,
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) server: &'a ServerName,
    pub(crate) method: Option<String>,
    pub(crate) tool: Option<ToolName>,
    /// When the intent was recorded.
    pub(crate) at: Timestamp,
    /// The message itself.
    pub(crate) content: &'a [u8],
}

/// The receipt of one message of a call; none where the route asks for none.
///
/// # Errors
/// [`Code::ReceiptUnavailable`]: then nothing is sent.
pub fn receipt(
    gateway: &Gateway,
    trip: &Trip,
    permit: &Permit,
    message: &Message<'_>,
    recorded: &Intent,
) -> Result<Option<HeaderValue>, Refusal> {
    let Route::Http(route) = &permit.binding().route else { return Ok(None) };
    if route.receipt.is_off() {
        return Ok(None);
    }
    let about = About {
        request_id: &trip.request_id,
        environment: &trip.environment,
        server: &trip.server,
        method: method(trip),
        tool: trip.tool.as_ref().and_then(|tool| ToolName::parse(tool).ok()),
        at: recorded.at(),
        content: &message.body,
    };
    sign(gateway, route, permit, about)
}

/// The same for any message along this route.
///
/// # Errors
/// As [`receipt`].
pub(crate) fn sign(
    gateway: &Gateway,
    route: &HttpRoute,
    permit: &Permit,
    about: About<'_>,
) -> Result<Option<HeaderValue>, Refusal> {
    let who = match (route.receipt, permit.actor()) {
        (ReceiptMode::Off, _) => return Ok(None),
        (_, None) => Who::Gateway,
        (ReceiptMode::Header, Some(actor)) => Who::Named(actor),
        (ReceiptMode::Pseudonymous, Some(actor)) => Who::Pseudonymous(actor),
    };
    let mut nonce = [0_u8; 8];
    gateway.random.fill(&mut nonce);
    let signed = gateway.keys.sign_receipt(&Receipt {
        issuer: &gateway.settings.public_url,
        audience: &route.url,
        request_id: about.request_id,
        nonce,
        who,
        environment: about.environment,
        server: about.server,
        method: about.method,
        tool: about.tool,
        mode: permit.binding().spec.mode,
        binding: permit.binding().name_at_revision(),
        policy_version: permit.policy_version(),
        decided_at: about.at,
        content: ContentDigest::of(about.content),
    })?;
    let value = HeaderValue::from_str(&signed);
    value.map(Some).map_err(|error| Refusal::new(Code::ReceiptUnavailable).because(error))
}
