//! Azure Key Vault (REST, 7.4), the instance metadata service of virtual machines, and Entra ID's token
//! endpoint (v2.0).
//!
//! After Microsoft's reference of `Get Secret` and `Get Secrets`; "Key Vault REST API error codes"; "How to
//! use managed identities on an Azure VM" (`Metadata: true`); "client credentials with a federated
//! credential". A value outside of its `nbf` and `exp` is answered all the same, as Microsoft says of
//! secrets. Not played: network rules, soft-deleted objects' own paths, throttling windows.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::http::{Heard, Listening, Reply, listen};
use super::{CloudStub, TOKEN_SECONDS, Tokens, document, hold, now};
use crate::gate::Gate;

const RESOURCE: &str = "https://vault.azure.net";
/// The largest value.
const LARGEST: usize = 25 * 1024;

/// What a version says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// Whether it is enabled.
    pub enabled: bool,
    /// From when it is valid, in seconds since the Unix epoch.
    pub nbf: Option<i64>,
    /// Until when.
    pub exp: Option<i64>,
}

#[derive(Clone, Debug)]
struct Version {
    id: String,
    value: String,
    validity: Validity,
}

#[derive(Debug)]
struct State {
    tokens: Tokens,
    secrets: Mutex<HashMap<String, Vec<Version>>>,
    hidden: Mutex<HashSet<String>>,
    made: Mutex<u32>,
}

/// One vault and its logins, on two loopback ports.
#[derive(Debug)]
pub struct AzureStub {
    state: Arc<State>,
    gate: Gate,
    login: Gate,
    _listening: [Listening; 2],
}

impl AzureStub {
    /// The only vault.
    pub const VAULT: &str = "tools-prod";
    /// The tenant that it is in.
    pub const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// The application whose assertion is trusted.
    pub const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
    /// The assertion that is trusted.
    pub const ASSERTION: &str = "header.canary-azure-assertion.signature";

    /// Starts them. The file of the assertion is there.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            tokens: Tokens::new("azure"),
            secrets: Mutex::default(),
            hidden: Mutex::default(),
            made: Mutex::default(),
        });
        state.tokens.write(Self::ASSERTION);
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

    /// The file of the assertion.
    pub fn token_file(&self) -> std::path::PathBuf {
        self.state.tokens.file()
    }

    /// Changes what the newest version says about itself.
    pub fn judge(&self, path: &str, validity: Validity) {
        if let Some(version) = hold(&self.state.secrets).get_mut(path).and_then(|all| all.last_mut()) {
            version.validity = validity;
        }
    }
}

/// The error of a status, with the inner name where there is one.
fn error(status: u16, inner: Option<&str>) -> Value {
    let code = match status {
        400 => "BadParameter",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "SecretNotFound",
        429 => "Throttled",
        _ => "InternalServerError",
    };
    let mut error = json!({ "code": code, "message": "canary: the service's own words" });
    if let (Some(inner), Some(object)) = (inner, error.as_object_mut()) {
        object.insert("innererror".to_owned(), json!({ "code": inner }));
    }
    json!({ "error": error })
}

fn refused(status: u16, inner: Option<&str>) -> Reply {
    Reply::json(status, &error(status, inner)).header("x-ms-request-id", "request-7")
}

