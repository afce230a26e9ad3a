//! Google Secret Manager (REST, v1), the metadata server, Security Token Service and IAM Service Account
//! Credentials.
//!
//! After Google's reference of `projects.secrets.versions.access` and of `google.rpc.Status`; "Access
//! metadata" of Compute Engine (`Metadata-Flavor: Google` both ways, no `X-Forwarded-For`); `v1.token` of STS
//! and `projects.serviceAccounts.generateAccessToken`. Not played: IAM conditions, regional endpoints'
//! routing, quotas, audit logs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::http::{Heard, Listening, Reply, listen};
use super::{CloudStub, TOKEN_SECONDS, Tokens, document, hold, now};
use crate::gate::Gate;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The project, as it is in references; Google answers with its number.
pub(super) const PROJECT: &str = "tools-prod";
const NUMBER: &str = "123456789012";
/// The largest payload.
const LARGEST: usize = 64 * 1024;
/// What a token is good for.
const ACCESS: &str = "cloud-platform";
const FEDERATED: &str = "federated";

/// A version and whether it is enabled.
#[derive(Clone, Debug)]
struct Version {
    payload: Vec<u8>,
    enabled: bool,
}

#[derive(Debug)]
struct State {
    tokens: Tokens,
    secrets: Mutex<HashMap<String, Vec<Version>>>,
    aliases: Mutex<HashMap<(String, String), usize>>,
    hidden: Mutex<HashSet<String>>,
    damage: Mutex<bool>,
}

/// The services, on two loopback ports: Secret Manager, and whatever is needed to log in.
#[derive(Debug)]
pub struct GoogleStub {
    state: Arc<State>,
    gate: Gate,
    login: Gate,
    _listening: [Listening; 2],
}

impl GoogleStub {
    /// The provider of the pool that it knows.
    pub const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/cluster";
    /// The service account that federated identities may act as.
    pub const ACCOUNT: &str = "gateway@tools-prod.iam.gserviceaccount.com";
    /// The only project.
    pub const PROJECT: &str = PROJECT;
    /// The subject token that the provider trusts.
    pub const SUBJECT: &str = "header.canary-google-subject.signature";

    /// Starts them. The file of the subject token is there.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            tokens: Tokens::new("google"),
            secrets: Mutex::default(),
            aliases: Mutex::default(),
            hidden: Mutex::default(),
            damage: Mutex::default(),
        });
        state.tokens.write(Self::SUBJECT);
        let (one, two) = (state.clone(), state.clone());
        let service = listen(move |heard| one.answer(heard)).await;
        let login = listen(move |heard| two.log_in(heard)).await;
        let gates = (Gate::open(&service.host).await, Gate::open(&login.host).await);
        Self { state, gate: gates.0, login: gates.1, _listening: [service, login] }
    }

    /// The gate in front of the logins.
    pub fn login(&self) -> &Gate {
        &self.login
    }

    /// The file of the subject token.
    pub fn token_file(&self) -> std::path::PathBuf {
        self.state.tokens.file()
    }

    /// Writes another subject token.
    pub fn write_subject(&self, text: &str) {
        self.state.tokens.write(text);
    }

    /// Enables or disables a version, which is counted from 1.
    pub fn enable(&self, path: &str, version: usize, enabled: bool) {
        let mut secrets = hold(&self.state.secrets);
        let versions = secrets.get_mut(path);
        if let Some(version) = versions.and_then(|all| all.get_mut(version.wrapping_sub(1))) {
            version.enabled = enabled;
        }
    }

    /// Gives a version another name.
    pub fn alias(&self, path: &str, alias: &str, version: usize) {
        hold(&self.state.aliases).insert((path.to_owned(), alias.to_owned()), version);
    }

    /// Whether payloads lose a bit on their way, their checksums staying as they were.
    pub fn damage(&self, damage: bool) {
        *hold(&self.state.damage) = damage;
    }
}

fn status(code: u16, name: &str) -> Value {
    json!({ "error": { "code": code, "message": "canary: the service's own words", "status": name } })
}

fn refused(code: u16) -> Reply {
    Reply::json(code, &status(code, status_name(code)))
}

fn status_name(code: u16) -> &'static str {
    match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

