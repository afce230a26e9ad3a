//! One request of a browser: who is logged in, what the query says, and the API as that operator.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gateway_core::login::Fault;
use gateway_core::operator::Operator;
use gateway_login::context::Source;
use gateway_login::fields::Fields;
use gateway_login::page::{Html, refusal};
use gateway_login::sign_in::ReturnTo;
use gateway_login::{Signed, going};
use http::request::{Builder, Parts};
use http::{HeaderMap, Method, Request, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::parts::link;
use crate::router::Console;
use crate::shapes::Items;
use crate::trouble::Trouble;
use crate::{frame, live};

/// How many pages of a list that is counted as a whole are read at most.
const MOST_PAGES: usize = 20;

/// An operator's visit to a page.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) console: Arc<Console>,
    pub(crate) signed: Signed,
    pub(crate) operator: Operator,
    /// The query of a page.
    pub(crate) query: Fields,
    /// The page's path, for its place in the navigation.
    pub(crate) path: String,
}

/// An answer in place of a visit: the way to the login, or a page that says what is missing.
#[derive(Debug)]
pub(crate) struct Instead(Box<Response>);

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

fn faulty(fault: Fault) -> Instead {
    Instead(Box::new(refusal(fault, &Html::new()).into_response()))
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Instead> {
        let path = parts.uri.path().to_owned();
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()).map_err(faulty)?;
        // What a page asks by itself keeps no session open: somebody may have left the desk.
        let unattended = parts.headers.contains_key(live::HEADER);
        let signed = if unattended {
            console.login.signed_unattended(&parts.headers).await
        } else {
            console.login.signed(&parts.headers).await
        };
        let Some(signed) = signed.map_err(faulty)? else {
            let place = parts.uri.path_and_query().map_or("/console", |place| place.as_str());
            let source = parts.extensions.get::<Source>().map(|Source(address)| *address);
            return Err(to_login(console, &parts.headers, place, source).await);
        };
        Self::of(console, signed, query, path)
    }
}

/// Sends the browser to log in, and back to the page it wanted.
async fn to_login(console: &Console, headers: &HeaderMap, place: &str, source: Option<IpAddr>) -> Instead {
    // A query that cannot be a way back is left behind.
    let place = ReturnTo::parse(place).or_else(|_| ReturnTo::parse("/console"));
    let begun = match place {
        Ok(place) => console.login.begin(headers, place, false, source).await,
        Err(fault) => Err(fault),
    };
    match begun {
        Ok(way) => Instead(Box::new(going(&way).into_response())),
        Err(fault) => faulty(fault),
    }
}

impl Visit {
    /// The visit of a person who is logged in; a page that says so where they have no role.
    pub(crate) fn of(
        console: &Arc<Console>,
        signed: Signed,
        query: Fields,
        path: String,
    ) -> Result<Self, Instead> {
        match console.roles.of(&signed.person) {
            Some(operator) => Ok(Self { console: Arc::clone(console), signed, operator, query, path }),
            None => Err(Instead(Box::new(frame::no_role(console, &signed)))),
        }
    }

    /// The visit of a form: from our own page, in the same browser.
    pub(crate) async fn of_form(
        console: &Arc<Console>,
        headers: &HeaderMap,
        body: &[u8],
        action: &str,
    ) -> Result<Self, Instead> {
        let signed = console.login.signed(headers).await.map_err(faulty)?;
        let signed = signed.ok_or_else(|| faulty(Fault::SessionMissing))?;
        let fields = Fields::form(headers, body).map_err(faulty)?;
        console
            .login
            .check_form(headers, &fields, gateway_login::cookie::Kind::Session, action)
            .map_err(faulty)?;
        Self::of(console, signed, fields, action.to_owned())
    }

    /// What the query says of these fields, for the API and for the next page.
    pub(crate) fn said<'a>(&'a self, fields: &[&'a str]) -> Vec<(&'a str, Option<&'a str>)> {
        fields.iter().map(|name| (*name, self.query.text(name))).collect()
    }

    /// The way to the page after this one, with the same conditions; nothing on the last one.
    pub(crate) fn further(&self, place: &str, fields: &[&str], next: Option<&str>) -> Html {
        let Some(next) = next else { return Html::new() };
        let mut query = self.said(fields);
        query.push(("cursor", Some(next)));
        Html::new().raw("<p>").html(&link(&address(place, &query), "Next page")).raw("</p>")
    }

    /// Reads from the API.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<T, Trouble> {
        let address = address(path, query);
        self.ask(&address, Request::builder().method(Method::GET).uri(&address), Bytes::new()).await
    }

    /// Reads a list page after page, as one; `next` is left where there is still more after [`MOST_PAGES`].
    pub(crate) async fn every<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
    ) -> Result<Items<T>, Trouble> {
        let mut whole: Items<T> = self.read(path, query).await?;
        for _ in 1..MOST_PAGES {
            let Some(next) = whole.next.take() else { return Ok(whole) };
            let asked = [query, &[("cursor", Some(next.as_str()))]].concat();
            let page: Items<T> = self.read(path, &asked).await?;
            whole.items.extend(page.items);
            whole.next = page.next;
        }
        Ok(whole)
    }

    /// Sends the API one act; where `seen` is the tag of what a page showed, only on that.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        seen: Option<&str>,
    ) -> Result<T, Trouble> {
        let mut request = Request::builder().method(Method::POST).uri(path);
        if let Some(seen) = seen {
            request = request.header(header::IF_MATCH, format!("\"{seen}\""));
        }
        self.ask(path, request, Bytes::from(body.to_string())).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        address: &str,
        request: Builder,
        body: Bytes,
    ) -> Result<T, Trouble> {
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| Trouble::NotThere)?;
        let answer = self.console.api.call(self.operator.clone(), request).await;
        if !answer.status().is_success() {
            return Err(Trouble::of(&answer));
        }
        serde_json::from_slice(answer.body()).map_err(|error| {
            tracing::error!(%error, address, "the console does not understand the API");
            Trouble::Senseless
        })
    }
}

/// A path with the parameters that say anything.
pub(crate) fn address(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let mut pairs = Serializer::new(String::new());
    for (name, value) in query {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    let query = pairs.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
