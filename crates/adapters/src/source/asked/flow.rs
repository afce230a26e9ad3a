//! The requests of each source.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::{Actor, UserIdentity};
use gateway_core::id::AgentName;
use gateway_core::lease::VersionId;
use gateway_core::manifest::{
    AssertedSubject, CredentialSource, IdentityAssertion, JwtBearer, ProviderSpec, TokenExchange,
    TokenRequest,
};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use serde_json::{Map, Value, json};

use super::{Order, Shared, provider};
use crate::signing::{Algorithm, Purpose};
use crate::source::provider::{ACCESS_TOKEN, Form, ID_JAG, Issued, JWT, ProviderError, Tokens};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long a signed statement about who acts holds, in seconds: one request.
const ACTOR_SECONDS: i64 = 60;

/// What came of it.
pub(super) struct Obtained {
    pub(super) tokens: Tokens,
    pub(super) version: VersionId,
    pub(super) source: &'static str,
}

impl Shared {
    pub(super) async fn obtain(&self, order: &Order) -> Result<(Obtained, Arc<ProviderSpec>), Refusal> {
        let source = order.permit.binding().spec.source.as_ref().ok_or(Code::ModeUnavailable)?;
        let request = source.request().ok_or(Code::ModeUnavailable)?;
        let provider = Arc::clone(provider(&order.permit, &request.provider)?);
        let (tokens, version) = match source {
            CredentialSource::ClientCredentials(request) => {
                self.client_credentials(order, &provider, request).await
            }
            CredentialSource::TokenExchange(exchange) => {
                self.token_exchange(order, &provider, exchange).await
            }
            CredentialSource::JwtBearer(bearer) => self.jwt_bearer(order, &provider, bearer).await,
            CredentialSource::IdentityAssertion(assertion) => {
                self.identity_assertion(order, &provider, assertion).await
            }
            CredentialSource::Grant(_)
            | CredentialSource::Minted(_)
            | CredentialSource::Leased(_)
            | CredentialSource::AppInstallation(_) => Err(Code::ModeUnavailable.into()),
        }?;
        Ok((Obtained { tokens, version, source: source.word() }, provider))
    }

    async fn client_credentials(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        request: &TokenRequest,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let form = Form::grant("client_credentials")
            .optional("resource", request.resource.as_deref())
            .optional("audience", request.audience.as_deref());
        self.ask(order, provider, request, form, Issued::AccessToken).await
    }

    async fn token_exchange(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        exchange: &TokenExchange,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let request = &exchange.token;
        let subject = order.permit.presented().ok_or(Code::SubjectTokenMissing)?;
        let actor = exchange.actor_token.then(|| self.actor_token(order, provider)).transpose()?;
        let mut form = Form::grant(TOKEN_EXCHANGE)
            .secret("subject_token", subject.token())
            .text("subject_token_type", ACCESS_TOKEN)
            .text("requested_token_type", ACCESS_TOKEN)
            .optional("resource", request.resource.as_deref())
            .optional("audience", request.audience.as_deref());
        if let Some(actor) = &actor {
            form = form.secret("actor_token", actor).text("actor_token_type", JWT);
        }
        self.ask(order, provider, request, form, Issued::ExchangedToken).await
    }