impl State {
    fn answer(&self, heard: &Heard) -> Reply {
        if !self.tokens.takes(heard, ACCESS) {
            return refused(401);
        }
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            ("GET", ["v1", "projects", project, "secrets", secret, "versions", version]) => {
                match version.strip_suffix(":access") {
                    Some(version) => self.access(&format!("{project}/{secret}"), version),
                    None => refused(403),
                }
            }
            // The role that reads values does not read the secrets' own records.
            ("GET", ["v1", "projects", _, "secrets", _]) => refused(403),
            _ => refused(404),
        }
    }

    fn access(&self, path: &str, version: &str) -> Reply {
        if hold(&self.hidden).contains(path) {
            return refused(403);
        }
        let secrets = hold(&self.secrets);
        let Some(versions) = secrets.get(path) else { return refused(404) };
        let alias = (path.to_owned(), version.to_owned());
        let number = match (version.parse::<usize>(), version) {
            (Ok(number), _) => Some(number),
            (Err(_), "latest") => Some(versions.len()),
            (Err(_), _) => hold(&self.aliases).get(&alias).copied(),
        };
        let found = number.and_then(|number| Some((number, versions.get(number.wrapping_sub(1))?)));
        let Some((number, version)) = found else { return refused(404) };
        if !version.enabled {
            return Reply::json(400, &status(400, "FAILED_PRECONDITION"));
        }
        let checksum = checksum(&version.payload).to_string();
        let mut payload = version.payload.clone();
        if let (true, Some(first)) = (*hold(&self.damage), payload.first_mut()) {
            *first ^= 1;
        }
        let secret = path.rsplit('/').next().unwrap_or_default();
        Reply::json(
            200,
            &json!({ "name": format!("projects/{NUMBER}/secrets/{secret}/versions/{number}"),
                "payload": { "data": STANDARD.encode(payload), "dataCrc32c": checksum } }),
        )
    }

    fn log_in(&self, heard: &Heard) -> Reply {
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            (
                "GET",
                [
                    "computeMetadata",
                    "v1",
                    "instance",
                    "service-accounts",
                    "default" | GoogleStub::ACCOUNT,
                    "token",
                ],
            ) => self.metadata(heard),
            ("POST", ["v1", "token"]) => self.exchange(heard),
            ("POST", ["v1", "projects", "-", "serviceAccounts", account]) => self.impersonate(heard, account),
            _ => Reply::new(404, "<html>not found</html>"),
        }
    }

    fn metadata(&self, heard: &Heard) -> Reply {
        let asked = heard.header("metadata-flavor") == Some("Google");
        if !asked || heard.header("x-forwarded-for").is_some() {
            return Reply::new(403, "<html>Missing Metadata-Flavor:Google header.</html>");
        }
        if heard.parameter("scopes") != Some(SCOPE) {
            return Reply::new(400, "invalid scopes");
        }
        match self.tokens.make(ACCESS) {
            Some(token) => granted(&token).header("Metadata-Flavor", "Google"),
            None => Reply::new(404, "no such service account").header("Metadata-Flavor", "Google"),
        }
    }

    fn exchange(&self, heard: &Heard) -> Reply {
        let form = heard.form();
        let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let whole = is("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            && is("audience", GoogleStub::AUDIENCE)
            && is("scope", SCOPE)
            && is("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            && is("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");
        let refused = |error: &str| {
            Reply::json(400, &json!({ "error": error, "error_description": "canary: its own words" }))
        };
        if !whole {
            return refused("invalid_request");
        }
        if !is("subject_token", GoogleStub::SUBJECT) {
            return refused("invalid_grant");
        }
        self.tokens.make(FEDERATED).map_or_else(|| refused("invalid_grant"), |token| granted(&token))
    }

    fn impersonate(&self, heard: &Heard, account: &str) -> Reply {
        if !self.tokens.takes(heard, FEDERATED) {
            return refused(401);
        }
        if account != format!("{}:generateAccessToken", GoogleStub::ACCOUNT) {
            return refused(403);
        }
        let body: Value = serde_json::from_slice(&heard.body).unwrap_or_default();
        if body != json!({ "scope": [SCOPE], "lifetime": format!("{TOKEN_SECONDS}s") }) {
            return refused(400);
        }
        let end = OffsetDateTime::from_unix_timestamp(now() + TOKEN_SECONDS).map(|end| end.format(&Rfc3339));
        match (self.tokens.make(ACCESS), end) {
            (Some(token), Ok(Ok(end))) => {
                Reply::json(200, &json!({ "accessToken": token, "expireTime": end }))
            }
            _ => refused(403),
        }
    }
}

fn granted(token: &str) -> Reply {
    Reply::json(200, &json!({ "access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer" }))
}

/// CRC-32C by its definition, bit after bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = register & 1 == 1;
            register >>= 1;
            if odd {
                register ^= 0x82f6_3b78;
            }
        }
    }
    !register
}

impl CloudStub for GoogleStub {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn logins(&self) -> u32 {
        self.state.tokens.made()
    }

    fn put(&self, path: &str, field: Option<&str>, value: &[u8]) -> Option<String> {
        let payload = match field {
            Some(_) => document(field, value)?.into_bytes(),
            None => value.to_vec(),
        };
        if payload.len() > LARGEST {
            return None;
        }
        let mut secrets = hold(&self.state.secrets);
        let versions = secrets.entry(path.to_owned()).or_default();
        versions.push(Version { payload, enabled: true });
        Some(versions.len().to_string())
    }

    fn delete(&self, path: &str) {
        hold(&self.state.secrets).remove(path);
    }

    fn hide(&self, path: &str) {
        hold(&self.state.hidden).insert(path.to_owned());
    }

    fn error(&self, status_code: u16) -> String {
        status(status_code, status_name(status_code)).to_string()
    }

    fn end_sessions(&self) {
        self.state.tokens.end();
    }

    fn refuse_logins(&self, refuse: bool) {
        self.state.tokens.refuse(refuse);
    }
}
