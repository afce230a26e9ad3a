//! The client of the control API. It follows no redirect, takes no proxy from the environment, and
//! sends the operator's token to the address that was asked for and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use gateway_adapters::https::{
    OutboundClient, OutboundConfig, OutboundError, OutboundRequest, OutboundResponse,
};
use gateway_core::secret::Secret;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use url::Url;

use super::failure::{Exit, Failure};
use super::pick::{list, text};
use super::problem;

/// The largest answer taken: an export of everything.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How many items of a list are asked for at a time.
const PAGE: u32 = 500;

/// How the control API is reached.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Its address, without a path of its own.
    pub(super) control: Url,
    /// The only certificate authorities to trust; the system's where absent.
    pub(super) ca_file: Option<PathBuf>,
    /// The time for one answer.
    pub(super) timeout: Duration,
    /// Whether plain `http://` may leave this machine.
    pub(super) plain_http: bool,
}

/// The client.
pub(super) struct Client {
    control: Url,
    http: OutboundClient,
    runtime: Runtime,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Makes the client; touches no network.
    pub(super) fn open(reach: &Reach, token: Option<&Secret>) -> Result<Self, Failure> {
        let config = OutboundConfig {
            ca_file: reach.ca_file.clone(),
            timeout: reach.timeout,
            max_body: LARGEST_ANSWER,
            allow_plain_http: reach.plain_http,
            ..OutboundConfig::default()
        };
        let http = OutboundClient::new(&config).map_err(Failure::usage)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Failure::new(Exit::Refused, "the command line's own machinery cannot start").because(&error)
            })?;
        let authorization = token.map(bearer).transpose()?;
        Ok(Self { control: reach.control.clone(), http, runtime, authorization })
    }

    /// Gets a resource. `path` are segments, each escaped by itself.
    pub(super) fn fetch(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(OutboundRequest::new(Method::GET, url))
    }

    /// Gets a whole list, page after page, as one.
    pub(super) fn every(&self, path: &[&str], conditions: &[(&str, String)]) -> Result<Value, Failure> {
        let mut query = conditions.to_vec();
        query.push(("limit", PAGE.to_string()));
        self.whole(path, query)
    }

    /// The same in pages of the gateway's own size.
    pub(super) fn whole(&self, path: &[&str], mut query: Vec<(&str, String)>) -> Result<Value, Failure> {
        let first = query.len();
        let mut items = Vec::new();
        loop {
            let page = self.fetch(path, &query)?;
            items.extend(list(&page, "/items").iter().cloned());
            let next = text(&page, "/next");
            if next.is_empty() {
                return Ok(json!({"items": items}));
            }
            query.truncate(first);
            query.push(("cursor", next));
        }
    }

    /// Posts a document.
    pub(super) fn post(&self, path: &[&str], document: &Value) -> Result<Value, Failure> {
        self.post_with(path, &[], document)
    }

    /// Posts a document with a query.
    pub(super) fn post_with(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        document: &Value,
    ) -> Result<Value, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.post_to(url, document.to_string().into_bytes())
    }

    /// Posts a document that is spelled out already; it is zeroed once sent.
    pub(super) fn post_bytes(&self, path: &[&str], document: Vec<u8>) -> Result<Value, Failure> {
        self.post_to(self.url(path)?, document)
    }

    fn post_to(&self, url: Url, document: Vec<u8>) -> Result<Value, Failure> {
        let json = HeaderValue::from_static("application/json");
        self.ask(OutboundRequest::new(Method::POST, url).header(header::CONTENT_TYPE, json).body(document))
    }

    /// Waits between two questions of a command that follows something.
    pub(super) fn pause(&self, span: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    /// Deletes a resource.
    pub(super) fn delete(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(OutboundRequest::new(Method::DELETE, self.url(path)?))
    }

    /// Gets a public document of the control listener, outside of the API.
    pub(super) fn fetch_public(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(OutboundRequest::new(Method::GET, self.below(path)?))
    }

    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        self.below(&[&["v1"], path].concat())
    }

    fn below(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.control.clone();
        let refused = || Failure::usage(format!("`{}` is no base for the control API", self.control));
        // `push` would swallow dot segments: a name never is one.
        if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(Failure::usage("a name is empty, or is `.` or `..`"));
        }
        url.path_segments_mut().map_err(|()| refused())?.pop_if_empty().extend(path);
        Ok(url)
    }

    fn ask(&self, request: OutboundRequest) -> Result<Value, Failure> {
        let mut request = request.header(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let answer = self.runtime.block_on(self.http.send(request));
        read(&self.control, answer.map_err(|error| no_answer(&self.control, &error))?)
    }
}

#[expect(clippy::disallowed_methods, reason = "the operator's own token goes into the request's header")]
fn bearer(token: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = zeroize::Zeroizing::new(b"Bearer ".to_vec());
    value.extend_from_slice(token.expose());
    let mut header =
        HeaderValue::from_bytes(&value).map_err(|_| Failure::usage("the token cannot stand in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn no_answer(control: &Url, error: &OutboundError) -> Failure {
    if matches!(error, OutboundError::Insecure(_)) {
        return Failure::usage(format!("the operator token is not sent to `{control}` in clear text"))
            .hint("use an https:// address, a tunnel to a loopback address, or `--plain-http` within a trusted network");
    }
    let hint = "check that `mcp-gateway serve` runs and that `--control` names its control listener";
    Failure::new(Exit::NoAnswer, format!("no answer from the gateway at {control}")).because(error).hint(hint)
}

fn read(control: &Url, answer: OutboundResponse) -> Result<Value, Failure> {
    let status = answer.status;
    if status.is_redirection() {
        let message = format!("{control} answered with a redirect, which is never followed");
        return Err(
            Failure::new(Exit::Refused, message).hint("name the control listener itself with `--control`")
        );
    }
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let parsed = serde_json::from_slice::<Value>(&answer.body);
    match (status.is_success(), parsed) {
        (true, Ok(document)) => Ok(document),
        (false, Ok(document)) if document.is_object() => Err(problem::failure(status.as_u16(), &document)),
        _ => {
            let message = format!("{control} answered {} with something else than JSON", status.as_u16());
            let failure = Failure::new(Exit::Refused, message);
            Err(failure.hint("that is not the gateway's control API: check `--control`"))
        }
    }
}

#[cfg(test)]
mod tests;
