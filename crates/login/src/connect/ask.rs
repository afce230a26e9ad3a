//! The connect page: what is asked for, by whom and for what, before anybody is sent to the provider.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use gateway_core::login::Fault;
use http::{HeaderMap, Response, StatusCode, Uri};

use super::link::{Asked, Link, held};
use super::{BEGIN, host, refused, scope_list};
use crate::context::{Login, Source};
use crate::fields::Fields;
use crate::form::FIELD;
use crate::page;
use crate::page::Html;
use crate::pages::{Connected, going, sign_out_form};
use crate::session::Signed;
use crate::sign_in::ReturnTo;

pub(super) async fn page(
    State(login): State<Arc<Login>>,
    Path((environment, provider)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    uri: Uri,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let signed = match login.signed(&headers).await {
        Ok(signed) => signed,
        Err(fault) => return refused(&login, fault, None, connected),
    };
    let query = query.unwrap_or_default();
    let shown = show(&login, (&environment, &provider), &query, signed.as_ref());
    match shown {
        Ok(Some(content)) => page::page(StatusCode::OK, "Connect your account", &content),
        Ok(None) => {
            let source = connected.map(|Extension(Source(address))| address);
            match log_in(&login, &uri, &headers, source).await {
                Ok(response) => response,
                Err(fault) => refused(&login, fault, None, connected),
            }
        }
        Err(fault) => refused(&login, fault, signed.as_ref(), connected),
    }
}

/// Who are they? They come back here.
async fn log_in(
    login: &Login,
    uri: &Uri,
    headers: &HeaderMap,
    source: Option<IpAddr>,
) -> Result<Response<Body>, Fault> {
    let place = uri.path_and_query().map_or(uri.path(), http::uri::PathAndQuery::as_str);
    let way = login.begin(headers, ReturnTo::parse(place)?, false, source).await?;
    Ok(going(&way))
}

/// The page; nothing where the person must log in first.
fn show(
    login: &Login,
    (environment, provider): (&str, &str),
    query: &str,
    signed: Option<&Signed>,
) -> Result<Option<Html>, Fault> {
    let link = Link::read(environment, provider, &Fields::parse(query.as_bytes())?)?;
    link.check(login)?;
    let Some(signed) = signed else { return Ok(None) };
    let asked = link.judge(login, &signed.person)?;
    let had = held(login, &asked.offer, &signed.person.user)?;
    let place = host(&asked.offer.provider.issuer);
    let content = describe(&asked, &link, signed, &had)
        .raw("<form method=\"post\" action=\"/connect/begin\">")
        .html(&link.hidden())
        .hidden(FIELD, &login.form_token(&signed.cookie, BEGIN))
        .raw("<button class=\"main\">Continue to ")
        .text(&place)
        .raw("</button></form><p><a href=\"/grants\">Your connected accounts</a></p>")
        .html(&sign_out_form(login, &signed.cookie));
    Ok(Some(content))
}

fn describe(asked: &Asked, link: &Link, signed: &Signed, had: &[String]) -> Html {
    let provider = &asked.offer.provider;
    let mut servers: Vec<&str> =
        asked.offer.servers.iter().map(gateway_core::id::ServerName::as_str).collect();
    // A call led here: it was one server.
    if let Some(server) = link.server() {
        servers = vec![server];
    }
    let mut content = Html::new()
        .raw("<p>Tools need your own account. You are sent to the provider, which asks you whether this gateway may \
              act for you there. Your password stays with the provider. What you grant is kept for this gateway: \
              applications never get it, and a server gets only the token that its own call needs.</p><dl><dt>Provider</dt><dd><strong>")
        .text(provider.name.as_str())
        .raw("</strong> at ")
        .text(&provider.issuer)
        .raw("</dd><dt>For</dt><dd>the server <strong>")
        .text(&servers.join(", "))
        .raw("</strong> in the environment <strong>")
        .text(provider.environment.as_str())
        .raw("</strong></dd><dt>It asks for</dt><dd>")
        .html(&scope_list(&asked.scopes))
        .raw("</dd><dt>You are</dt><dd><strong>")
        .text(&signed.person.user.subject)
        .raw("</strong> of ")
        .text(&signed.person.user.issuer)
        .raw("</dd></dl>");
    if !had.is_empty() {
        content = content
            .raw("<p>You have connected an account there already. What you grant now replaces it. You granted:</p>")
            .html(&scope_list(had));
    }
    content
}
