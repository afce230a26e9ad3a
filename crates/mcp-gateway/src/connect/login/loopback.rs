//! Where the browser comes back to: a listener on the loopback interface, at a port of this login's own
//! (RFC 8252, section 7.3).

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use url::form_urlencoded;

use crate::connect::notes::Notes;
use crate::connect::trouble::{Code, Trouble};

/// What an answer to this login must say.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) state: String,
    pub(super) issuer: String,
    pub(super) names_issuer: bool,
}

/// The listener, until it is closed.
#[derive(Debug)]
pub(super) struct Loopback {
    pub(super) redirect_uri: String,
    answers: mpsc::Receiver<Result<Secret, Trouble>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

struct Desk {
    expected: Expected,
    authority: String,
    answers: mpsc::Sender<Result<Secret, Trouble>>,
    notes: Notes,
}

/// What a request to the listener is.
#[derive(Debug)]
enum Arrival {
    /// Not of this login: it changes nothing, or anybody could end a login.
    Foreign,
    /// The end of this login.
    Answer(Result<Secret, Trouble>),
}

impl Loopback {
    pub(super) async fn listen(expected: Expected, notes: Notes) -> Result<Self, Trouble> {
        let failed = |error: std::io::Error| {
            Trouble::new(Code::LoginLate).because(format_args!("no loopback port to come back to: {error}"))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let authority = listener.local_addr().map_err(failed)?.to_string();
        let redirect_uri = format!("http://{authority}/callback");
        // One place: what comes first decides.
        let (send, answers) = mpsc::channel(1);
        let desk = Arc::new(Desk { expected, authority, answers: send, notes });
        let router = Router::new().route("/callback", get(come_back)).with_state(desk);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            drop(axum::serve(listener, router).with_graceful_shutdown(stopped).await);
        });
        Ok(Self { redirect_uri, answers, stop, serving })
    }

    /// The code that the browser brings.
    pub(super) async fn answer(&mut self) -> Result<Secret, Trouble> {
        self.answers.recv().await.unwrap_or_else(|| Err(Trouble::new(Code::LoginLate)))
    }

    /// Lets the last page go out, and no longer.
    pub(super) async fn close(self) {
        let _ = self.stop.send(());
        let mut serving = self.serving;
        if tokio::time::timeout(std::time::Duration::from_millis(500), &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

async fn come_back(State(desk): State<Arc<Desk>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let own = headers.get(header::HOST).is_some_and(|host| host.as_bytes() == desk.authority.as_bytes());
    let arrival =
        if own { read(&desk.expected, query.as_deref().unwrap_or_default()) } else { Arrival::Foreign };
    let Arrival::Answer(answer) = arrival else {
        desk.notes.say("something came to the way back that is not the answer to this login; still waiting");
        return page(StatusCode::BAD_REQUEST, "This is not the login that is waited for.");
    };
    let arrived = answer.is_ok();
    if desk.answers.try_send(answer).is_err() {
        return page(StatusCode::BAD_REQUEST, "This login has come to its end already.");
    }
    if arrived {
        page(StatusCode::OK, "The login arrived. You may close this page and go back to your client.")
    } else {
        page(StatusCode::OK, "You are not logged in. Your client says why.")
    }
}

/// Reads an answer (RFC 6749, section 4.1.2; RFC 9207, section 2.4). First whether it is of this login, then who
/// says it, then what it says.
fn read(expected: &Expected, query: &str) -> Arrival {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let named = |name: &str| {
        let mut found = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_ref());
        (found.next(), found.next().is_some())
    };
    let [(state, states), (issuer, issuers), (code, codes), (error, errors)] =
        ["state", "iss", "code", "error"].map(named);
    let repeated = states || issuers || codes || errors;
    let is_ours = state.is_some_and(|state| Sha256::digest(state) == Sha256::digest(&expected.state));
    if repeated || !is_ours {
        return Arrival::Foreign;
    }
    match issuer {
        Some(issuer) if issuer != expected.issuer => {
            let why = format!("`{issuer}` answered for `{}`", expected.issuer);
            return Arrival::Answer(Err(Trouble::new(Code::Issuer).because(why)));
        }
        None if expected.names_issuer => {
            let why = format!("the answer does not name `{}`, which promised to", expected.issuer);
            return Arrival::Answer(Err(Trouble::new(Code::Issuer).because(why)));
        }
        _ => {}
    }
    Arrival::Answer(match (code, error) {
        (Some(code), None) if !code.is_empty() => Ok(Secret::copy_from(code.as_bytes())),
        (_, Some(error)) => {
            let (description, _) = named("error_description");
            let words: Vec<&str> = [Some(error), description].into_iter().flatten().collect();
            Err(Trouble::new(Code::LoginDenied).because(words.join(": ")))
        }
        _ => Err(Trouble::new(Code::LoginDenied).because("the answer holds no code")),
    })
}

fn page(status: StatusCode, text: &'static str) -> Response {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>mcp-gateway connect</title>\
         <h1>mcp-gateway connect</h1><p>{text}</p></html>"
    );
    let mut response = (status, Html(body)).into_response();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(names_issuer: bool) -> Expected {
        Expected { state: "s".into(), issuer: "https://g.example".into(), names_issuer }
    }

    fn refused(query: &str, names_issuer: bool) -> Option<Code> {
        match read(&expected(names_issuer), query) {
            Arrival::Foreign => None,
            Arrival::Answer(answer) => Some(answer.unwrap_err().code),
        }
    }

    #[test]
    fn a_code_counts_with_the_state_and_the_issuer_of_this_login() {
        let good = "code=c&state=s&iss=https%3A%2F%2Fg.example";
        assert!(matches!(read(&expected(true), good), Arrival::Answer(Ok(code)) if code.len() == 1));
        assert!(matches!(read(&expected(false), "code=c&state=s"), Arrival::Answer(Ok(_))));
    }

    #[test]
    fn what_is_not_of_this_login_ends_nothing() {
        for query in [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state=t&iss=https%3A%2F%2Fg.example",
            "error=access_denied",
            "code=c&code=d&state=s&iss=https%3A%2F%2Fg.example",
            "code=c&state=s&state=t",
        ] {
            assert_eq!(refused(query, true), None, "{query}");
        }
    }

    #[test]
    fn another_issuer_or_none_where_one_was_promised_ends_the_login() {
        assert_eq!(refused("code=c&state=s", true), Some(Code::Issuer));
        for names_issuer in [true, false] {
            assert_eq!(
                refused("code=c&state=s&iss=https%3A%2F%2Fevil.example", names_issuer),
                Some(Code::Issuer)
            );
            assert_eq!(
                refused("code=c&state=s&iss=https%3A%2F%2Fg.example%2F", names_issuer),
                Some(Code::Issuer)
            );
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_words() {
        let query =
            "error=access_denied&error_description=login.consent_denied&state=s&iss=https%3A%2F%2Fg.example";
        let Arrival::Answer(Err(trouble)) = read(&expected(true), query) else { panic!("no refusal") };
        assert_eq!(trouble.code, Code::LoginDenied);
        assert_eq!(trouble.cause.as_deref(), Some("access_denied: login.consent_denied"));
        assert_eq!(refused("state=s&iss=https%3A%2F%2Fg.example", true), Some(Code::LoginDenied));
    }
}
