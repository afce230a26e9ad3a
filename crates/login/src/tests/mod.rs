//! The pages and the authorization server in process, with an identity provider that tests script, and
//! a browser that keeps its cookies. Dropping the site is the leak canary.

mod accounts;
mod assertions;
mod authorize;
mod connect;
mod documents;
mod forms;
mod locks;
mod redirects;
mod refreshing;
mod registering;
mod sign_in;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::actor::{Groups, UserIdentity};
use gateway_core::audit::{Event, EventKind};
use gateway_core::id::GroupName;
use gateway_core::identity::TokenDigest;
use gateway_core::login::{
    AccessTokenSigner, Arrival, Assertion, ClientDocuments, Departure, Fault, Person, PersonProvider,
};
use gateway_core::ports::{AuditError, AuditSink, Random, Sequence, StateError, Ticket, TicketKind, Tickets};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use gateway_testkit::clock::ManualClock;
use gateway_testkit::memory_state::MemoryState;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tower::ServiceExt;
use url::Url;
use zeroize::Zeroizing;

use crate::context::{FacadeWiring, Source};
use crate::{FacadeSettings, Login, MetadataDomain, Realm, SealKey, SessionSettings, Wiring, login_router};

const ORIGIN: &str = "https://mcp.example";
const RESOURCE: &str = "https://mcp.example/mcp/dev/tools";
const VERIFIER: &str = "a-verifier-of-the-client-that-is-long-enough-0001";
const CALLBACK: &str = "https://app.example/callback?x=1";

#[derive(Debug, Default)]
struct Outside(AtomicU64);

impl Random for Outside {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            let mixed = (next ^ (next >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ next.rotate_left(17);
            let mixed = mixed.to_le_bytes();
            chunk.copy_from_slice(&mixed[..chunk.len()]);
        }
    }
}

/// Code, issuer, nonce and verifier.
type Arrived = (Option<String>, Option<String>, String, String);

/// The identity provider: gives back what the test says, and remembers what it was told.
#[derive(Debug, Default)]
struct Scripted {
    departures: Mutex<Vec<(String, String, String)>>,
    arrivals: Mutex<Vec<Arrived>>,
    fault: Mutex<Option<Fault>>,
    subject: Mutex<String>,
}

#[expect(clippy::disallowed_methods, reason = "the test looks at what the provider is told")]
fn shown(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

#[async_trait]
impl PersonProvider for Scripted {
    async fn depart(&self, departure: &Departure<'_>, _: Timestamp) -> Result<Url, Fault> {
        assert_eq!(departure.redirect_uri, format!("{ORIGIN}/login/callback"));
        let state = shown(departure.state);
        let told = (state.clone(), departure.nonce.to_owned(), shown(departure.verifier));
        self.departures.lock().unwrap().push(told);
        Ok(Url::parse(&format!("https://idp.example/authorize?state={state}")).unwrap())
    }

    async fn arrive(&self, arrival: &Arrival<'_>, _: Timestamp) -> Result<Person, Fault> {
        self.arrivals.lock().unwrap().push((
            arrival.code.map(shown),
            arrival.issuer.map(str::to_owned),
            arrival.nonce.to_owned(),
            shown(arrival.verifier),
        ));
        if let Some(fault) = *self.fault.lock().unwrap() {
            return Err(fault);
        }
        let user = UserIdentity {
            issuer: "https://idp.example".into(),
            subject: self.subject.lock().unwrap().as_str().into(),
        };
        Ok(Person { user, groups: Groups::Known([GroupName::parse("support").unwrap()].into()) })
    }

    /// Takes `id client resource` for an assertion.
    async fn assertion(
        &self,
        assertion: &Secret,
        audience: &str,
        now: Timestamp,
    ) -> Result<Assertion, Fault> {
        assert_eq!(audience, ORIGIN);
        let text = shown(assertion);
        let [id, client, resource] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(Fault::AssertionRefused);
        };
        let user = UserIdentity { issuer: "https://idp.example".into(), subject: "alice".into() };
        Ok(Assertion {
            person: Person { user, groups: Groups::Unknown },
            client: client.to_owned(),
            resource: (resource != "-").then(|| resource.to_owned()),
            id: id.to_owned(),
            expires_at: now.plus(Duration::from_secs(300)),
        })
    }
}

