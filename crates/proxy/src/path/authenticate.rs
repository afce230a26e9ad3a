//! Second stage: who is it? The credential leaves the headers here and goes nowhere else.

use std::sync::Arc;

use gateway_core::identity::{IdentityError, Presented, VerifiedIdentity};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use http::{HeaderMap, header};

use super::admit::{Inbound, Trip};
use crate::gateway::Gateway;
use crate::peer::Peer;
use crate::world::World;

/// Verifies the bearer token, or the certificate of the connection where there is no token, and that it
/// opens this door, and resolves the actor. Where both are there, the token says who calls and the
/// certificate attests the runtime, and both must open the door.
///
/// # Errors
/// A 401 of the table, or [`Code::IssuerUnavailable`] where the fault is not the caller's.
pub async fn authenticate(
    gateway: &Gateway,
    world: &World,
    peer: &Peer,
    trip: &mut Trip,
    inbound: &mut Inbound,
) -> Result<Arc<VerifiedIdentity>, Refusal> {
    let certificate = attested(gateway, peer, trip)?;
    let (identity, presented) = match (certificate, take_bearer(&mut inbound.headers)) {
        (Some(certificate), Ok(None)) => (certificate, None),
        (certificate, presented) => {
            let presented = presented?.ok_or(Code::TokenMissing)?;
            let caller = opening(verify(gateway, world, &presented, trip).await?, trip)?;
            let identity = match certificate {
                Some(certificate) => Arc::new(caller.running_as(&certificate).ok_or(Code::IdentityMixed)?),
                None => caller,
            };
            (identity, Some(presented))
        }
    };
    trip.actor = Some(world.actor(&identity, &trip.environment));
    // A token of ours is nobody's `subject_token`: no token service could verify it.
    trip.presented = presented.filter(|presented| !presented.is_agent_token()).map(Arc::new);
    Ok(identity)
}

/// The identity of the connection's certificate. One that no longer holds ends the connection, so that
/// the client comes back with the renewed one.
fn attested(gateway: &Gateway, peer: &Peer, trip: &Trip) -> Result<Option<Arc<VerifiedIdentity>>, Refusal> {
    let Some(certificates) = &peer.certificates else { return Ok(None) };
    let verified = gateway.verifier.verify_certificates(certificates, trip.started);
    let identity = verified.map_err(|error| {
        if error != IdentityError::KeysUnavailable {
            peer.dismiss();
        }
        let code = match error {
            IdentityError::Expired => Code::CertificateExpired,
            IdentityError::KeysUnavailable => Code::IssuerUnavailable,
            _ => Code::CertificateInvalid,
        };
        Refusal::new(code).because(error)
    })?;
    opening(identity, trip).map(Some)
}

fn opening(identity: Arc<VerifiedIdentity>, trip: &Trip) -> Result<Arc<VerifiedIdentity>, Refusal> {
    match identity.opens(&trip.environment, &trip.server, trip.started) {
        true => Ok(identity),
        false => Err(Code::TokenAudience.into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the verifier of gateway-issued agent tokens")]
async fn verify(
    gateway: &Gateway,
    world: &World,
    presented: &Presented,
    trip: &Trip,
) -> Result<Arc<VerifiedIdentity>, Refusal> {
    if presented.is_agent_token() {
        let claims = world.snapshot.agent_token(presented.digest()).ok_or(Code::TokenInvalid)?;
        if trip.started >= claims.expires_at {
            return Err(Code::TokenExpired.into());
        }
        let environment = world.snapshot.environment(trip.environment.as_str());
        if environment.is_some_and(|view| !view.spec.allows_agent_tokens()) {
            return Err(Refusal::new(Code::TokenInvalid).because("agent tokens are off in this environment"));
        }
        return Ok(Arc::new(VerifiedIdentity::assert_verified(claims, presented.digest())));
    }
    gateway.verifier.verify(presented, trip.started).await.map_err(refusal)
}

/// Takes at most one `Authorization: Bearer` out (RFC 6750, section 2.1).
fn take_bearer(headers: &mut HeaderMap) -> Result<Option<Presented>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    let value = match (first, second) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Refusal::new(Code::TokenInvalid).because("two Authorization headers"));
        }
        (Some(value), None) => value.as_bytes(),
    };
    let (scheme, token) = value.split_at_checked(7).ok_or(Code::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.is_empty() {
        return Err(Code::TokenMissing.into());
    }
    let presented = Presented::new(Secret::copy_from(token.trim_ascii()));
    headers.remove(header::AUTHORIZATION);
    Ok(Some(presented))
}

fn refusal(error: IdentityError) -> Refusal {
    let code = match error {
        IdentityError::Expired => Code::TokenExpired,
        IdentityError::Audience => Code::TokenAudience,
        IdentityError::KeysUnavailable => Code::IssuerUnavailable,
        IdentityError::Malformed
        | IdentityError::TooLarge
        | IdentityError::UnknownIssuer
        | IdentityError::Algorithm
        | IdentityError::UnknownKey
        | IdentityError::Signature
        | IdentityError::NotYetValid
        | IdentityError::Claims
        | IdentityError::Certificate(_)
        | IdentityError::Revoked => Code::TokenInvalid,
    };
    Refusal::new(code).because(error)
}
