//! The token endpoint and the revocation endpoint, as a public client speaks to them (RFC 6749; RFC 7009).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_adapters::https::{OutboundRequest, OutboundResponse};
use gateway_core::secret::Secret;
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use url::Url;

use super::form::{Value, encode};
use super::{Login, Revocation};
use crate::connect::keep::tokens::Tokens;
use crate::connect::trouble::{Code, Trouble};

/// How long a token is taken to last whose end is not said.
const UNSAID: u64 = 300;

/// What is given for tokens.
pub(super) enum Grant<'a> {
    /// The browser's answer.
    Code { code: &'a Secret, verifier: &'a Secret, redirect_uri: &'a str },
    /// What came with the former tokens.
    Refresh(&'a Secret),
}

/// Who asks whom.
pub(super) struct Place<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) token_endpoint: &'a Url,
    pub(super) revocation_endpoint: Option<&'a Url>,
}

/// Why there are no tokens.
pub(super) enum Refused {
    /// The authorization server said no.
    No(String),
    /// It said nothing.
    Trouble(Trouble),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    error: String,
    error_description: Option<String>,
}

/// Asks for tokens for the door.
pub(super) async fn ask(login: &Login, place: &Place<'_>, grant: Grant<'_>) -> Result<Tokens, Refused> {
    let mut fields =
        vec![("client_id", Value::Open(place.client_id)), ("resource", Value::Open(login.door.as_str()))];
    let kept = match grant {
        Grant::Code { code, verifier, redirect_uri } => {
            fields.push(("grant_type", Value::Open("authorization_code")));
            fields.push(("code", Value::Secret(code)));
            fields.push(("code_verifier", Value::Secret(verifier)));
            fields.push(("redirect_uri", Value::Open(redirect_uri)));
            None
        }
        Grant::Refresh(token) => {
            fields.push(("grant_type", Value::Open("refresh_token")));
            fields.push(("refresh_token", Value::Secret(token)));
            Some(token)
        }
    };
    let answer = post(login, place.token_endpoint, &fields).await.map_err(Refused::Trouble)?;
    if !answer.status.is_success() {
        return Err(refused(&answer));
    }
    let read = serde_json::from_slice::<Answer>(&answer.body).map_err(|_| {
        Refused::Trouble(Trouble::new(Code::Token).because("the answer is no token response"))
    })?;
    let access = Secret::new(read.access_token.into_bytes());
    let refresh = read.refresh_token.map(|text| Secret::new(text.into_bytes()));
    if !read.token_type.eq_ignore_ascii_case("bearer") || access.is_empty() || !access.is_header_safe() {
        return Err(Refused::Trouble(Trouble::new(Code::Token).because("the token is no bearer token")));
    }
    let mut serial = [0_u8; 9];
    login.random.fill(&mut serial);
    let lasts = Duration::from_secs(read.expires_in.unwrap_or(UNSAID).min(86_400 * 30));
    Ok(Tokens {
        serial: URL_SAFE_NO_PAD.encode(serial),
        issuer: place.issuer.to_owned(),
        client_id: place.client_id.to_owned(),
        token_endpoint: place.token_endpoint.clone(),
        revocation_endpoint: place.revocation_endpoint.cloned(),
        expires_at: login.clock.now().plus(lasts),
        access,
        // Who sends no new one lets the former go on (RFC 6749, section 6).
        refresh: refresh.or_else(|| kept.map(Secret::duplicate)),
    })
}

/// Gives the refresh token back, or the access token where there is no other.
pub(super) async fn revoke(login: &Login, tokens: &Tokens) -> Result<Revocation, Trouble> {
    let (Some(endpoint), Some(refresh)) = (&tokens.revocation_endpoint, &tokens.refresh) else {
        return Ok(Revocation::NotOffered);
    };
    let fields = [
        ("client_id", Value::Open(&tokens.client_id)),
        ("token", Value::Secret(refresh)),
        ("token_type_hint", Value::Open("refresh_token")),
    ];
    let answer = post(login, endpoint, &fields).await?;
    if answer.status.is_success() {
        return Ok(Revocation::Done);
    }
    Err(match refused(&answer) {
        Refused::No(why) => Trouble::new(Code::Token).because(why),
        Refused::Trouble(trouble) => trouble,
    })
}

async fn post(login: &Login, url: &Url, fields: &[(&str, Value<'_>)]) -> Result<OutboundResponse, Trouble> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let request = OutboundRequest::new(Method::POST, url.clone())
        .header(header::CONTENT_TYPE, form)
        .header(header::ACCEPT, HeaderValue::from_static("application/json"))
        .body(encode(fields));
    login.http.send(request).await.map_err(|error| Trouble::new(Code::Unreachable).because(error))
}

fn refused(answer: &OutboundResponse) -> Refused {
    let status = answer.status.as_u16();
    if answer.status.is_server_error() || status == 429 {
        let why = format!("the authorization server answered {status}");
        return Refused::Trouble(Trouble::new(Code::Unreachable).because(why));
    }
    Refused::No(match serde_json::from_slice::<Fault>(&answer.body) {
        Ok(fault) => {
            [Some(fault.error), fault.error_description].into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        Err(_) => format!("the authorization server answered {status}"),
    })
}
