//! SPIFFE trust bundles (SPIFFE Trust Domain and Bundle, section 4): a JWK set that holds the keys of
//! JWT-SVIDs and the authorities of X.509-SVIDs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use url::Url;

use super::keys::{KeySet, MAX_KEYS};
use super::strict_json;
use super::svid::Authorities;
use crate::https::OutboundClient;

/// The largest bundle taken, in bytes.
pub(super) const MAX_BUNDLE: u64 = 512 * 1024;
/// How long a bundle is fresh where it does not say (section 4.1.4 advises five minutes).
const FRESH: u64 = 300;
/// The limits for its refresh hint, in seconds.
const FRESH_LIMITS: (u64, u64) = (10, 3600);
/// How often a file is looked at, in seconds: reading one costs nothing.
const FILE_FRESH: u64 = 10;

/// Where a bundle is.
#[derive(Debug)]
pub(super) enum BundlePlace {
    /// A file that something else keeps up to date.
    File(PathBuf),
    /// A bundle endpoint that shows a Web PKI certificate (`https_web`, SPIFFE Federation, section 5.2.1).
    Endpoint(Url, OutboundClient),
}

/// What a bundle holds.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) keys: KeySet,
    pub(super) authorities: Authorities,
    refresh_hint: Option<u64>,
}

impl Bundle {
    /// Reads a bundle; entries that cannot be used are left out one by one.
    ///
    /// # Errors
    /// What is wrong with the document as a whole.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = strict_json::object(bytes).ok_or("the bundle is no JSON object")?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or("the bundle has no `keys`")?;
        let roots = entries.iter().take(MAX_KEYS).filter_map(authority);
        Ok(Self {
            keys: KeySet::of_svids(entries),
            authorities: Authorities::new(roots)?,
            refresh_hint: document.get("spiffe_refresh_hint").and_then(Value::as_u64),
        })
    }

    /// How long it counts as fresh.
    pub(super) fn fresh(&self, place: &BundlePlace) -> Duration {
        let (least, most) = FRESH_LIMITS;
        let hinted = self.refresh_hint.unwrap_or(FRESH).clamp(least, most);
        Duration::from_secs(match place {
            BundlePlace::File(_) => hinted.min(FILE_FRESH),
            BundlePlace::Endpoint(..) => hinted,
        })
    }
}

/// Reads the file now.
///
/// # Errors
/// It cannot be read, or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BUNDLE {
        return Err(format!("the bundle is larger than {MAX_BUNDLE} bytes"));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// The certificate of an X.509 authority: the one in `x5c` (section 4.2.1).
fn authority(entry: &Value) -> Option<CertificateDer<'static>> {
    if entry.get("use")? != "x509-svid" {
        return None;
    }
    match entry.get("x5c")?.as_array()?.as_slice() {
        [Value::String(only)] => STANDARD.decode(only).ok().map(CertificateDer::from),
        _ => None,
    }
}
