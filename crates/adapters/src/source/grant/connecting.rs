//! The way of a person to a provider and back (RFC 6749, section 4.1, with PKCE): the pages ask, and what comes
//! back becomes a grant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::audit::EventKind;
use gateway_core::connect::{ConnectArrival, ConnectDeparture, Offer};
use gateway_core::identity::TokenDigest;
use gateway_core::login::Fault;
use gateway_core::manifest::ProviderSpec;
use gateway_core::refusal::Code;
use gateway_core::state::GrantRecord;
use url::Url;

use super::Grants;
use crate::source::provider::{AuthorizationWish, CodeAnswer, ProviderError};

impl Grants {
    /// The address at the provider that the browser goes to.
    ///
    /// # Errors
    /// [`Fault::ConnectProviderUnavailable`], [`Fault::ConnectProviderRefused`].
    #[expect(clippy::disallowed_methods, reason = "the state goes to the provider in the browser's address")]
    pub async fn depart(&self, offer: &Offer, departure: &ConnectDeparture<'_>) -> Result<Url, Fault> {
        let challenge = URL_SAFE_NO_PAD.encode(TokenDigest::of(departure.verifier).bytes());
        let scopes: Vec<&str> = departure.scopes.iter().map(String::as_str).collect();
        let wish = AuthorizationWish {
            redirect_uri: departure.redirect_uri,
            scopes: &scopes,
            state: &String::from_utf8_lossy(departure.state.expose()),
            challenge: &challenge,
            resource: offer.resource.as_deref(),
            audience: offer.audience.as_deref(),
            nonce: None,
            // Refresh tokens need it at providers of OpenID Connect (Core 1.0, section 11).
            prompt: scopes.contains(&"offline_access").then_some("consent"),
            login_hint: None,
        };
        let request = self.0.parts.providers.authorization_request(&offer.provider, &wish).await;
        request.map(|request| request.url).map_err(|error| fault(&error))
    }

    /// Judges what came back, redeems the code, and keeps what was granted.
    ///
    /// # Errors
    /// What is wrong with it. Where the tokens cannot be kept, the provider is asked to take them back.
    pub async fn arrive(&self, offer: &Offer, arrival: &ConnectArrival<'_>) -> Result<GrantRecord, Fault> {
        let (providers, provider) = (&self.0.parts.providers, &offer.provider);
        // Before anything else is believed or sent on, an error included (RFC 9207, section 2.4).
        providers.accept_issuer(provider, arrival.issuer).await.map_err(|error| fault(&error))?;
        let code = match (arrival.error, arrival.code) {
            (None, Some(code)) if !code.is_empty() => code,
            (Some(_), _) => return Err(Fault::ConnectDenied),
            (None, _) => return Err(Fault::RequestMalformed),
        };
        let scopes: Vec<&str> = arrival.scopes.iter().map(String::as_str).collect();
        let answer = CodeAnswer {
            code,
            verifier: arrival.verifier,
            redirect_uri: arrival.redirect_uri,
            scopes: &scopes,
            resource: offer.resource.as_deref(),
        };
        self.announce(provider, arrival).await?;
        let tokens = providers.exchange_code(provider, &answer).await.map_err(|error| fault(&error))?;
        let account = providers.account(provider, &tokens).map_err(|error| fault(&error))?;
        let resource = offer.resource.as_deref();
        let created = self.create(provider, arrival.user, account, tokens, resource, arrival.event).await;
        created.map_err(|refusal| {
            tracing::warn!(code = %refusal.code(), inside = refusal.inside().unwrap_or(""), "a grant could not be kept");
            Fault::ConnectProviderUnavailable
        })
    }
}

impl Grants {
    /// What is made of the code exists outside from then on: the record comes first (DESIGN, section 12.1).
    async fn announce(&self, provider: &ProviderSpec, arrival: &ConnectArrival<'_>) -> Result<(), Fault> {
        let mut event = arrival.event.clone();
        (event.kind, event.time) = (EventKind::CredentialRequested, self.0.parts.clock.now());
        event.environment = Some(provider.environment.clone());
        event.provider = Some(provider.name.clone());
        event.user = Some(arrival.user.to_string());
        event.scopes = arrival.scopes.to_vec();
        event.source = Some("grant".to_owned());
        self.0.parts.audit.record(event).await.map(drop).map_err(|error| {
            tracing::error!(%error, "no code is redeemed that could not be recorded");
            Fault::Unavailable
        })
    }
}

/// What the person is told; the log has the rest.
fn fault(error: &ProviderError) -> Fault {
    tracing::warn!(code = %error.refusal().code(), answer = error.answer().unwrap_or(""),
        inside = error.refusal().inside().unwrap_or(""), "an account could not be connected");
    match (error.answer(), error.refusal().code()) {
        (Some("issuer_mixed_up"), _) => Fault::ConnectIssuerMixedUp,
        (Some("issuer_missing"), _) => Fault::ConnectIssuerMissing,
        (_, Code::ProviderRefused | Code::ProviderMalformed) => Fault::ConnectProviderRefused,
        _ => Fault::ConnectProviderUnavailable,
    }
}