impl State {
    fn answer(&self, heard: &Heard) -> Reply {
        if !self.tokens.takes(heard, RESOURCE) {
            let challenge = format!(
                "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"{RESOURCE}\"",
                AzureStub::TENANT
            );
            return refused(401, None).header("WWW-Authenticate", challenge);
        }
        if heard.parameter("api-version") != Some("7.4") {
            return refused(400, None);
        }
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            // The role that reads values does not list.
            ("GET", ["secrets"]) => refused(403, Some("ForbiddenByRbac")),
            ("GET", ["secrets", name]) => self.get(name, None),
            ("GET", ["secrets", name, version]) => self.get(name, Some(version)),
            _ => refused(400, None),
        }
    }

    fn get(&self, name: &str, version: Option<&str>) -> Reply {
        let path = format!("{}/{}", AzureStub::VAULT, name.to_ascii_lowercase());
        if hold(&self.hidden).contains(&path) {
            return refused(403, Some("ForbiddenByRbac"));
        }
        let secrets = hold(&self.secrets);
        let versions = secrets.get(&path).map(Vec::as_slice).unwrap_or_default();
        let found = match version {
            Some(id) => versions.iter().find(|version| version.id == id),
            None => versions.last(),
        };
        let Some(Version { id, value, validity }) = found else { return refused(404, None) };
        if !validity.enabled {
            return refused(403, Some("SecretDisabled"));
        }
        let id = format!("https://{}.vault.azure.net/secrets/{name}/{id}", AzureStub::VAULT);
        let mut attributes = json!({ "enabled": true, "created": 1_795_683_600, "updated": 1_795_683_600,
            "recoveryLevel": "Recoverable+Purgeable" });
        for (name, time) in [("nbf", validity.nbf), ("exp", validity.exp)] {
            if let (Some(time), Some(object)) = (time, attributes.as_object_mut()) {
                object.insert(name.to_owned(), time.into());
            }
        }
        Reply::json(200, &json!({ "value": value, "id": id, "attributes": attributes }))
            .header("x-ms-request-id", "request-7")
    }

    fn log_in(&self, heard: &Heard) -> Reply {
        let (method, place) = heard.place();
        match (method, place.as_slice()) {
            ("GET", ["metadata", "identity", "oauth2", "token"]) => self.metadata(heard),
            ("POST", [AzureStub::TENANT, "oauth2", "v2.0", "token"]) => self.assert(heard),
            _ => Reply::new(404, "<html>not found</html>"),
        }
    }

    fn metadata(&self, heard: &Heard) -> Reply {
        let refused =
            |error: &str| Reply::json(400, &json!({ "error": error, "error_description": "canary" }));
        if heard.header("metadata") != Some("true") || heard.header("x-forwarded-for").is_some() {
            return refused("invalid_request");
        }
        let known = heard.parameter("client_id").is_none_or(|id| id == AzureStub::CLIENT);
        let whole = heard.parameter("api-version") == Some("2018-02-01")
            && heard.parameter("resource") == Some(RESOURCE);
        if !whole || !known {
            return refused("invalid_request");
        }
        let Some(token) = self.tokens.make(RESOURCE) else { return refused("invalid_request") };
        // Numbers are strings here.
        let (span, end) = (TOKEN_SECONDS.to_string(), (now() + TOKEN_SECONDS).to_string());
        Reply::json(
            200,
            &json!({ "access_token": token, "expires_in": span, "expires_on": end, "resource": RESOURCE,
                "token_type": "Bearer" }),
        )
    }

    fn assert(&self, heard: &Heard) -> Reply {
        let form = heard.form();
        let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let whole = is("grant_type", "client_credentials")
            && is("client_id", AzureStub::CLIENT)
            && is("scope", "https://vault.azure.net/.default")
            && is("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let refused = |status: u16, error: &str| {
            Reply::json(status, &json!({ "error": error, "error_description": "AADSTS: canary" }))
        };
        if !whole {
            return refused(400, "invalid_request");
        }
        if !is("client_assertion", AzureStub::ASSERTION) {
            return refused(401, "invalid_client");
        }
        match self.tokens.make(RESOURCE) {
            Some(token) => Reply::json(
                200,
                &json!({ "access_token": token, "expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS,
                    "token_type": "Bearer" }),
            ),
            None => refused(401, "invalid_client"),
        }
    }
}

impl CloudStub for AzureStub {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn logins(&self) -> u32 {
        self.state.tokens.made()
    }

    fn put(&self, path: &str, field: Option<&str>, value: &[u8]) -> Option<String> {
        let value = document(field, value).filter(|text| text.len() <= LARGEST)?;
        let mut made = hold(&self.state.made);
        *made += 1;
        let id = format!("{:032x}", 0x4387_e9f3_d6e1_4c45_u64 + u64::from(*made));
        let validity = Validity { enabled: true, nbf: None, exp: None };
        let version = Version { id: id.clone(), value, validity };
        hold(&self.state.secrets).entry(path.to_owned()).or_default().push(version);
        Some(id)
    }

    fn delete(&self, path: &str) {
        hold(&self.state.secrets).remove(path);
    }

    fn hide(&self, path: &str) {
        hold(&self.state.hidden).insert(path.to_owned());
    }

    fn error(&self, status: u16) -> String {
        error(status, None).to_string()
    }

    fn end_sessions(&self) {
        self.state.tokens.end();
    }

    fn refuse_logins(&self, refuse: bool) {
        self.state.tokens.refuse(refuse);
    }
}
