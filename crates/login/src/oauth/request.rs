//! An authorization request, judged in the order that keeps errors from going to strangers (OAuth 2.1,
//! section 4.1.1).

use gateway_core::login::Fault;
use gateway_core::secret::Secret;
use url::Url;
use url::form_urlencoded::Serializer;

use super::AUTHORIZE;
use super::client::Client;
use super::resource::Resource;
use crate::context::Login;
use crate::fields::Fields;
use crate::seal::digest;
use crate::sign_in::ReturnTo;

/// The length of an S256 challenge: 32 bytes in base64url.
const CHALLENGE: usize = 43;
/// The longest `state` of a client, in bytes.
const STATE_BYTES: usize = 2_048;

/// Who asks, and where the answer may go: nothing is sent there before both are known.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) redirect: Url,
    /// The redirect URI as it was sent: what the token request must repeat.
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
}

/// A request that can be granted.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) resource: Resource,
    /// The resource as it was sent: the audience of the token.
    pub(super) audience: String,
    pub(super) challenge: String,
    pub(super) scope: String,
    pub(super) prompt: Prompt,
}

/// What the client wants the person to be asked (OpenID Connect Core, section 3.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prompt {
    /// What is needed.
    Needed,
    /// In any case.
    Ask,
}

impl Asked {
    /// The client and its redirect URI.
    pub(super) async fn read(login: &Login, fields: &Fields) -> Result<Self, Fault> {
        let id = fields.required("client_id")?;
        if id.len() > 512 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::ClientUnknown);
        }
        let client = login.client(id).await?;
        let redirect_uri = fields.required("redirect_uri")?.to_owned();
        let redirect = client.redirect(&redirect_uri)?;
        let state = fields.text("state").map(str::to_owned);
        if state.as_ref().is_some_and(|state| state.len() > STATE_BYTES) {
            return Err(Fault::RequestMalformed);
        }
        Ok(Self { client, redirect, redirect_uri, state })
    }

    /// The rest of the request.
    pub(super) fn judge(&self, fields: &Fields, public_url: &str) -> Result<Granted, Fault> {
        if fields.text("response_type") != Some("code") {
            return Err(Fault::ResponseType);
        }
        if fields.text("response_mode").is_some_and(|mode| mode != "query")
            || fields.text("request").is_some()
        {
            return Err(Fault::RequestMalformed);
        }
        let challenge = fields.text("code_challenge").unwrap_or_default();
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_s256 = fields.text("code_challenge_method") == Some("S256");
        if !is_s256 || challenge.len() != CHALLENGE || !challenge.bytes().all(base64url) {
            return Err(Fault::PkceMissing);
        }
        let audience = fields.text("resource").ok_or(Fault::ResourceRefused)?;
        let resource = Resource::parse(audience, public_url)?;
        let prompt = match fields.text("prompt") {
            None => Prompt::Needed,
            Some("none") => return Err(Fault::InteractionRequired),
            Some(_) => Prompt::Ask,
        };
        let scope = super::token::granted_scope(fields.text("scope"), self.client.refreshes);
        let (audience, challenge) = (audience.to_owned(), challenge.to_owned());
        Ok(Granted { resource, audience, challenge, scope, prompt })
    }

    /// What a consent is about: this client, this very redirect URI, this resource.
    pub(super) fn consent(&self, granted: &Granted) -> String {
        digest(&Secret::new(
            format!("{}\n{}\n{}", self.client.id, self.redirect_uri, granted.audience).into_bytes(),
        ))
    }

    /// The parameters again, without `prompt`: for the form of the consent, and for the way back from
    /// the identity provider.
    pub(super) fn parameters<'a>(&'a self, granted: &'a Granted) -> Vec<(&'static str, &'a str)> {
        let mut all = vec![
            ("response_type", "code"),
            ("client_id", self.client.id.as_str()),
            ("redirect_uri", &self.redirect_uri),
            ("code_challenge", &granted.challenge),
            ("code_challenge_method", "S256"),
            ("resource", &granted.audience),
            ("scope", &granted.scope),
        ];
        all.extend(self.state.as_deref().map(|state| ("state", state)));
        all
    }

    /// The page of ours that the login leads back to.
    pub(super) fn way_back(&self, granted: &Granted) -> Result<ReturnTo, Fault> {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.parameters(granted));
        ReturnTo::parse(&format!("{AUTHORIZE}?{}", query.finish()))
    }
}
