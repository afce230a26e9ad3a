//! Issuers that vouch for runtimes: what each vendor's tokens look like, and which of them speak for a
//! runtime at all. A token of a person from the same issuer is refused, not taken for a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::identity::{Attested, IdentityError};
use gateway_core::spiffe::{SpiffeId, TrustDomain};
use serde_json::{Map, Value};
use url::Url;

use super::config::Preset;
use super::token::SignedClaims;
use crate::https::is_loopback;

/// The most claims kept, and the most bytes of a path or a text.
const MAX_CLAIMS: usize = 64;
const MAX_BYTES: usize = 512;
/// How deep objects are followed.
const MAX_DEPTH: usize = 8;

/// Whom an issuer's tokens speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vouches {
    /// People and clients.
    Callers,
    /// Runtimes.
    Workloads,
    /// Runtimes of one SPIFFE trust domain (SPIFFE JWT-SVID, section 3).
    Svids(TrustDomain),
}

impl Preset {
    /// Whether it is of an issuer that vouches for runtimes.
    pub(super) const fn is_of_workloads(self) -> bool {
        match self {
            Self::Entra | Self::Okta => false,
            Self::Kubernetes
            | Self::GithubActions
            | Self::Gitlab
            | Self::Google
            | Self::Aws
            | Self::Azure => true,
        }
    }

    /// Where the vendor's tokens come from, where that is fixed and this issuer is not it. An issuer on
    /// this machine stands for any of them, for development.
    pub(super) fn wants_issuer(self, issuer: &Url) -> Option<&'static str> {
        let host = issuer.host_str().unwrap_or_default();
        let within = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let (fits, form) = match self {
            Self::Entra | Self::Okta | Self::Kubernetes | Self::Gitlab => (true, ""),
            Self::GithubActions => (
                host == "token.actions.githubusercontent.com"
                    || (host.starts_with("token.actions.") && within("ghe.com"))
                    || issuer.path() == "/_services/token",
                "`https://token.actions.githubusercontent.com`, or `https://HOST/_services/token` of a server of your own",
            ),
            Self::Google => {
                (issuer.as_str() == "https://accounts.google.com/", "`https://accounts.google.com`")
            }
            Self::Aws => (
                within("amazonaws.com") || within("amazonaws.com.cn") || within("api.aws"),
                "`https://oidc.eks.REGION.amazonaws.com/id/ID` or `https://ID.tokens.sts.global.api.aws`",
            ),
            Self::Azure => (
                host == "sts.windows.net"
                    || within("microsoftonline.com")
                    || within("microsoftonline.us")
                    || within("partner.microsoftonline.cn"),
                "`https://login.microsoftonline.com/TENANT/v2.0` or `https://sts.windows.net/TENANT/`",
            ),
        };
        (!fits && !is_loopback(issuer)).then_some(form)
    }
}

/// What the token attests, by the vendor's rules. Signature, audience and times were judged before.
///
/// # Errors
/// [`IdentityError::Claims`] where it speaks for a person, or lacks what every token of the vendor has.
pub(super) fn attested(
    issuer: &Arc<str>,
    vouches: &Vouches,
    preset: Option<Preset>,
    subject_claim: &str,
    claims: &SignedClaims,
) -> Result<Attested, IdentityError> {
    let subject = match (vouches, preset) {
        (Vouches::Svids(trust_domain), _) => svid(trust_domain, claims)?,
        (_, Some(Preset::Kubernetes)) => service_account(claims)?,
        (_, Some(Preset::GithubActions)) => having(claims, "repository")?,
        // GitLab signs people in under the same issuer; only a job's token names a project.
        (_, Some(Preset::Gitlab)) => having(claims, "project_path")?,
        (_, Some(Preset::Google)) => google(claims)?,
        (_, Some(Preset::Aws)) => amazon(claims)?,
        (_, Some(Preset::Azure)) => azure(claims)?,
        (_, Some(Preset::Entra | Preset::Okta) | None) => claims.required(subject_claim)?.to_owned(),
    };
    let claims = flatten(claims.all());
    Ok(Attested { issuer: Arc::clone(issuer), subject: Arc::from(subject), claims })
}