#[derive(Debug, Default)]
struct Audit {
    events: Mutex<Vec<Event>>,
    down: AtomicBool,
}

#[async_trait]
impl AuditSink for Audit {
    async fn record(&self, event: Event) -> Result<Sequence, AuditError> {
        self.note(event)
    }

    fn note(&self, event: Event) -> Result<Sequence, AuditError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(AuditError("switched off by the test".to_owned()));
        }
        self.events.lock().unwrap().push(event);
        Ok(Sequence(1))
    }
}

/// The records, with everything that was ever written into them.
#[derive(Debug, Default)]
struct Records {
    inner: MemoryState,
    written: Mutex<String>,
}

impl Records {
    fn note(&self, ticket: &Ticket) {
        let mut written = self.written.lock().unwrap();
        written.push_str(&ticket.key);
        written.push_str(&ticket.content);
    }
}

#[async_trait]
impl Tickets for Records {
    async fn insert(&self, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError> {
        self.note(ticket);
        self.inner.insert(ticket, now).await
    }

    async fn read(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError> {
        self.inner.read(kind, key, now).await
    }

    async fn take(&self, kind: TicketKind, key: &str, now: Timestamp) -> Result<Option<Ticket>, StateError> {
        self.inner.take(kind, key, now).await
    }

    async fn replace(&self, expected: &str, ticket: &Ticket, now: Timestamp) -> Result<bool, StateError> {
        self.note(ticket);
        self.inner.replace(expected, ticket, now).await
    }

    async fn list(&self, kind: TicketKind, now: Timestamp) -> Result<Vec<Ticket>, StateError> {
        self.inner.list(kind, now).await
    }

    async fn count(&self, kind: TicketKind, beginning: &str, now: Timestamp) -> Result<u64, StateError> {
        self.inner.count(kind, beginning, now).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StateError> {
        self.inner.sweep(now).await
    }
}

/// Signs by writing the claims down in the open.
#[derive(Debug)]
struct Plain;

impl AccessTokenSigner for Plain {
    fn sign(&self, claims: &Map<String, Value>) -> Result<Secret, Fault> {
        Ok(Secret::new(
            format!("plain.{}", URL_SAFE_NO_PAD.encode(Value::from(claims.clone()).to_string())).into_bytes(),
        ))
    }
}

fn claims(token: &str) -> Value {
    let body = URL_SAFE_NO_PAD.decode(token.strip_prefix("plain.").unwrap()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Client ID metadata documents by their URL.
#[derive(Debug, Default)]
struct Web {
    documents: Mutex<HashMap<String, String>>,
    fetched: Mutex<Vec<String>>,
}

#[async_trait]
impl ClientDocuments for Web {
    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, Fault> {
        self.fetched.lock().unwrap().push(url.to_string());
        let documents = self.documents.lock().unwrap();
        documents
            .get(url.as_str())
            .map(|text| text.clone().into_bytes())
            .ok_or(Fault::ClientDocumentUnavailable)
    }
}

struct Site {
    router: Router,
    login: Arc<Login>,
    accounts: Arc<accounts::Accounts>,
    clock: Arc<ManualClock>,
    audit: Arc<Audit>,
    records: Arc<Records>,
    provider: Arc<Scripted>,
    web: Arc<Web>,
    /// What only browsers and clients may hold.
    secrets: Mutex<Vec<String>>,
}

/// A browser: its cookies.
#[derive(Default)]
struct Browser(HashMap<String, String>);

#[derive(Debug)]
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    fn code(&self) -> String {
        let (_, rest) = self.text.split_once("<code>").unwrap_or_else(|| panic!("no code: {}", self.text));
        rest.split('<').next().unwrap().to_owned()
    }

    fn location(&self) -> Url {
        let place = self.headers.get(header::LOCATION).unwrap_or_else(|| panic!("{self:?}"));
        Url::parse(place.to_str().unwrap()).unwrap()
    }

    /// Where the page leads by itself.
    fn leads_to(&self) -> Url {
        let (_, rest) = self.text.split_once("content=\"0;url=").unwrap_or_else(|| panic!("{self:?}"));
        Url::parse(&rest.split('"').next().unwrap().replace("&amp;", "&")).unwrap()
    }

    /// The hidden fields of the first form that goes to `action`.
    fn form(&self, action: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{action}\">");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no form: {}", self.text));
        let form = rest.split("</form>").next().unwrap();
        let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
        let fields = inputs.map(|input| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            (name.to_owned(), rest.split('"').next().unwrap().replace("&amp;", "&"))
        });
        fields.collect()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut found = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let first = found.next();
    assert_eq!(found.next(), None, "`{name}` twice in {url}");
    first
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(TokenDigest::of(&Secret::copy_from(VERIFIER.as_bytes())).bytes())
}

impl Site {
    fn start() -> Self {
        Self::with(ORIGIN, |_| {})
    }

    fn with(public_url: &str, settle: impl FnOnce(&mut FacadeSettings)) -> Self {
        let clock = Arc::new(ManualClock::default());
        let (audit, records) = (Arc::new(Audit::default()), Arc::new(Records::default()));
        let accounts = Arc::new(accounts::Accounts::default());
        let (provider, web) = (Arc::new(Scripted::default()), Arc::new(Web::default()));
        *provider.subject.lock().unwrap() = "alice".to_owned();
        let mut settings = FacadeSettings {
            metadata_domains: vec![MetadataDomain::Host("app.example".to_owned())],
            registration: true,
            assertions: true,
            access_lifetime: Duration::from_secs(600),
            refresh_idle: Duration::from_secs(3_600),
            refresh_lifetime: Duration::from_secs(7_200),
        };
        settle(&mut settings);
        let login = Login::new(Wiring {
            public_url: public_url.to_owned(),
            realm: Realm::People,
            provider: provider.clone(),
            tickets: records.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            random: Arc::new(Outside::default()),
            key: SealKey::new(&Zeroizing::new([7; 32])),
            sessions: SessionSettings {
                idle: Duration::from_secs(600),
                lifetime: Duration::from_secs(3_600),
            },
            facade: Some(FacadeWiring { signer: Arc::new(Plain), documents: web.clone(), settings }),
            connections: Some(accounts.clone()),
            locks: accounts.clone(),
        });
        let router = login_router(login.clone());
        Self { router, login, accounts, clock, audit, records, provider, web, secrets: Mutex::default() }
    }

    async fn send(&self, browser: &mut Browser, request: http::request::Builder, body: String) -> Page {
        let cookies: Vec<String> = browser.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request;
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let mut request: Request<Body> = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Source("192.0.2.7".parse().unwrap()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for line in parts.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                browser.0.remove(name);
            } else {
                self.secrets.lock().unwrap().push(value.to_owned());
                browser.0.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Page { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, browser: &mut Browser, path: &str) -> Page {
        self.send(browser, Request::get(path), String::new()).await
    }

    async fn post(&self, browser: &mut Browser, path: &str, fields: &[(String, String)]) -> Page {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header(header::ORIGIN, "null");
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(browser, request, body).await
    }

    /// A client's own request: no browser, no cookies.
    async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(&mut Browser::default(), request, encoded(fields)).await
    }

    /// The browser comes back from the identity provider.
    async fn come_back(&self, browser: &mut Browser, at_provider: &Url) -> Page {
        let state = parameter(at_provider, "state").unwrap();
        let query = encoded(&[("code", "idp-code"), ("state", &state), ("iss", "https://idp.example")]);
        self.get(browser, &format!("/login/callback?{query}")).await
    }

    async fn sign_in(&self, browser: &mut Browser) {
        let gone = self.get(browser, "/login").await.location();
        assert_eq!(self.come_back(browser, &gone).await.status, StatusCode::SEE_OTHER);
    }

    async fn register(&self) -> String {
        let metadata = json!({
            "client_name": "Editor", "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"],
            "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none"
        });
        let answer = self.register_as(&metadata).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    async fn register_as(&self, metadata: &Value) -> Page {
        let request = Request::post("/oauth/register").header(header::CONTENT_TYPE, "application/json");
        self.send(&mut Browser::default(), request, metadata.to_string()).await
    }

    /// Agrees on the page, logs in where needed, and gives the code that the client gets.
    async fn code(&self, browser: &mut Browser, client: &str) -> String {
        let page = self.get(browser, &authorization(client, &[])).await;
        let page = self.allow(browser, &page).await;
        let mut place = page.leads_to();
        if place.host_str() == Some("idp.example") {
            let back = self.come_back(browser, &place).await.location();
            let path = format!("{}?{}", back.path(), back.query().unwrap());
            place = self.get(browser, &path).await.location();
        }
        assert_eq!(parameter(&place, "iss").as_deref(), Some(ORIGIN), "{place}");
        assert_eq!(parameter(&place, "state").as_deref(), Some("client-state"));
        assert_eq!(parameter(&place, "x").as_deref(), Some("1"), "its own query stays");
        let code = parameter(&place, "code").unwrap();
        self.secrets.lock().unwrap().push(code.clone());
        code
    }

    async fn allow(&self, browser: &mut Browser, page: &Page) -> Page {
        let mut fields = page.form("/oauth/consent");
        fields.push(("decision".to_owned(), "allow".to_owned()));
        self.post(browser, "/oauth/consent", &fields).await
    }

    async fn redeem(&self, client: &str, code: &str) -> Page {
        let fields = redemption(client, code);
        let answer =
            self.ask("/oauth/token", &fields.iter().map(|(a, b)| (*a, b.as_str())).collect::<Vec<_>>()).await;
        self.remember(&answer);
        answer
    }

    async fn refresh(&self, client: &str, token: &str) -> Page {
        let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        let answer = self.ask("/oauth/token", &fields).await;
        self.remember(&answer);
        answer
    }

    fn remember(&self, answer: &Page) {
        if answer.status == StatusCode::OK {
            let tokens =
                ["access_token", "refresh_token"].map(|name| answer.json()[name].as_str().map(str::to_owned));
            self.secrets.lock().unwrap().extend(tokens.into_iter().flatten());
        }
    }

    fn kinds(&self) -> Vec<EventKind> {
        self.audit.events.lock().unwrap().iter().map(|event| event.kind).collect()
    }

    /// The reason of the last refusal.
    fn last_reason(&self) -> String {
        let events = self.audit.events.lock().unwrap();
        events.iter().rev().find_map(|event| event.reason.clone()).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let evidence = serde_json::to_string(&*self.audit.events.lock().unwrap()).unwrap();
        let records = self.records.written.lock().unwrap();
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!records.contains(secret.as_str()), "a record holds a secret");
            assert!(!evidence.contains(secret.as_str()), "the evidence holds a secret");
        }
        for (state, verifier, _) in self.accounts.departures.lock().unwrap().iter() {
            assert!(!records.contains(state.as_str()) && !records.contains(verifier.as_str()));
            assert!(!evidence.contains(state.as_str()) && !evidence.contains(verifier.as_str()));
        }
        for (state, _, verifier) in self.provider.departures.lock().unwrap().iter() {
            assert!(!records.contains(state.as_str()) && !records.contains(verifier.as_str()));
        }
    }
}

fn redemption(client: &str, code: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("client_id", client.to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", CALLBACK.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
        ("resource", RESOURCE.to_owned()),
    ]
}

/// An authorization request with some parameters changed; an empty value takes one out.
fn authorization(client: &str, changed: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let usual = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("state", "client-state"),
    ];
    let mut all: Vec<(&str, &str)> =
        usual.into_iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name)).collect();
    all.extend(changed.iter().filter(|(_, value)| !value.is_empty()));
    format!("/oauth/authorize?{}", encoded(&all))
}