    /// The gateway's own word that the agent acts (RFC 8693, section 2.1).
    fn actor_token(&self, order: &Order, provider: &ProviderSpec) -> Result<Secret, Refusal> {
        let absent = || Refusal::new(Code::SubjectTokenMissing).because("no agent acts in this call");
        let agent = order.actor.as_ref().and_then(|actor| actor.agent.as_ref()).ok_or_else(absent)?;
        let mut id = [0_u8; 16];
        self.random.fill(&mut id);
        let now = self.clock.now().seconds();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), self.public_url.as_str().into());
        claims.insert("sub".to_owned(), agent.as_str().into());
        claims.insert("aud".to_owned(), provider.issuer.as_str().into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(ACTOR_SECONDS).into());
        claims.insert("jti".to_owned(), URL_SAFE_NO_PAD.encode(id).into());
        let signed = self.signer.sign(Purpose::Actor, Algorithm::default(), &claims);
        signed.map_err(|error| Refusal::new(Code::Internal).because(error))
    }

    async fn jwt_bearer(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        bearer: &JwtBearer,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let client = self.client.client_id(provider).await?;
        let actor = order.actor.as_ref();
        let subject = subject_of(bearer, &client, actor).ok_or(Code::SubjectTokenMissing)?;
        let metadata = self.client.metadata(provider).await?;
        let audience = if metadata.discovered { &*metadata.issuer } else { metadata.token.as_str() };
        let claims: Value = json!({"sub": subject, "aud": audience});
        let assertion = self.client.assertion(provider, &client, "JWT", claims).await?;
        self.redeem(order, provider, &bearer.token, &assertion).await
    }

    async fn redeem(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        request: &TokenRequest,
        assertion: &Secret,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let form = Form::grant(JWT_BEARER)
            .secret("assertion", assertion)
            .optional("resource", request.resource.as_deref())
            .optional("audience", request.audience.as_deref());
        self.ask(order, provider, request, form, Issued::AccessToken).await
    }

    /// The caller's token for an assertion at the enterprise's identity provider, and the assertion for a
    /// token at the server's own authorization server.
    async fn identity_assertion(
        &self,
        order: &Order,
        target: &ProviderSpec,
        assertion: &IdentityAssertion,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let request = &assertion.token;
        let enterprise = provider(&order.permit, &assertion.identity_provider)?;
        let subject = order.permit.presented().ok_or(Code::SubjectTokenMissing)?;
        let form = Form::grant(TOKEN_EXCHANGE)
            .secret("subject_token", subject.token())
            .text("subject_token_type", ACCESS_TOKEN)
            .text("requested_token_type", ID_JAG)
            .text("audience", target.issuer.as_str())
            .optional("resource", request.resource.as_deref());
        let (asserted, _) = self.ask(order, enterprise, request, form, Issued::IdentityAssertion).await?;
        self.redeem(order, target, request, &asserted.access_token).await
    }

    /// One request: recorded, asked, answered, and what was answered recorded.
    async fn ask(
        &self,
        order: &Order,
        provider: &ProviderSpec,
        request: &TokenRequest,
        form: Form<'_>,
        issued: Issued,
    ) -> Result<(Tokens, VersionId), Refusal> {
        let scopes = request.scopes_for(order.permit.tool());
        self.requested(order, provider, &scopes).await?;
        let answer = self.client.ask(provider, form.scopes(&scopes), &scopes, issued).await;
        let outcome = answer.and_then(|tokens| {
            // An assertion says its scopes inside; the token it is redeemed for is judged.
            if issued == Issued::IdentityAssertion || tokens.covers(&scopes) {
                Ok((tokens, self.new_version()))
            } else {
                let refused = ProviderError::refused("the provider granted fewer scopes than were asked for");
                Err(refused.answering("scope_reduced"))
            }
        });
        self.answered(order, provider, &outcome)?;
        Ok(outcome?)
    }
}

/// Whom an assertion speaks of; absent where the call comes without that party.
fn subject_of<'a>(bearer: &JwtBearer, client: &'a str, actor: Option<&'a Actor>) -> Option<&'a str> {
    match bearer.subject {
        AssertedSubject::Client => Some(client),
        AssertedSubject::User => {
            let known = |user: &&UserIdentity| bearer.user_issuer.as_deref() == Some(&*user.issuer);
            actor?.user.as_ref().filter(known).map(|user| &*user.subject)
        }
        AssertedSubject::Agent => actor?.agent.as_ref().map(AgentName::as_str),
        AssertedSubject::Workload => actor?.workload.as_ref().map(gateway_core::id::WorkloadName::as_str),
    }
}
