//! How the gateway proves to be the provider's client (RFC 6749, section 2.3; RFC 7523, section 2.2; RFC 8705).

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway_core::lease::SecretVersion;
use gateway_core::manifest::{ClientAuthentication, ProviderSpec};
use gateway_core::reference::{SecretReference, TemplateValues};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use super::ProviderClient;
use super::client::Known;
use super::error::ProviderError;
use super::form::{Form, Value, push_encoded};
use super::metadata::ProviderMetadata;
use super::registration::Proof;
use super::signing_key::SigningKey;
use crate::signing::{Algorithm, Purpose};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion holds, in seconds: one request.
const ASSERTION_SECONDS: i64 = 60;

impl ProviderClient {
    /// Adds the client's proof to a request for the endpoint.
    pub(super) async fn authenticate(
        &self,
        spec: &ProviderSpec,
        metadata: &ProviderMetadata,
        client: Known,
        form: &mut Form<'_>,
        headers: &mut HeaderMap,
    ) -> Result<(), ProviderError> {
        let id = client.id;
        if let Some(registered) = &client.registered {
            match &registered.proof {
                Proof::None => {}
                Proof::Basic(secret) => {
                    headers.insert(header::AUTHORIZATION, basic(&id, secret)?);
                    return Ok(());
                }
                Proof::Post(secret) => form.push("client_secret", Value::Made(secret.duplicate())),
                Proof::GatewayKey => assert_by(form, self.own_assertion(&id, audience(metadata))?),
            }
            form.push("client_id", Value::Text(Cow::Owned(id)));
            return Ok(());
        }
        match &spec.client.authentication {
            ClientAuthentication::None | ClientAuthentication::TlsClientAuth { .. } => {}
            ClientAuthentication::ClientSecretBasic { secret } => {
                let secret = self.fetch(spec, secret).await?;
                headers.insert(header::AUTHORIZATION, basic(&id, &secret.secret)?);
                return Ok(());
            }
            ClientAuthentication::ClientSecretPost { secret } => {
                let secret = self.fetch(spec, secret).await?;
                form.push("client_secret", Value::Fetched(secret));
            }
            ClientAuthentication::PrivateKeyJwt { .. } => {
                let claims = json!({"sub": id, "aud": audience(metadata)});
                assert_by(form, self.assertion(spec, &id, "JWT", claims).await?);
            }
            ClientAuthentication::GatewayKey => {
                assert_by(form, self.own_assertion(&id, audience(metadata))?);
            }
        }
        form.push("client_id", Value::Text(Cow::Owned(id)));
        Ok(())
    }

    /// Signs with the gateway's own keys that it is this client (RFC 7523, section 2.2).
    fn own_assertion(&self, id: &str, audience: &str) -> Result<Secret, ProviderError> {
        let own = self.registrar.as_ref().map(|registrar| registrar.own());
        let own = own.ok_or_else(|| ProviderError::refused("the gateway has no keys to sign as a client"))?;
        let now = self.clock.now().seconds();
        let mut number = [0_u8; 16];
        self.random.fill(&mut number);
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), id.into());
        claims.insert("sub".to_owned(), id.into());
        claims.insert("aud".to_owned(), audience.into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(ASSERTION_SECONDS).into());
        claims.insert("jti".to_owned(), URL_SAFE_NO_PAD.encode(number).into());
        let signed = own.signer.sign(Purpose::Assertion, Algorithm::Es256, &claims);
        signed.map_err(|error| Refusal::new(Code::Internal).because(error).into())
    }

    /// Signs claims with the private key of the provider's client; adds `iss`, `iat`, `exp` (60 s) and `jti`.
    ///
    /// # Errors
    /// `provider.refused` where the client has no private key, or none that signs; what the store says.
    pub async fn assertion(
        &self,
        spec: &ProviderSpec,
        issuer: &str,
        kind: &str,
        mut claims: Json,
    ) -> Result<Secret, ProviderError> {
        let ClientAuthentication::PrivateKeyJwt { key, key_id } = &spec.client.authentication else {
            return Err(ProviderError::refused("the provider's client has no private key to sign with"));
        };
        let pem = self.fetch(spec, key).await?;
        let now = self.clock.now().seconds();
        let mut id = [0_u8; 16];
        self.random.fill(&mut id);
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("iss".to_owned(), issuer.into());
            claims.insert("iat".to_owned(), now.into());
            claims.insert("exp".to_owned(), now.saturating_add(ASSERTION_SECONDS).into());
            claims.insert("jti".to_owned(), URL_SAFE_NO_PAD.encode(id).into());
        }
        SigningKey::from_pem(&pem.secret)?.sign(kind, key_id.as_deref(), &claims)
    }

    /// Fetches by reference in the provider's own environment, through the store's cache.
    pub(super) async fn fetch(
        &self,
        spec: &ProviderSpec,
        reference: &SecretReference,
    ) -> Result<Arc<SecretVersion>, ProviderError> {
        let values = TemplateValues { agent: None, user: None, environment: &spec.environment };
        let resolved = reference
            .resolve(&values)
            .map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
        let entry = self.stores.open(&spec.environment, &resolved.store)?;
        Ok(entry.store.fetch(&resolved).await?)
    }
}

/// The issuer is what RFC 7523bis asks for; who writes endpoints out has a provider of the older kind, which
/// wants its token endpoint.
fn audience(metadata: &ProviderMetadata) -> &str {
    if metadata.discovered { &metadata.issuer } else { metadata.token.as_str() }
}

fn assert_by(form: &mut Form<'_>, assertion: Secret) {
    form.push("client_assertion_type", Value::Text(Cow::Borrowed(ASSERTION_TYPE)));
    form.push("client_assertion", Value::Made(assertion));
}

/// Client id and secret are form-encoded before they become user and password (RFC 6749, section 2.3.1).
#[expect(clippy::disallowed_methods, reason = "the client secret goes into the provider's own header")]
fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, ProviderError> {
    let mut plain = Zeroizing::new(Vec::with_capacity((id.len() + secret.len()) * 3 + 1));
    push_encoded(&mut plain, id.as_bytes());
    plain.push(b':');
    push_encoded(&mut plain, secret.expose());
    let mut text = Zeroizing::new(String::with_capacity(plain.len() * 2 + 8));
    text.push_str("Basic ");
    STANDARD.encode_string(&*plain, &mut text);
    let unusable = |_| ProviderError::refused("the client secret fits into no header field");
    let mut value = HeaderValue::from_str(&text).map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}