fn svid(trust_domain: &TrustDomain, claims: &SignedClaims) -> Result<String, IdentityError> {
    let id = SpiffeId::parse(claims.required("sub")?).map_err(|_| IdentityError::Claims)?;
    // Another trust domain's ID signed by this one's key is a forgery of the worst kind.
    let own = id.trust_domain() == trust_domain && id.names_a_workload();
    own.then(|| id.text().to_string()).ok_or(IdentityError::Claims)
}

/// The subject of a token that must have this claim as text.
fn having(claims: &SignedClaims, name: &str) -> Result<String, IdentityError> {
    claims.required(name)?;
    claims.required("sub").map(str::to_owned)
}

/// `system:serviceaccount:NAMESPACE:NAME`, as the claims under `kubernetes.io` say too.
fn service_account(claims: &SignedClaims) -> Result<String, IdentityError> {
    let subject = claims.required("sub")?;
    let names = subject.strip_prefix("system:serviceaccount:").and_then(|names| names.split_once(':'));
    let (namespace, name) = names.ok_or(IdentityError::Claims)?;
    let told = claims.value("kubernetes.io").ok_or(IdentityError::Claims)?;
    let says = |value: Option<&Value>, expected: &str| value.and_then(Value::as_str) == Some(expected);
    let agrees = says(told.get("namespace"), namespace)
        && says(told.get("serviceaccount").and_then(|account| account.get("name")), name);
    agrees.then(|| subject.to_owned()).ok_or(IdentityError::Claims)
}

/// A service account's unique id. People get tokens of the same issuer, with other `azp` and e-mail.
fn google(claims: &SignedClaims) -> Result<String, IdentityError> {
    let subject = claims.required("sub")?;
    let verified = claims.value("email_verified") == Some(&Value::Bool(true));
    let account = claims.text("email")?.is_some_and(|email| email.ends_with(".gserviceaccount.com"));
    let own_client = claims.text("azp")? == Some(subject);
    let person = claims.value("hd").is_some() || (claims.value("email").is_some() && !account);
    let runtime = !person && (own_client || (account && verified));
    runtime.then(|| subject.to_owned()).ok_or(IdentityError::Claims)
}

/// A service account of an EKS cluster, or a role that asked STS for a token of its own.
fn amazon(claims: &SignedClaims) -> Result<String, IdentityError> {
    let subject = claims.required("sub")?;
    if !subject.starts_with("arn:aws") {
        return service_account(claims);
    }
    let told = claims.value("https://sts.amazonaws.com/").and_then(Value::as_object);
    told.map(|_| subject.to_owned()).ok_or(IdentityError::Claims)
}

/// `tid/oid` of an app-only token: managed identities (`xms_mirid`) and service principals.
fn azure(claims: &SignedClaims) -> Result<String, IdentityError> {
    let (tenant, object) = (claims.required("tid")?, claims.required("oid")?);
    let app_only = match claims.text("idtyp")? {
        Some(kind) => kind == "app",
        None => claims.text("sub")? == Some(object),
    };
    // A scope is what a person delegated (Entra: `scp` in delegated tokens only).
    let delegated = claims.value("scp").is_some();
    (app_only && !delegated).then(|| format!("{tenant}/{object}")).ok_or(IdentityError::Claims)
}

/// The claims that mappings can match: texts, numbers and flags by their path. Left out are arrays, what
/// is longer than 512 bytes or has control characters, what comes after 64 claims in the order of paths,
/// and every path that two claims have: which one is meant would be a guess.
pub(super) fn flatten(claims: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk("", claims, 0, &mut found);
    found.into_iter().filter_map(|(path, value)| Some((path, value?))).take(MAX_CLAIMS).collect()
}

fn walk(
    above: &str,
    claims: &Map<String, Value>,
    depth: usize,
    found: &mut BTreeMap<String, Option<String>>,
) {
    for (name, value) in claims {
        // `https://sts.amazonaws.com/` has its own slash at the end.
        let joint = if above.is_empty() || above.ends_with('/') { "" } else { "/" };
        let path = format!("{above}{joint}{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Object(inner) => {
                if depth < MAX_DEPTH {
                    walk(&path, inner, depth + 1, found);
                }
                continue;
            }
            Value::Array(_) | Value::Null => continue,
        };
        let fits = |text: &str| text.len() <= MAX_BYTES && !text.chars().any(char::is_control);
        let kept = (fits(&path) && fits(&text)).then_some(text);
        found.entry(path).and_modify(|twice| *twice = None).or_insert(kept);
    }
}
