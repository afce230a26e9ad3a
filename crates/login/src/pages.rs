//! The pages of the sign-in itself.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, RawQuery, State};
use gateway_core::login::Fault;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::context::{Login, Source};
use crate::cookie::Kind;
use crate::evidence::About;
use crate::fields::Fields;
use crate::form::FIELD;
use crate::page::{Html, STYLE, page, redirect, refusal};
use crate::sign_in::{ReturnTo, Way};

pub(crate) type Connected = Option<Extension<Source>>;

/// Where the form of the sign-out goes.
pub(crate) const SIGN_OUT: &str = "/login/out";

pub(crate) async fn style() -> Response<Body> {
    let mut response = Response::new(Body::from(STYLE));
    for (name, value) in
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Begins a login, or says who is logged in.
pub(crate) async fn login(
    State(login): State<Arc<Login>>,
    RawQuery(query): RawQuery,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    match begin(&login, query.as_deref(), &headers, source).await {
        Ok(response) => response,
        Err(fault) => {
            login.refused(fault, About { source, ..About::default() });
            refusal(fault, &Html::new())
        }
    }
}

async fn begin(
    login: &Login,
    query: Option<&str>,
    headers: &HeaderMap,
    source: Option<IpAddr>,
) -> Result<Response<Body>, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes())?;
    let return_to = fields.text("return_to").map(ReturnTo::parse).transpose()?;
    let again = fields.text("again").is_some();
    if let (None, Some(signed), false) = (&return_to, login.signed(headers).await?, again) {
        let content = Html::new()
            .raw("<p>You are logged in as <strong>")
            .text(&signed.person.user.subject)
            .raw("</strong> of ")
            .text(&signed.person.user.issuer)
            .raw(".</p>")
            .html(&sign_out_form(login, &signed.cookie));
        return Ok(page(StatusCode::OK, "Logged in", &content));
    }
    let return_to = return_to.map_or_else(|| ReturnTo::parse(login.realm.home()), Ok)?;
    let way = login.begin(headers, return_to, again, source).await?;
    Ok(going(&way))
}

/// The way back from the provider.
pub(crate) async fn callback(
    State(login): State<Arc<Login>>,
    RawQuery(query): RawQuery,
    connected: Connected,
    headers: HeaderMap,
) -> Response<Body> {
    let source = connected.map(|Extension(Source(address))| address);
    let finished = match Fields::parse(query.unwrap_or_default().as_bytes()) {
        Ok(fields) => login.finish(&headers, &fields, source).await,
        Err(fault) => Err(fault),
    };
    match finished {
        Ok(way) => going(&way),
        Err(fault) => {
            login.refused(fault, About { source, ..About::default() });
            refusal(fault, &Html::new())
        }
    }
}

/// Ends the session.
pub(crate) async fn sign_out(
    State(login): State<Arc<Login>>,
    connected: Connected,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    match leave(&login, &headers, &body).await {
        Ok(response) => response,
        Err(fault) => {
            let source = connected.map(|Extension(Source(address))| address);
            login.refused(fault, About { source, ..About::default() });
            refusal(fault, &Html::new())
        }
    }
}

async fn leave(login: &Login, headers: &HeaderMap, body: &[u8]) -> Result<Response<Body>, Fault> {
    let fields = Fields::form(headers, body)?;
    let cookie = login.check_form(headers, &fields, Kind::Session, SIGN_OUT)?;
    login.end_session(&cookie).await?;
    let content = Html::new()
        .raw(
            "<p>This browser is logged out of the gateway. The identity provider may still remember you.</p>",
        )
        .raw("<p>Programs that you allowed keep what they have until it ends or is revoked.</p>")
        .raw("<p><a class=\"button\" href=\"/login?again=1\">Log in again</a></p>");
    let mut response = page(StatusCode::OK, "Logged out", &content);
    if let Some(forget) = login.jar().clear(Kind::Session) {
        response.headers_mut().append(header::SET_COOKIE, forget);
    }
    Ok(response)
}

/// The button that ends the session; for other pages too.
pub fn sign_out_form(login: &Login, cookie: &gateway_core::secret::Secret) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"/login/out\">")
        .hidden(FIELD, &login.form_token(cookie, SIGN_OUT))
        .raw("<button>Log out</button></form>")
}

/// Sends the browser on its way.
pub fn going(way: &Way) -> Response<Body> {
    with_cookies(redirect(&way.url), way)
}

/// Adds the cookies of a way to another answer.
pub(crate) fn with_cookies(mut response: Response<Body>, way: &Way) -> Response<Body> {
    for cookie in &way.cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

/// What is at no path of ours.
pub(crate) async fn nothing() -> Response<Body> {
    page(StatusCode::NOT_FOUND, "Nothing here", &Html::new().raw("<p>There is no such page.</p>"))
}
