//! The consent: one page for each client, shown before anything goes to the identity provider, so that
//! a client that somebody else registered cannot ride on what the person agreed to before.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use gateway_core::login::Fault;
use http::{HeaderMap, Response, StatusCode, header};

use super::authorize::{refused, with_code, with_error};
use super::client::Origin;
use super::request::{Asked, Granted};
use super::{CONSENT, redirect::RedirectUri};
use crate::context::{Login, Source};
use crate::cookie::Kind;
use crate::evidence::About;
use crate::fields::Fields;
use crate::form::FIELD;
use crate::page::{Html, leading_to, page};
use crate::pages::{Connected, sign_out_form, with_cookies};
use crate::session::Signed;
use crate::sign_in::Way;

/// The page.
pub(super) fn ask(
    login: &Login,
    asked: &Asked,
    granted: &Granted,
    signed: Option<&Signed>,
    headers: &HeaderMap,
) -> Result<Response<Body>, Fault> {
    let (browser, cookie) = login.browser(headers);
    let cookie = cookie.filter(|_| signed.is_none());
    // Bound to the session where there is one, so that a form of one person is none of another's.
    let bound = signed.map_or(&browser, |signed| &signed.cookie);
    let mut content = describe(asked, granted);
    if let Some(signed) = signed {
        content = content
            .raw("<p>You are logged in as <strong>")
            .text(&signed.person.user.subject)
            .raw("</strong>.</p>");
    } else {
        content = content.raw("<p>If you agree, you log in at your organisation next.</p>");
    }
    content = content.raw("<form method=\"post\" action=\"/oauth/consent\">");
    for (name, value) in asked.parameters(granted) {
        content = content.hidden(name, value);
    }
    content = content
        .hidden(FIELD, &login.form_token(bound, CONSENT))
        .raw("<button class=\"main\" name=\"decision\" value=\"allow\">Allow</button>")
        .raw("<button name=\"decision\" value=\"deny\">Do not allow</button></form>");
    if let Some(signed) = signed {
        content = content.html(&sign_out_form(login, &signed.cookie));
    }
    let mut response = page(StatusCode::OK, "Allow this application?", &content);
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn describe(asked: &Asked, granted: &Granted) -> Html {
    let client = &asked.client;
    let name = client.name.as_deref().unwrap_or("An application without a name");
    let origin = match &client.origin {
        Origin::Document { host } => Html::new().raw("described at <strong>").text(host).raw("</strong>"),
        Origin::Registered => Html::new().raw("it registered itself; nobody checked its name"),
    };
    let place = asked.redirect.host_str().unwrap_or_default();
    let whereto = match asked.redirect.scheme() {
        "http" => {
            Html::new().raw("a program on <strong>this device</strong> (").text(&asked.redirect_uri).raw(")")
        }
        _ => Html::new().raw("<strong>").text(place).raw("</strong>"),
    };
    Html::new()
        .raw("<p>It asks to use tools in your name. Allow it only if you just started this yourself.</p><dl><dt>Application</dt><dd><strong>")
        .text(name)
        .raw("</strong> – ")
        .html(&origin)
        .raw("</dd><dt>It wants to use</dt><dd>the server <strong>")
        .text(granted.resource.server.as_str())
        .raw("</strong> in the environment <strong>")
        .text(granted.resource.environment.as_str())
        .raw("</strong></dd><dt>You are sent back to</dt><dd>")
        .html(&whereto)
        .raw("</dd><dt>Its id</dt><dd><code>")
        .text(&client.id)
        .raw("</code></dd></dl>")
}

/// The answer of the person.
pub(super) async fn consent(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    let fields = match Fields::form(&headers, &body) {
        Ok(fields) => fields,
        Err(fault) => return refused(&login, fault, None, source),
    };
    match decide(&login, &fields, &headers, source).await {
        Ok(response) => response,
        // Without a form of ours nothing of it is believed, and nobody is led anywhere.
        Err(fault) => refused(&login, fault, None, source),
    }
}

async fn decide(
    login: &Login,
    fields: &Fields,
    headers: &HeaderMap,
    source: Option<std::net::IpAddr>,
) -> Result<Response<Body>, Fault> {
    let signed = login.signed(headers).await?;
    let kind = if signed.is_some() { Kind::Session } else { Kind::Browser };
    login.check_form(headers, fields, kind, CONSENT)?;
    // Everything is judged again: the form went through the browser.
    let asked = Asked::read(login, fields).await?;
    let granted = asked.judge(fields, login.origin())?;
    let whereto = place(&asked);
    match fields.text("decision") {
        Some("allow") => {}
        Some("deny") => {
            let user = signed.as_ref().map(|signed| &signed.person.user);
            let about = About { user, client: Some(&asked.client.id), source, session: None };
            login.refused(Fault::ConsentDenied, about);
            return Ok(leading_to(&with_error(login, &asked, Fault::ConsentDenied), &whereto));
        }
        _ => return Err(Fault::RequestMalformed),
    }
    let consent = asked.consent(&granted);
    let Some(signed) = signed else {
        let way: Way =
            login.begin_with(headers, asked.way_back(&granted)?, Some(consent), false, source).await?;
        return Ok(with_cookies(leading_to(&way.url, "your organisation's login"), &way));
    };
    login.add_consent(&signed, &consent).await?;
    let code = login.issue_code(&asked, &granted, &signed.person).await?;
    Ok(leading_to(&with_code(login, &asked, &code), &whereto))
}

fn place(asked: &Asked) -> String {
    let known = RedirectUri::parse(&asked.redirect_uri).is_some();
    let host = asked.redirect.host_str().filter(|_| known).unwrap_or_default();
    host.to_owned()
}
