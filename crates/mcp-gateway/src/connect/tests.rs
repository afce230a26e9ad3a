//! Tokens from a door's own authorization server, told by a script; the real one is the claim `connect`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use gateway_adapters::https::{OutboundClient, OutboundConfig, OutboundRequest};
use gateway_core::secret::Secret;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::{Url, form_urlencoded};

use super::*;
use crate::app::system::{SystemClock, SystemEntropy};

/// What the authorization server did.
#[derive(Default)]
struct Office {
    origin: String,
    registered: u32,
    issued: u32,
    refreshed: u32,
    revoked: u32,
    /// The one refresh token that is good.
    current: Option<String>,
    /// How long tokens last, in seconds, from the next one on.
    lasts: u32,
    /// Holds answers of the token endpoint back.
    gate: Option<Arc<tokio::sync::Semaphore>>,
}

type Shared = Arc<Mutex<Office>>;

async fn resource(State(office): State<Shared>) -> Json<Value> {
    let origin = office.lock().unwrap().origin.clone();
    Json(json!({"resource": format!("{origin}/mcp/dev/a"), "authorization_servers": [origin]}))
}

async fn metadata(State(office): State<Shared>) -> Json<Value> {
    let origin = office.lock().unwrap().origin.clone();
    Json(json!({
        "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
        "revocation_endpoint": format!("{origin}/revoke"), "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn register(State(office): State<Shared>) -> Json<Value> {
    let mut office = office.lock().unwrap();
    office.registered += 1;
    Json(json!({"client_id": format!("client-{}", office.registered)}))
}

async fn revoke(State(office): State<Shared>) -> StatusCode {
    let mut office = office.lock().unwrap();
    office.revoked += 1;
    office.current = None;
    StatusCode::OK
}

async fn token(State(office): State<Shared>, body: Bytes) -> (StatusCode, Json<Value>) {
    let gate = office.lock().unwrap().gate.clone();
    let fields: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let answer = {
        let mut office = office.lock().unwrap();
        let refreshes = fields["grant_type"] == "refresh_token";
        if refreshes && office.current.as_ref() != fields.get("refresh_token") {
            office.current = None;
            return (
                StatusCode::BAD_REQUEST,
                Json(json!({"error": "invalid_grant", "error_description": "used"})),
            );
        }
        office.refreshed += u32::from(refreshes);
        office.issued += 1;
        let refresh = format!("refresh-{}", office.issued);
        office.current = Some(refresh.clone());
        json!({"access_token": format!("access-{}", office.issued), "token_type": "Bearer",
               "expires_in": office.lasts, "refresh_token": refresh})
    };
    if let Some(gate) = gate {
        drop(gate.acquire().await);
    }
    (StatusCode::OK, Json(answer))
}

/// What the person was told.
#[derive(Clone, Default)]
struct Sheet(Arc<Mutex<String>>);

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Scene {
    office: Shared,
    sheet: Sheet,
    connection: Connection,
    browser: OutboundClient,
}

/// A keyring that takes one login, and locks itself.
#[derive(Debug, Default)]
struct Locking {
    kept: keep::memory::Memory,
    taken: std::sync::atomic::AtomicBool,
}

impl keep::Keyring for Locking {
    fn read(&self, door: &str) -> Result<Option<Secret>, Trouble> {
        self.kept.read(door)
    }

    fn write(&self, door: &str, document: &Secret) -> Result<(), Trouble> {
        if self.taken.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Err(Trouble::new(Code::KeyringLocked));
        }
        self.kept.write(door, document)
    }

    fn remove(&self, door: &str) -> Result<bool, Trouble> {
        self.kept.remove(door)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

async fn scene(lasts: u32) -> Scene {
    scene_with(lasts, Arc::new(keep::memory::Memory::default())).await
}

async fn scene_with(lasts: u32, keyring: Arc<dyn keep::Keyring>) -> Scene {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let office = Arc::new(Mutex::new(Office { origin: origin.clone(), lasts, ..Office::default() }));
    let router = Router::new()
        .route("/.well-known/oauth-protected-resource/mcp/dev/a", get(resource))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/register", post(register))
        .route("/revoke", post(revoke))
        .route("/token", post(token))
        .with_state(office.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let sheet = Sheet::default();
    let notes = Notes::into(sheet.clone());
    let settings = Settings {
        door: Door::parse(Url::parse(&format!("{origin}/mcp/dev/a")).unwrap(), false).unwrap(),
        ca_file: None,
        plain_http: false,
        login_within: Duration::from_secs(20),
        opens_browser: false,
        client_id: None,
    };
    let outside = Outside {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemEntropy::default()),
        keeper: Keeper::of(keyring, notes.clone()),
        notes,
    };
    let connection = Connection::new(settings, outside).unwrap();
    let browser = OutboundClient::new(&OutboundConfig::default()).unwrap();
    Scene { office, sheet, connection, browser }
}

impl Scene {
    /// The person goes where they are told for the `number`th time, and brings back what `answer` says.
    async fn person(&self, number: usize, answer: &[(&str, &str)]) {
        let address = async {
            loop {
                let told = self.sheet.0.lock().unwrap().clone();
                let found = told.lines().filter_map(|line| line.split_once("go to ")).nth(number);
                if let Some((_, address)) = found {
                    return Url::parse(address.trim()).unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        let address = tokio::time::timeout(Duration::from_secs(20), address).await.expect("nobody is sent");
        let asked: HashMap<_, _> = address.query_pairs().into_owned().collect();
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["resource"], self.connection.door.as_str());
        let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
        back.query_pairs_mut().append_pair("state", &asked["state"]);
        back.query_pairs_mut().append_pair("iss", &self.office.lock().unwrap().origin);
        back.query_pairs_mut().extend_pairs(answer);
        self.browser.send(OutboundRequest::new(Method::GET, back)).await.unwrap();
    }

    async fn bearer(&self) -> String {
        let pass = self.connection.access.pass().await.unwrap().expect("nobody is logged in");
        pass.header.to_str().unwrap().to_owned()
    }

    fn counted(&self) -> (u32, u32, u32) {
        let office = self.office.lock().unwrap();
        (office.registered, office.issued, office.refreshed)
    }
}

#[tokio::test]
async fn what_is_refused_at_once_shares_one_login_and_what_ends_at_once_one_renewal() {
    let scene = scene(1).await;
    assert!(scene.connection.access.pass().await.unwrap().is_none());
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let access = scene.connection.access.clone();
        waiting.spawn(async move { access.refused(None, None).await });
    }
    scene.person(0, &[("code", "the code")]).await;
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(scene.counted(), (1, 1, 0));
    scene.office.lock().unwrap().lasts = 600;
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let access = scene.connection.access.clone();
        asking.spawn(async move { access.pass().await.unwrap().unwrap().serial });
    }
    let mut serials = std::collections::BTreeSet::new();
    while let Some(serial) = asking.join_next().await {
        serials.insert(serial.unwrap());
    }
    assert_eq!((serials.len(), scene.counted()), (1, (1, 2, 1)));
    assert_eq!(scene.bearer().await, "Bearer access-2");
}

#[tokio::test]
async fn a_refresh_token_that_is_taken_no_more_leads_to_a_login() {
    let scene = scene(1).await;
    let (logged, ()) =
        tokio::join!(scene.connection.access.refused(None, None), scene.person(0, &[("code", "a")]));
    logged.unwrap();
    {
        let mut office = scene.office.lock().unwrap();
        (office.current, office.lasts) = (Some("another".into()), 600);
    }
    let (bearer, ()) = tokio::join!(scene.bearer(), scene.person(1, &[("code", "b")]));
    assert_eq!((bearer.as_str(), scene.counted()), ("Bearer access-2", (2, 2, 0)));
    assert!(scene.sheet.0.lock().unwrap().contains("cannot be renewed: invalid_grant: used"));
}

#[tokio::test]
async fn a_login_that_fails_fails_for_all_who_waited_for_it() {
    let scene = scene(600).await;
    let mut waiting = JoinSet::new();
    for _ in 0..5 {
        let access = scene.connection.access.clone();
        waiting.spawn(async move { access.refused(None, None).await });
    }
    // All of them wait before the person says no.
    tokio::task::yield_now().await;
    scene.person(0, &[("error", "access_denied")]).await;
    while let Some(ended) = waiting.join_next().await {
        assert_eq!(ended.unwrap().unwrap_err().code, Code::LoginDenied);
    }
    assert_eq!(scene.counted(), (1, 0, 0));
}

#[tokio::test]
async fn a_renewal_comes_to_its_end_when_the_request_that_began_it_is_cancelled() {
    let scene = scene(1).await;
    let (logged, ()) =
        tokio::join!(scene.connection.access.refused(None, None), scene.person(0, &[("code", "a")]));
    logged.unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    {
        let mut office = scene.office.lock().unwrap();
        (office.gate, office.lasts) = (Some(gate.clone()), 600);
    }
    let access = scene.connection.access.clone();
    let request = tokio::spawn(async move { access.pass().await.map(drop) });
    let begun = async {
        while scene.counted().2 == 0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), begun).await.expect("no renewal began");
    request.abort();
    gate.add_permits(16);
    assert_eq!((scene.bearer().await.as_str(), scene.counted()), ("Bearer access-2", (1, 2, 1)));
}

#[tokio::test]
async fn a_keyring_that_locks_itself_ends_no_login_that_was_renewed() {
    let scene = scene_with(1, Arc::new(Locking::default())).await;
    let (logged, ()) =
        tokio::join!(scene.connection.access.refused(None, None), scene.person(0, &[("code", "a")]));
    logged.unwrap();
    // Each token is at its end at once, and the keyring holds the refresh token of the first one still.
    for (token, counted) in [("Bearer access-2", (1, 2, 1)), ("Bearer access-3", (1, 3, 2))] {
        let bearer =
            tokio::time::timeout(Duration::from_secs(20), scene.bearer()).await.expect("another login");
        assert_eq!((bearer.as_str(), scene.counted()), (token, counted));
    }
    let told = scene.sheet.0.lock().unwrap().clone();
    assert!(
        told.contains("goes on in this process alone") && told.contains("connect.keyring_locked"),
        "{told}"
    );
}

#[tokio::test]
async fn a_login_is_given_back_and_forgotten() {
    let scene = scene(600).await;
    let access = &scene.connection.access;
    assert_eq!(access.log_out().await.unwrap(), None);
    let (standing, ()) = tokio::join!(access.log_in(), scene.person(0, &[("code", "a")]));
    assert_eq!(access.standing().await.unwrap(), Some(standing.unwrap()));
    let shown = format!("{:?} {}", access.standing().await.unwrap(), scene.sheet.0.lock().unwrap());
    assert!(!shown.contains("access-1") && !shown.contains("refresh-1"), "{shown}");
    assert_eq!(access.log_out().await.unwrap(), Some(Ok(login::Revocation::Done)));
    assert_eq!(access.standing().await.unwrap(), None);
    assert_eq!(scene.office.lock().unwrap().revoked, 1);
}
