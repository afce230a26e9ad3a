//! Which account at the provider tokens are of: the subject of the ID token that came with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::manifest::ProviderSpec;
use gateway_core::secret::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::ProviderClient;
use super::answer::Tokens;
use super::error::ProviderError;

/// The longest subject (OpenID Connect Core 1.0, section 2).
const LONGEST: usize = 255;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl ProviderClient {
    /// The account, where an ID token tells it. The token came from the token endpoint itself, which is what its
    /// signature would prove (OpenID Connect Core 1.0, section 3.1.3.7, point 6); issuer and audience are judged.
    ///
    /// # Errors
    /// `provider.malformed` for an ID token that is none, or is not of this provider for this client.
    pub fn account(&self, spec: &ProviderSpec, tokens: &Tokens) -> Result<Option<String>, ProviderError> {
        let Some(id_token) = &tokens.id_token else { return Ok(None) };
        let claims =
            claims(id_token).ok_or_else(|| ProviderError::malformed("the ID token cannot be read"))?;
        let client = self.used_id(spec)?;
        let for_us = match &claims.aud {
            Audience::One(audience) => *audience == client,
            Audience::Several(audiences) => audiences.contains(&client),
        };
        if claims.iss != spec.issuer || !for_us {
            return Err(ProviderError::malformed("the ID token is of another issuer or for another client"));
        }
        let plain = claims.sub.bytes().all(|byte| byte.is_ascii_graphic());
        if claims.sub.is_empty() || claims.sub.len() > LONGEST || !plain {
            return Err(ProviderError::malformed("the ID token's subject is not acceptable"));
        }
        Ok(Some(claims.sub))
    }
}

#[expect(clippy::disallowed_methods, reason = "the ID token's claims are read")]
fn claims(id_token: &Secret) -> Option<Claims> {
    let text = std::str::from_utf8(id_token.expose()).ok()?;
    let mut parts = text.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    serde_json::from_slice(&payload).ok()
}
