//! The token endpoint (OAuth 2.1, section 3.2): short access tokens for one resource (RFC 9068).

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use gateway_core::actor::{Actor, Groups};
use gateway_core::audit::{Decision, EventKind};
use gateway_core::lock::LockFacts;
use gateway_core::login::{Fault, Person};
use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::assertion;
use super::code::Presented;
use super::json_refusal;
use super::refresh::Family;
use super::resource::Resource;
use crate::context::{Login, Source};
use crate::evidence::About;
use crate::fields::Fields;
use crate::pages::Connected;
use crate::seal::{public_id, random_id};

/// The scopes that are there. What a call may do is no question of scopes here: policies decide it.
pub(super) const SCOPES: [&str; 2] = ["mcp", "offline_access"];

/// Of the scopes asked for, those that are there; `mcp` in any case.
pub(super) fn granted_scope(asked: Option<&str>, refreshes: bool) -> String {
    let offline =
        refreshes && asked.is_some_and(|asked| asked.split(' ').any(|scope| scope == "offline_access"));
    if offline { SCOPES.join(" ") } else { "mcp".to_owned() }
}

/// What a token is issued for.
pub(super) struct Issue<'a> {
    pub(super) client: &'a str,
    pub(super) audience: &'a str,
    pub(super) scope: &'a str,
    pub(super) person: &'a Person,
    /// The family of refresh tokens beside it.
    pub(super) family: Option<&'a str>,
}

pub(super) async fn token(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    match answer(&login, &headers, &body, source).await {
        Ok(response) => response,
        Err(fault) => {
            login.refused(fault, About { source, ..About::default() });
            json_refusal(fault)
        }
    }
}

/// The client's id in a request that a client makes itself: clients are public, so the id is all.
pub(super) fn client_id<'a>(headers: &HeaderMap, fields: &'a Fields) -> Result<&'a str, Fault> {
    let authenticates = headers.contains_key(header::AUTHORIZATION)
        || ["client_secret", "client_assertion"].into_iter().any(|name| fields.text(name).is_some());
    if authenticates { Err(Fault::ClientAuthentication) } else { fields.required("client_id") }
}

async fn answer(
    login: &Login,
    headers: &HeaderMap,
    body: &[u8],
    source: Option<IpAddr>,
) -> Result<Response<Body>, Fault> {
    let fields = Fields::form(headers, body)?;
    match fields.required("grant_type")? {
        "authorization_code" => by_code(login, headers, &fields, source).await,
        "refresh_token" => by_refresh(login, headers, &fields, source).await,
        assertion::GRANT_TYPE => assertion::by_assertion(login, headers, &fields, source).await,
        _ => Err(Fault::GrantType),
    }
}

async fn by_code(
    login: &Login,
    headers: &HeaderMap,
    fields: &Fields,
    source: Option<IpAddr>,
) -> Result<Response<Body>, Fault> {
    let client = client_id(headers, fields)?;
    let code = fields.secret("code").ok_or(Fault::RequestMalformed)?;
    let verifier = fields.secret("code_verifier");
    let presented = Presented {
        code: &code,
        client,
        redirect_uri: fields.text("redirect_uri"),
        verifier: verifier.as_ref(),
        resource: fields.text("resource"),
    };
    let family = login.family_id();
    let content = login.use_code(&presented, &family).await?;
    let person = content.person.person();
    let refresh = match content.refreshes {
        true => Some(login.begin_family(&family, Family::of(&content, login.now())).await?),
        false => None,
    };
    let issue = Issue {
        client,
        audience: &content.audience,
        scope: &content.scope,
        person: &person,
        family: refresh.is_some().then_some(family.as_str()),
    };
    let access = login.access_token(&issue, source).await?;
    login.token_answer(&access, refresh.as_ref(), issue.scope)
}

