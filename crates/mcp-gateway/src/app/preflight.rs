//! Before the first call: a sample token, a store path, an upstream and the sink, each green or a reason.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gateway_adapters::audit::{AuditLog, Sink};
use gateway_adapters::identity::OidcVerifier;
use gateway_adapters::policy::CedarCompiler;
use gateway_adapters::state;
use gateway_adapters::store::{StoreAssertions, StoreConfig};
use gateway_core::actor::Groups;
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::identity::Presented;
use gateway_core::manifest::Route;
use gateway_core::ports::IdentityVerifier as _;
use gateway_core::reference::{SecretReference, TemplateValues};
use gateway_core::refusal::Refusal;
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_core::stores::Stores;
use gateway_core::time::Clock as _;
use gateway_proxy::upstream::Upstreams;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;

use super::StartError;
use super::system::{SystemClock, SystemEntropy};
use crate::config::Config;

/// What to try beside what the configuration names.
#[derive(Debug, Clone, Default)]
pub struct PreflightRequest {
    /// A file with a sample token of a caller.
    pub token_file: Option<PathBuf>,
    /// A reference to resolve, and the environment to resolve it in.
    pub reference: Option<(SecretReference, EnvironmentName)>,
    /// A registered server to reach.
    pub server: Option<(EnvironmentName, ServerName)>,
}

/// One thing tried.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PreflightLine {
    /// What was tried.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do where it is not.
    pub hint: Option<String>,
}

impl PreflightLine {
    fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, detail: detail.into(), hint: None }
    }

    fn bad(name: impl Into<String>, detail: impl std::fmt::Display, hint: &str) -> Self {
        Self { name: name.into(), ok: false, detail: detail.to_string(), hint: Some(hint.to_owned()) }
    }
}

/// Tries everything and says how each went. Changes nothing, but for waiting records that the sink
/// takes.
pub async fn preflight(config: &Config, request: &PreflightRequest) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    let stores = open_stores(config, &mut lines);
    for (name, entry) in stores.entries() {
        lines.push(match entry.store.probe().await {
            Ok(()) => PreflightLine::good(format!("store {name}"), "answers and accepts the gateway's login"),
            Err(error) => PreflightLine::bad(
                format!("store {name}"),
                error,
                "check the store's address, its certificate and the gateway's login files",
            ),
        });
    }
    identity(config, request, &mut lines).await;
    if let Some((reference, environment)) = &request.reference {
        lines.push(resolve(&stores, reference, environment).await);
    }
    if let Some((environment, server)) = &request.server {
        lines.push(reach(config, environment, server).await);
    }
    lines.push(sink(config).await);
    lines
}

/// What the gateway signs to log in at stores, where one of them needs it: the keys are made where there
/// are none yet.
///
/// # Errors
/// The signing keys cannot be opened.
pub fn store_assertions(config: &Config) -> Result<Option<Arc<StoreAssertions>>, StartError> {
    if !config.stores.values().any(StoreConfig::is_signed) {
        return Ok(None);
    }
    let (signer, entropy) = (Arc::new(super::parts::signer(config)?), Arc::new(SystemEntropy::default()));
    Ok(Some(super::parts::assertions(config, &signer, &entropy)))
}

fn open_stores(config: &Config, lines: &mut Vec<PreflightLine>) -> Stores {
    let mut entries = Vec::new();
    let assertions = store_assertions(config).unwrap_or_else(|error| {
        lines.push(PreflightLine::bad("signing keys", error, "check the file under `signing`"));
        None
    });
    for (name, store) in &config.stores {
        match store.build_signing(name, Arc::new(SystemClock), assertions.as_ref()) {
            Ok(entry) => entries.push((name.clone(), entry)),
            Err(error) => lines.push(PreflightLine::bad(
                format!("store {name}"),
                error,
                "correct the store's entry in the configuration",
            )),
        }
    }
    Stores::new(entries)
}

async fn identity(config: &Config, request: &PreflightRequest, lines: &mut Vec<PreflightLine>) {
    let verifier = match super::parts::verifier(config) {
        Ok(verifier) => verifier,
        Err(issues) => {
            lines.extend(issues.into_iter().map(|issue| {
                let detail = format!("{}: {}", issue.field, issue.message);
                PreflightLine::bad(format!("issuer {}", issue.issuer), detail, "correct the issuer's entry")
            }));
            return;
        }
    };
    for health in verifier.probe(SystemClock.now()).await {
        let name = format!("issuer {}", health.issuer);
        lines.push(match health.keys {
            Ok(count) => PreflightLine::good(name, format!("{count} usable keys")),
            Err(why) => {
                PreflightLine::bad(name, why, "check that the gateway reaches the issuer's JWKS endpoint")
            }
        });
    }
    if let Some(path) = &request.token_file {
        lines.push(sample_token(&verifier, path).await);
    }
}

