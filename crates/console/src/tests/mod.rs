//! Pages through their whole router, with a scripted identity provider and a scripted API.

mod access;
mod acts;
mod environments;
mod live;
mod looking;
mod pages;
mod sessions;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use gateway_core::actor::{Groups, UserIdentity};
use gateway_core::audit::Event;
use gateway_core::id::OperatorName;
use gateway_core::login::{Arrival, Assertion, Departure, Fault, Person, PersonProvider};
use gateway_core::operator::{Operator, Role, RoleGrant};
use gateway_core::ports::{AuditError, AuditSink, Random, Sequence};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_login::{Login, Realm, SealKey, SessionSettings, Wiring};
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;
use zeroize::Zeroizing;

use crate::{Console, ControlApi, OperatorRoles, console_router};

const ORIGIN: &str = "https://control.example";

#[derive(Debug, Default)]
struct Outside(AtomicU64);

impl Random for Outside {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            *byte = (next ^ (next >> 29)).to_le_bytes()[3];
        }
    }
}

/// Everybody who comes back is the subject that the test says.
#[derive(Debug)]
struct Provider(Mutex<String>);

#[async_trait]
impl PersonProvider for Provider {
    #[expect(clippy::disallowed_methods, reason = "the state goes to the provider and back")]
    async fn depart(&self, departure: &Departure<'_>, _: Timestamp) -> Result<Url, Fault> {
        let state = std::str::from_utf8(departure.state.expose()).unwrap();
        Ok(Url::parse(&format!("https://idp.example/authorize?state={state}")).unwrap())
    }

    async fn arrive(&self, _: &Arrival<'_>, _: Timestamp) -> Result<Person, Fault> {
        let subject = self.0.lock().unwrap().as_str().into();
        let user = UserIdentity { issuer: "https://idp.example".into(), subject };
        Ok(Person { user, groups: Groups::Unknown })
    }

    async fn assertion(&self, _: &Secret, _: &str, _: Timestamp) -> Result<Assertion, Fault> {
        Err(Fault::AssertionRefused)
    }
}

#[derive(Debug, Default)]
struct Chain(Mutex<Vec<Event>>);

#[async_trait]
impl AuditSink for Chain {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        self.note(event)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        self.0.lock().unwrap().push(event);
        Ok(Sequence(1))
    }
}

/// Everybody but `nobody` is an administrator.
#[derive(Debug)]
struct Roles;

impl OperatorRoles for Roles {
    fn of(&self, person: &Person) -> Option<Operator> {
        let name = OperatorName::parse(&person.user.to_string()).unwrap();
        (&*person.user.subject != "nobody")
            .then(|| Operator { name, grants: vec![RoleGrant::everywhere(Role::Admin)] })
    }
}

/// Answers by path, and remembers what it was asked.
#[derive(Debug, Default)]
struct Api {
    answers: Mutex<HashMap<String, (u16, Value)>>,
    asked: Mutex<Vec<(String, String, String, Value)>>,
    /// The `If-Match` of every act.
    matched: Mutex<Vec<Option<String>>>,
}

impl Api {
    fn answers(&self, path: &str, status: u16, body: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body));
    }

    /// Method and address of every request so far.
    fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|(_, method, address, _)| format!("{method} {address}"))
            .collect()
    }
}

#[async_trait]
impl ControlApi for Api {
    async fn call(&self, operator: Operator, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if head.method == Method::POST {
            let tag = head.headers.get(header::IF_MATCH).map(|tag| tag.to_str().unwrap().to_owned());
            self.matched.lock().unwrap().push(tag);
        }
        let asked = (operator.name.to_string(), head.method.to_string(), head.uri.to_string(), body);
        self.asked.lock().unwrap().push(asked);
        let known = self.answers.lock().unwrap().get(head.uri.path()).cloned();
        let (status, body) = known.unwrap_or((404, json!({ "code": "object.unknown" })));
        Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap()
    }

    async fn waiting_for(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Site {
    router: Router,
    api: Arc<Api>,
    provider: Arc<Provider>,
    chain: Arc<Chain>,
    clock: Arc<ManualClock>,
    /// The people's pages, which share records and key with the console.
    people: Router,
}

#[derive(Default)]
struct Browser(HashMap<String, String>);

#[derive(Debug)]
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    fn location(&self) -> &str {
        self.headers.get(header::LOCATION).unwrap_or_else(|| panic!("{self:?}")).to_str().unwrap()
    }

    /// The fields of the form that goes to `action`, as a browser would send them untouched.
    fn form(&self, action: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{action}\">");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no form: {}", self.text));
        let inputs = rest.split("</form>").next().unwrap().split("<input ").skip(1);
        let value = |input: &str, name: &str| {
            let (_, rest) = input.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        inputs.map(|input| (value(input, "name"), value(input, "value"))).collect()
    }
}

impl Site {
    fn start() -> Self {
        let (clock, chain) = (Arc::new(ManualClock::default()), Arc::new(Chain::default()));
        let (provider, api) = (Arc::new(Provider(Mutex::new("alice".to_owned()))), Arc::new(Api::default()));
        let records = Arc::new(MemoryState::default());
        let random = Arc::new(Outside::default());
        let login = |realm| {
            Login::new(Wiring {
                public_url: ORIGIN.to_owned(),
                realm,
                provider: provider.clone(),
                tickets: records.clone(),
                audit: chain.clone(),
                clock: clock.clone(),
                random: random.clone(),
                key: SealKey::new(&Zeroizing::new([7; 32])),
                sessions: SessionSettings {
                    idle: Duration::from_secs(600),
                    lifetime: Duration::from_secs(3_600),
                },
                facade: None,
                connections: None,
                locks: Arc::new(gateway_core::lock::OutOfReach),
            })
        };
        let people = gateway_login::login_router(login(Realm::People));
        let console = Console { login: login(Realm::Operators), roles: Arc::new(Roles), api: api.clone() };
        let router = console_router(Arc::new(console));
        Self { router, api, provider, chain, clock, people }
    }

