//! The authorization code grant with PKCE (RFC 6749, section 4.1; RFC 7636; RFC 8707; RFC 9207), and refresh.

use gateway_core::manifest::ProviderSpec;
use gateway_core::secret::Secret;
use url::Url;

use super::ProviderClient;
use super::answer::{Issued, Tokens};
use super::error::ProviderError;
use super::form::Form;

/// What a user is sent to the provider for.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationWish<'a> {
    /// Where the browser comes back to; registered at the provider, compared there exactly.
    pub redirect_uri: &'a str,
    /// The scopes asked for.
    pub scopes: &'a [&'a str],
    /// The single-use state.
    pub state: &'a str,
    /// The challenge of the [`super::ProofKey`].
    pub challenge: &'a str,
    /// The resource that the token is for (RFC 8707).
    pub resource: Option<&'a str>,
    /// The audience, for providers that know no `resource`.
    pub audience: Option<&'a str>,
    /// `OpenID` Connect's `nonce`, where an ID token is asked for.
    pub nonce: Option<&'a str>,
    /// `OpenID` Connect's `prompt`, such as `consent`, which `offline_access` needs at some providers.
    pub prompt: Option<&'a str>,
    /// Who should log in there (`login_hint`).
    pub login_hint: Option<&'a str>,
}

/// Where to send the browser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationRequest {
    /// The address, which holds no secret.
    pub url: Url,
    /// Whether the response must carry `iss` (RFC 9207).
    pub expects_issuer: bool,
}

/// What came back with the browser, for the exchange.
#[derive(Clone, Copy, Debug)]
pub struct CodeAnswer<'a> {
    /// The code.
    pub code: &'a Secret,
    /// The verifier of the challenge that was sent.
    pub verifier: &'a Secret,
    /// The redirect URI that was sent.
    pub redirect_uri: &'a str,
    /// The scopes that were asked for; the answer may grant fewer, see [`Tokens::covers`].
    pub scopes: &'a [&'a str],
    /// The resource that was asked for.
    pub resource: Option<&'a str>,
}

impl ProviderClient {
    /// The authorization request. Nothing is asked of the provider but its metadata.
    ///
    /// # Errors
    /// `provider.refused` where the provider offers no S256 or has no authorization endpoint, and what
    /// [`ProviderClient::metadata`] says.
    pub async fn authorization_request(
        &self,
        spec: &ProviderSpec,
        wish: &AuthorizationWish<'_>,
    ) -> Result<AuthorizationRequest, ProviderError> {
        let metadata = self.metadata(spec).await?;
        if !metadata.offers_s256 {
            return Err(ProviderError::refused("the provider's metadata offers no PKCE with S256"));
        }
        let endpoint = metadata.authorization.as_ref();
        let endpoint =
            endpoint.ok_or_else(|| ProviderError::refused("the provider has no authorization endpoint"))?;
        let client = self.client_id(spec).await?;
        let mut url = endpoint.clone();
        let scope = wish.scopes.join(" ");
        let always = [
            ("response_type", "code"),
            ("client_id", client.as_str()),
            ("redirect_uri", wish.redirect_uri),
            ("state", wish.state),
            ("code_challenge", wish.challenge),
            ("code_challenge_method", "S256"),
        ];
        let sometimes = [
            ("scope", Some(scope.as_str()).filter(|scope| !scope.is_empty())),
            ("resource", wish.resource),
            ("audience", wish.audience),
            ("nonce", wish.nonce),
            ("prompt", wish.prompt),
            ("login_hint", wish.login_hint),
        ];
        let given = sometimes.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        url.query_pairs_mut().extend_pairs(always.into_iter().chain(given));
        Ok(AuthorizationRequest { url, expects_issuer: metadata.sends_issuer })
    }

    /// Judges the `iss` of an authorization response (RFC 9207, section 2.4): one that is there must be the
    /// provider's, and one that the provider promises must be there.
    ///
    /// # Errors
    /// `provider.refused` for a mixed-up or missing one, and what [`ProviderClient::metadata`] says.
    pub async fn accept_issuer(
        &self,
        spec: &ProviderSpec,
        issuer: Option<&str>,
    ) -> Result<(), ProviderError> {
        let metadata = self.metadata(spec).await?;
        match issuer {
            Some(issuer) if issuer == metadata.issuer => Ok(()),
            Some(_) => {
                Err(ProviderError::refused("the response is of another issuer").answering("issuer_mixed_up"))
            }
            None if metadata.sends_issuer => {
                Err(ProviderError::refused("the response lacks `iss`").answering("issuer_missing"))
            }
            None => Ok(()),
        }
    }

    /// Exchanges the code for tokens.
    ///
    /// # Errors
    /// `provider.unavailable`, `provider.refused`, `provider.malformed`; what the store of the client's
    /// secret says.
    pub async fn exchange_code(
        &self,
        spec: &ProviderSpec,
        answer: &CodeAnswer<'_>,
    ) -> Result<Tokens, ProviderError> {
        let form = Form::grant("authorization_code")
            .secret("code", answer.code)
            .text("redirect_uri", answer.redirect_uri)
            .secret("code_verifier", answer.verifier)
            .optional("resource", answer.resource);
        self.ask(spec, form, answer.scopes, Issued::AccessToken).await
    }

    /// Refreshes (RFC 6749, section 6). Where the answer has no refresh token, the old one stays in use;
    /// where it has one, the old one must not be used again.
    ///
    /// # Errors
    /// As [`ProviderClient::exchange_code`]; [`ProviderError::ends_grant`] tells a grant that is over from
    /// trouble that passes.
    pub async fn refresh(
        &self,
        spec: &ProviderSpec,
        refresh_token: &Secret,
        scopes: &[&str],
        resource: Option<&str>,
    ) -> Result<Tokens, ProviderError> {
        let form = Form::grant("refresh_token")
            .secret("refresh_token", refresh_token)
            .scopes(scopes)
            .optional("resource", resource);
        self.ask(spec, form, scopes, Issued::AccessToken).await
    }
}
