//! Token revocation (RFC 7009).

use gateway_core::manifest::{ClientAuthentication, ProviderSpec};
use gateway_core::refusal::Code;
use gateway_core::secret::Secret;

use super::ProviderClient;
use super::answer;
use super::error::ProviderError;
use super::form::Form;

/// Which kind of token is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenHint {
    /// An access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

/// What came of a revocation. For evidence: [`Revocation::answer`].
#[derive(Debug, Clone)]
pub enum Revocation {
    /// The provider answered 200: the token is over, or was unknown there (RFC 7009, section 2.2).
    Revoked,
    /// The provider offers no revocation: the token holds until it expires.
    NotOffered,
    /// The provider refused, or answered nonsense.
    Refused(ProviderError),
    /// The provider did not answer: trying again may help.
    Unavailable(ProviderError),
}

impl Revocation {
    /// The word for evidence: `revoked`, `not_offered`, the provider's error code, or `unavailable`.
    pub fn answer(&self) -> &str {
        match self {
            Self::Revoked => "revoked",
            Self::NotOffered => "not_offered",
            Self::Refused(error) => error.answer().unwrap_or("refused"),
            Self::Unavailable(error) => error.answer().unwrap_or("unavailable"),
        }
    }

    /// Whether the provider took the token back.
    pub const fn is_revoked(&self) -> bool {
        matches!(self, Self::Revoked)
    }
}

impl ProviderClient {
    /// Asks the provider to take the token back, once. Says what it answered; nothing here is an error to
    /// the caller, who is ending something either way.
    pub async fn revoke(&self, spec: &ProviderSpec, token: &Secret, hint: TokenHint) -> Revocation {
        match self.try_revoke(spec, token, hint).await {
            Ok(revocation) => revocation,
            Err(error)
                if matches!(error.refusal().code(), Code::ProviderRefused | Code::ProviderMalformed) =>
            {
                Revocation::Refused(error)
            }
            Err(error) => Revocation::Unavailable(error),
        }
    }

    async fn try_revoke(
        &self,
        spec: &ProviderSpec,
        token: &Secret,
        hint: TokenHint,
    ) -> Result<Revocation, ProviderError> {
        let link = self.links.of(spec)?;
        let metadata = link.metadata(spec, &self.settings, self.clock.now()).await?;
        let by_certificate = matches!(spec.client.authentication, ClientAuthentication::TlsClientAuth { .. });
        let alias = metadata.mutual_tls.revocation.as_ref().filter(|_| by_certificate);
        let Some(endpoint) = alias.or(metadata.revocation.as_ref()).cloned() else {
            return Ok(Revocation::NotOffered);
        };
        let hint = match hint {
            TokenHint::AccessToken => "access_token",
            TokenHint::RefreshToken => "refresh_token",
        };
        let form = Form::default().secret("token", token).text("token_type_hint", hint);
        let answer = self.post(&link, spec, &metadata, endpoint, form).await?;
        if answer.status.is_success() { Ok(Revocation::Revoked) } else { Err(answer::failure(&answer)) }
    }
}