    /// Answers what a card's page asks for.
    fn answers_card(&self, status: &str, pending: Value) {
        let path = "production/bot-github";
        self.api.answers(&format!("/v1/bindings/{path}"), 200, card(status, pending));
        self.api.answers(
            &format!("/v1/bindings/{path}/health"),
            200,
            json!({ "last_used": "2026-11-26T09:30:00Z" }),
        );
        self.api.answers(
            &format!("/v1/objects/binding/{path}"),
            200,
            whole("bot-github", Some("production"), json!({})),
        );
    }

    async fn send(&self, router: &Router, browser: &mut Browser, request: Request<Body>) -> Page {
        let mut request = request;
        let cookies: Vec<String> = browser.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        for line in head.headers.get_all(header::SET_COOKIE) {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            browser.0.insert(name.to_owned(), value.to_owned());
        }
        let text = String::from_utf8(axum::body::to_bytes(body, 1 << 22).await.unwrap().to_vec()).unwrap();
        Page { status: head.status, headers: head.headers, text }
    }

    async fn get(&self, browser: &mut Browser, path: &str) -> Page {
        let page = self.send(&self.router, browser, Request::get(path).body(Body::empty()).unwrap()).await;
        // One script, from this gateway, and nothing inline.
        let rest = page.text.replacen("<script src=\"/console/live.js\" defer></script>", "", 1);
        for forbidden in ["<script", "javascript:", " style=", " onclick="] {
            assert!(
                path.ends_with(".js") || !rest.contains(forbidden),
                "{path} holds {forbidden}: {}",
                page.text
            );
        }
        page
    }

    async fn post(&self, browser: &mut Browser, path: &str, fields: &[(String, String)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Body::from(body))
            .unwrap();
        self.send(&self.router, browser, request).await
    }

    async fn come_back(&self, router: &Router, browser: &mut Browser, gone: &Page) -> Page {
        let state = gone.location().rsplit_once("state=").unwrap().1.to_owned();
        let back = format!("/login/callback?code=c&state={state}&iss=https://idp.example");
        self.send(router, browser, Request::get(back).body(Body::empty()).unwrap()).await
    }

    /// A browser that this subject has logged in with.
    async fn signed(&self, subject: &str) -> Browser {
        subject.clone_into(&mut self.provider.0.lock().unwrap());
        let mut browser = Browser::default();
        let gone = self.get(&mut browser, "/console").await;
        let back = self.come_back(&self.router.clone(), &mut browser, &gone).await;
        assert_eq!(back.location(), format!("{ORIGIN}/console"));
        browser
    }
}

/// A card as the API answers it, with more on it than pages know.
fn card(status: &str, pending: Value) -> Value {
    json!({
        "etag": "3-0011aabb", "name": "bot-github", "environment": "production", "revision": 3, "status": status,
        "actor": {}, "who": "agent bot", "server": "github", "destination": "https://github.internal/mcp",
        "tools": ["list_issues"], "methods": [], "risk": "write", "mode": "service_account",
        "reference": "vault://kv/support/bot#token", "source": null, "store": "external",
        "path_owners": ["support"], "inject": {}, "how": "header `Authorization` as `Bearer {secret}`",
        "policy": { "name": "calls", "revision": 1, "hash": null, "current": 2 }, "owner": "support",
        "limits": null, "review_by": "2027-01-01", "expires_at": null, "exceptions": [],
        "author": "idp|alice", "created_at": "2026-11-26T10:00:00.000001Z", "approvals": [], "shadows": [],
        "pending": pending, "history": [], "something_new": { "of": ["a", "later", "version"] }
    })
}

fn pending() -> Value {
    json!({
        "revision": 4, "author": "idp|alice", "created_at": "2026-11-26T11:00:00Z", "approvals": [],
        "missing": [{ "any_of": ["environment", { "path": "platform" }], "count": 1 }],
        "changes": [{ "field": "risk", "effect": "loosening", "before": "write", "after": "destructive" }],
        "yours": true
    })
}

/// An object with two revisions, as the API answers it.
fn whole(name: &str, environment: Option<&str>, spec: Value) -> Value {
    let revision = |number: u64, changes: Value| {
        json!({
            "revision": number, "status": "active", "author": "idp|alice", "created_at": "2026-11-26T10:00:00Z",
            "changed_at": "2026-11-26T10:00:00Z", "approvals": [], "spec": spec, "changes": changes
        })
    };
    let change = json!([{ "field": "owner", "effect": "neutral", "before": "old-team", "after": "support" }]);
    json!({
        "etag": "2-ccdd", "kind": "Any", "name": name, "environment": environment, "revision": 2, "status": "active",
        "author": "idp|alice", "approvals": [], "spec": spec, "history": [revision(2, change), revision(1, json!([]))]
    })
}