async fn sample_token(verifier: &OidcVerifier, path: &std::path::Path) -> PreflightLine {
    let name = format!("token {}", path.display());
    let text = match std::fs::read(path) {
        Ok(text) => Secret::new(text),
        Err(error) => return PreflightLine::bad(name, error, "name a file that holds one token"),
    };
    let presented = Presented::new(trimmed(&text));
    match verifier.verify(&presented, SystemClock.now()).await {
        Ok(identity) => {
            let claims = identity.claims();
            let user = claims.user.as_ref().map_or_else(|| "no user".to_owned(), ToString::to_string);
            let groups = match &claims.groups {
                Groups::Known(groups) => format!("{} groups", groups.len()),
                Groups::Unknown => "groups unknown".to_owned(),
            };
            let doors: Vec<&str> = claims.entries.iter().map(|entry| entry.environment.as_str()).collect();
            let client = claims.client.as_deref().unwrap_or("no client");
            PreflightLine::good(name, format!("{user}, {groups}, {client}; opens {}", doors.join(", ")))
        }
        Err(error) => PreflightLine::bad(
            name,
            error,
            "compare the token's iss, aud and typ with the issuer's entry; agent tokens of the gateway are not tried here",
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "takes the line break of the file off the token")]
fn trimmed(text: &Secret) -> Secret {
    Secret::copy_from(text.expose().trim_ascii())
}

async fn resolve(
    stores: &Stores,
    reference: &SecretReference,
    environment: &EnvironmentName,
) -> PreflightLine {
    let name = format!("reference {reference}");
    let hint = "check path, field and version, and that the store serves this environment";
    let values = TemplateValues { agent: None, user: None, environment };
    let resolved = match reference.resolve(&values) {
        Ok(resolved) => resolved,
        Err(error) => return PreflightLine::bad(name, error, hint),
    };
    let entry = match stores.open(environment, reference.store()) {
        Ok(entry) => entry,
        Err(error) => return PreflightLine::bad(name, error, hint),
    };
    match entry.store.fetch(&resolved).await {
        Ok(version) => {
            let usable =
                if version.secret.is_header_safe() { "usable in a header" } else { "not usable in a header" };
            PreflightLine::good(name, format!("version {}, {usable}", version.version))
        }
        Err(error) => PreflightLine::bad(name, error, hint),
    }
}

/// A handshake without a credential: a server that demands one answers 401, and is reached.
async fn reach(config: &Config, environment: &EnvironmentName, server: &ServerName) -> PreflightLine {
    let name = format!("server {environment}/{server}");
    match try_reach(config, environment, server).await {
        Ok(status) => PreflightLine::good(name, format!("answers (status {status} without a credential)")),
        Err(why) => PreflightLine::bad(
            name,
            why,
            "apply the server's manifest first; check the route's URL, `addresses` and `ca_file`",
        ),
    }
}

async fn try_reach(
    config: &Config,
    environment: &EnvironmentName,
    server: &ServerName,
) -> Result<u16, String> {
    let entropy = Arc::new(SystemEntropy::default());
    let database = state::open(&config.state, Arc::new(SystemClock), entropy)
        .await
        .map_err(|error| error.to_string())?;
    let loaded = database.state.load().await.map_err(|error| error.to_string())?;
    let compiler = CedarCompiler::new().map_err(|error| error.to_string())?;
    let snapshot = Snapshot::build(&loaded, &compiler, &[]).map_err(|error| error.to_string())?;
    let view = snapshot.environment(environment.as_str()).and_then(|view| view.server(server.as_str()));
    let route = view.map(|view| view.spec.route.clone()).ok_or("no such server is registered")?;
    let Route::Http(route) = route else {
        return Err("the server is a process: it is tried when it is first called".to_owned());
    };
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#;
    let request = Request::builder()
        .method(Method::POST)
        .uri(route.url.as_str())
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .map_err(|error| error.to_string())?;
    let answered = Upstreams::default().send(&route, request).await;
    answered.map(|response| response.status().as_u16()).map_err(|refusal| inside(&refusal))
}

fn inside(refusal: &Refusal) -> String {
    match refusal.inside() {
        Some(inside) => format!("{refusal} ({inside})"),
        None => refusal.to_string(),
    }
}

async fn sink(config: &Config) -> PreflightLine {
    let Some(sink) = config.audit.sink.clone() else {
        return PreflightLine {
            name: "audit sink".to_owned(),
            ok: true,
            detail: "none configured: the evidence has no anchor outside this host".to_owned(),
            hint: Some("set `audit.sink` before production".to_owned()),
        };
    };
    let hint = "check the sink's URL, certificate and token file";
    let entropy = Arc::new(SystemEntropy::default());
    let log = match AuditLog::open(&config.audit, &*entropy) {
        Ok((log, _)) => Arc::new(log),
        Err(error) => {
            return PreflightLine::bad(
                "audit sink",
                error,
                "stop the gateway that holds the directory, or ask it",
            );
        }
    };
    let sink = match Sink::new(log, sink, entropy) {
        Ok(sink) => Arc::new(sink),
        Err(error) => return PreflightLine::bad("audit sink", error, hint),
    };
    match sink.deliver().await {
        Ok(lines) => PreflightLine::good("audit sink", format!("takes records ({lines} sent)")),
        Err(why) => PreflightLine::bad("audit sink", why, hint),
    }
}
