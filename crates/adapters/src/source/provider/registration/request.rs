//! What is asked of a registration endpoint, and what it answers (RFC 7591, sections 3.1 and 3.2).

use gateway_core::client::{GRANT_TYPES, SIGNING_ALGORITHM, keys_uri, name, redirect_uri};
use gateway_core::manifest::{ClientAuthentication, ProviderSpec};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::record::{Proof, Registered};
use crate::https::OutboundResponse;
use crate::source::provider::answer::{failure, text};
use crate::source::provider::error::ProviderError;
use crate::source::provider::metadata::ProviderMetadata;
use crate::store::json_text::{Fields, secret_field};

/// The longest client id, and the longest client secret, in bytes.
const LONGEST: usize = 4_096;

/// A way of client authentication that the gateway can register for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::source::provider) enum Method {
    ClientSecretBasic,
    ClientSecretPost,
    None,
    PrivateKeyJwt,
}

impl Method {
    const ALL: [Self; 4] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None, Self::PrivateKeyJwt];

    const fn word(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The way to ask for: the gateway's keys where the manifest says so; else the first of the others that
    /// the provider takes, those with a secret before the one without.
    pub(in crate::source::provider) fn choose(
        spec: &ProviderSpec,
        metadata: &ProviderMetadata,
    ) -> Result<Self, ProviderError> {
        if spec.client.authentication == ClientAuthentication::GatewayKey {
            return Ok(Self::PrivateKeyJwt);
        }
        // RFC 8414, section 2: so it is where nothing is said.
        let Some(offered) = &metadata.authentication_methods else { return Ok(Self::ClientSecretBasic) };
        let mut ours = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None].into_iter();
        let chosen = ours.find(|method| offered.iter().any(|offered| offered == method.word()));
        chosen.ok_or_else(|| {
            ProviderError::refused("the provider takes no way of client authentication that the gateway has")
        })
    }
}

/// What the gateway says of itself. `application_type` is what MCP 2026-07-28 asks for.
pub(super) fn document(public_url: &str, spec: &ProviderSpec, method: Method) -> Vec<u8> {
    let mut document = json!({
        "client_name": name(&spec.environment),
        "application_type": "web",
        "redirect_uris": [redirect_uri(public_url)],
        "grant_types": GRANT_TYPES,
        "response_types": ["code"],
        "token_endpoint_auth_method": method.word(),
    });
    if let (Method::PrivateKeyJwt, Some(fields)) = (method, document.as_object_mut()) {
        fields.insert("token_endpoint_auth_signing_alg".to_owned(), SIGNING_ALGORITHM.into());
        fields.insert("jwks_uri".to_owned(), keys_uri(public_url).into());
    }
    document.to_string().into_bytes()
}

/// Reads the answer: it must be the client that was asked for.
pub(super) fn read(
    answer: &OutboundResponse,
    asked: Method,
    public_url: &str,
    now: Timestamp,
) -> Result<Registered, ProviderError> {
    // 201 is the standard's; others answer 200.
    if !matches!(answer.status.as_u16(), 200 | 201) {
        return Err(failure(answer));
    }
    let malformed = |why: &str| ProviderError::malformed(why);
    let fields: Fields<'_> =
        serde_json::from_slice(&answer.body).map_err(|_| malformed("the registration is no JSON object"))?;
    let id = text(&fields, "client_id")?.filter(|id| is_plain(id));
    let id = id.ok_or_else(|| malformed("the registration has no client id"))?;
    let redirects: Option<Vec<String>> = value(&fields, "redirect_uris")?;
    if redirects.is_some_and(|redirects| redirects != [redirect_uri(public_url)]) {
        return Err(malformed("the provider registered other redirect URIs than the gateway's"));
    }
    let method = match text(&fields, "token_endpoint_auth_method")? {
        Some(word) => Method::ALL.into_iter().find(|method| method.word() == word),
        None => Some(asked),
    };
    let by_key = asked == Method::PrivateKeyJwt;
    let proof = match method {
        Some(Method::PrivateKeyJwt) if by_key => Proof::GatewayKey,
        Some(Method::ClientSecretBasic) if !by_key => Proof::Basic(secret(&fields)?),
        Some(Method::ClientSecretPost) if !by_key => Proof::Post(secret(&fields)?),
        Some(Method::None) if !by_key => Proof::None,
        _ => return Err(malformed("the provider registered another way of client authentication")),
    };
    // Zero means never (section 3.2.1).
    let ends: Option<i64> = value(&fields, "client_secret_expires_at")?;
    let has_secret = matches!(proof, Proof::Basic(_) | Proof::Post(_));
    let ends = ends.filter(|seconds| has_secret && *seconds != 0).map(Timestamp::from_seconds);
    Ok(Registered { id, proof, registered_at: now, secret_expires_at: ends })
}

/// RFC 6749, appendix A.1.
fn is_plain(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn secret(fields: &Fields<'_>) -> Result<Secret, ProviderError> {
    let secret = secret_field(fields, "client_secret");
    let secret = secret.map_err(|error| ProviderError::malformed(error.inside))?;
    if secret.len() > LONGEST || !secret.is_header_safe() {
        return Err(ProviderError::malformed("the client secret is too long, or no plain text"));
    }
    Ok(secret)
}

fn value<T: DeserializeOwned>(fields: &Fields<'_>, name: &'static str) -> Result<Option<T>, ProviderError> {
    let Some(raw) = fields.get(name).filter(|raw| raw.get() != "null") else { return Ok(None) };
    let value = serde_json::from_str(raw.get());
    value
        .map(Some)
        .map_err(|_| ProviderError::malformed(format!("`{name}` of the registration is malformed")))
}