async fn by_refresh(
    login: &Login,
    headers: &HeaderMap,
    fields: &Fields,
    source: Option<IpAddr>,
) -> Result<Response<Body>, Fault> {
    let client = client_id(headers, fields)?;
    let presented = fields.secret("refresh_token").ok_or(Fault::RequestMalformed)?;
    let held = login.held(&presented, client, fields.text("resource")).await?;
    let person = held.family.person.person();
    let scope = held.family.scope.clone();
    let issue = Issue {
        client,
        audience: &held.family.audience,
        scope: &scope,
        person: &person,
        family: Some(&held.id),
    };
    // First the evidence: where it cannot be written, the client keeps the token it has.
    let access = login.access_token(&issue, source).await?;
    let refresh = login.turn(held).await?;
    login.token_answer(&access, Some(&refresh), &scope)
}

impl Login {
    /// Signs an access token, after its evidence was written down.
    pub(super) async fn access_token(
        &self,
        issue: &Issue<'_>,
        source: Option<IpAddr>,
    ) -> Result<Secret, Fault> {
        let facade = self.facade()?;
        let resource = Resource::parse(issue.audience, self.origin())?;
        let (user, surface) = (Some(issue.person.user.clone()), Some(issue.client.into()));
        let actor = Actor { user, surface, groups: issue.person.groups.clone(), ..Actor::default() };
        self.heed_locks(&LockFacts {
            environment: Some(&resource.environment),
            server: Some(&resource.server),
            actor: Some(&actor),
            ..LockFacts::default()
        })?;
        let now = self.now();
        let lifetime = i64::try_from(facade.settings.access_lifetime.as_secs()).unwrap_or(i64::MAX);
        let Value::Object(mut claims) = json!({
            "iss": self.origin(),
            "sub": issue.person.user.to_string(),
            "aud": issue.audience,
            "client_id": issue.client,
            "scope": issue.scope,
            "iat": now.seconds(),
            "exp": now.seconds().saturating_add(lifetime),
            "jti": random_id(&*self.random),
        }) else {
            return Err(Fault::Unavailable);
        };
        groups(&mut claims, &issue.person.groups);
        let token = facade.signer.sign(&claims)?;
        let session = issue.family.map(public_id);
        let about = About {
            user: Some(&issue.person.user),
            client: Some(issue.client),
            source,
            session: session.as_deref(),
        };
        let mut event = self.event(EventKind::AccessTokenIssued, about);
        event.environment = Some(resource.environment);
        event.server = Some(resource.server);
        event.decision = Some(Decision::Allow);
        event.scopes = issue.scope.split(' ').map(str::to_owned).collect();
        self.record(event).await?;
        Ok(token)
    }

    /// The answer (OAuth 2.1, section 3.2.3), in a buffer that is zeroed once sent.
    #[expect(clippy::disallowed_methods, reason = "the tokens are handed to their client once")]
    pub(super) fn token_answer(
        &self,
        access: &Secret,
        refresh: Option<&Secret>,
        scope: &str,
    ) -> Result<Response<Body>, Fault> {
        #[derive(serde::Serialize)]
        struct Answer<'a> {
            access_token: &'a str,
            token_type: &'a str,
            expires_in: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            refresh_token: Option<&'a str>,
            scope: &'a str,
        }
        let text = |secret| std::str::from_utf8(Secret::expose(secret)).map_err(|_| Fault::Unavailable);
        let answer = Answer {
            access_token: text(access)?,
            token_type: "Bearer",
            expires_in: self.facade()?.settings.access_lifetime.as_secs(),
            refresh_token: refresh.map(text).transpose()?,
            scope,
        };
        let size = access.len().saturating_add(512);
        let mut body = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *body, &answer).map_err(|_| Fault::Unavailable)?;
        let mut response = Response::new(Body::from(Bytes::from_owner(body)));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// The groups at the time of the login, where they are known (RFC 9068, section 2.2.3.1).
fn groups(claims: &mut Map<String, Value>, groups: &Groups) {
    if let Groups::Known(groups) = groups {
        claims.insert("groups".to_owned(), groups.iter().map(ToString::to_string).collect());
    }
}
