//! The authorization endpoint (OAuth 2.1, section 4.1): asks the person, has them log in, and answers
//! the client with a code.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use gateway_core::login::Fault;
use gateway_core::secret::Secret;
use http::{HeaderMap, Response};
use url::Url;

use super::consent;
use super::request::{Asked, Prompt};
use crate::context::{Login, Source};
use crate::evidence::About;
use crate::fields::Fields;
use crate::page::{Html, redirect, refusal};
use crate::pages::Connected;

pub(super) async fn authorize(
    State(login): State<Arc<Login>>,
    RawQuery(query): RawQuery,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    let fields = match Fields::parse(query.unwrap_or_default().as_bytes()) {
        Ok(fields) => fields,
        Err(fault) => return refused(&login, fault, None, source),
    };
    let asked = match Asked::read(&login, &fields).await {
        Ok(asked) => asked,
        Err(fault) => return refused(&login, fault, None, source),
    };
    match proceed(&login, &asked, &fields, &headers).await {
        Ok(response) => response,
        Err(fault) => refused(&login, fault, Some(&asked), source),
    }
}

async fn proceed(
    login: &Login,
    asked: &Asked,
    fields: &Fields,
    headers: &HeaderMap,
) -> Result<Response<Body>, Fault> {
    let granted = asked.judge(fields, login.origin())?;
    let signed = login.signed(headers).await?;
    if let (Some(signed), Prompt::Needed) = (&signed, granted.prompt)
        && login.has_consent(signed, &asked.consent(&granted)).await?
    {
        let code = login.issue_code(asked, &granted, &signed.person).await?;
        return Ok(redirect(&with_code(login, asked, &code)));
    }
    consent::ask(login, asked, &granted, signed.as_ref(), headers)
}

/// A page of ours says what is wrong. The client gets its error only when the person takes it there:
/// anybody may register a client, and nobody may use us to send people to places of their own.
pub(super) fn refused(
    login: &Login,
    fault: Fault,
    asked: Option<&Asked>,
    source: Option<IpAddr>,
) -> Response<Body> {
    let client = asked.map(|asked| asked.client.id.as_str());
    login.refused(fault, About { client, source, ..About::default() });
    let mut more = Html::new();
    if let Some(asked) = asked {
        let place = asked.redirect.host_str().unwrap_or_default();
        more = more
            .raw("<p><a href=\"")
            .text(&with_error(login, asked, fault))
            .raw("\" rel=\"noreferrer\">Back to the application at ")
            .text(place)
            .raw("</a></p>");
    }
    refusal(fault, &more)
}

/// The client's redirect URI with a code, its own state, and who we are (RFC 9207).
#[expect(clippy::disallowed_methods, reason = "the code goes to the client in the browser's address")]
pub(super) fn with_code(login: &Login, asked: &Asked, code: &Secret) -> String {
    answer(login, asked, &[("code", &String::from_utf8_lossy(code.expose()))])
}

/// The client's redirect URI with an error.
pub(super) fn with_error(login: &Login, asked: &Asked, fault: Fault) -> String {
    let row = fault.row();
    answer(login, asked, &[("error", row.oauth), ("error_description", row.text)])
}

fn answer(login: &Login, asked: &Asked, pairs: &[(&str, &str)]) -> String {
    let mut url: Url = asked.redirect.clone();
    let mut query = url.query_pairs_mut();
    query.extend_pairs(pairs);
    if let Some(state) = &asked.state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", login.origin());
    drop(query);
    url.into()
}
