//! Stubs of services that no test of this workspace can reach: Google Secret Manager, Azure Key Vault, the
//! Kubernetes API and a 1Password Connect server, each with the logins that lead to it.
//!
//! **No real cloud was available.** Each stub was written after what its vendor documents: paths, methods,
//! parameters, headers, error documents, and what is checked before anything is answered. Where a vendor's
//! documentation and its service differ, the stub and the store that is tested on it are both wrong.
//!
//! In front of each service stands a [`Gate`], which plays what befalls any server.

#![allow(clippy::unwrap_used, reason = "a stub that cannot be set up fails the test")]

mod azure;
mod google;
mod http;
mod kubernetes;
mod onepassword;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use time::OffsetDateTime;

pub use self::azure::{AzureStub, Validity};
pub use self::google::GoogleStub;
pub use self::kubernetes::KubernetesStub;
pub use self::onepassword::OnePasswordStub;
use crate::gate::Gate;

/// How long the tokens of logins live, in seconds.
pub const TOKEN_SECONDS: i64 = 3_600;

/// What the battery and the prover need of a stub. A path is one of a reference.
pub trait CloudStub: Send + Sync + fmt::Debug {
    /// The gate in front of the service itself.
    fn gate(&self) -> &Gate;

    /// How many logins succeeded; 0 where a file's token is all there is.
    fn logins(&self) -> u32;

    /// Adds a version, the value under this field where one is named, and returns the service's name for
    /// it; absent where the service takes no such value.
    fn put(&self, path: &str, field: Option<&str>, value: &[u8]) -> Option<String>;

    /// Deletes every version.
    fn delete(&self, path: &str);

    /// Takes our right to read it.
    fn hide(&self, path: &str);

    /// The service's error document for a status.
    fn error(&self, status: u16) -> String;

    /// Every token so far is dead from now on; a login brings another.
    fn end_sessions(&self);

    /// Whether no login is taken any more, and no token either.
    fn refuse_logins(&self, refuse: bool);
}

/// The tokens that a service takes, and the file of the credential that leads to them.
#[derive(Debug)]
struct Tokens {
    name: &'static str,
    directory: TempDir,
    state: Mutex<TokenState>,
}

#[derive(Debug, Default)]
struct TokenState {
    /// Those that are good now, each with what it is good for.
    good: Vec<(String, &'static str)>,
    made: u32,
    refusing: bool,
}

impl Tokens {
    fn new(name: &'static str) -> Self {
        let directory = TempDir::new().unwrap();
        Self { name, directory, state: Mutex::default() }
    }

    fn hold(&self) -> MutexGuard<'_, TokenState> {
        hold(&self.state)
    }

    /// Another token, good for this; absent where logins are refused.
    fn make(&self, purpose: &'static str) -> Option<String> {
        let mut state = self.hold();
        if state.refusing {
            return None;
        }
        state.made += 1;
        let token = format!("canary-{}-token-{}", self.name, state.made);
        state.good.push((token.clone(), purpose));
        Some(token)
    }

    fn made(&self) -> u32 {
        self.hold().made
    }

    /// Whether the request carries a token that is good for this.
    fn takes(&self, heard: &http::Heard, purpose: &str) -> bool {
        let token = heard.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let state = self.hold();
        token.is_some_and(|token| state.good.iter().any(|(good, what)| good == token && *what == purpose))
    }

    fn end(&self) {
        self.hold().good.clear();
    }

    fn refuse(&self, refuse: bool) {
        let mut state = self.hold();
        state.refusing = refuse;
        state.good.clear();
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    /// Puts the text into the credential's file, as a platform does: readable by its owner.
    fn write(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.file(), text).unwrap();
        std::fs::set_permissions(self.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// A JSON document with the value under the field, or the value alone; absent where it is no text.
fn document(field: Option<&str>, value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let Some(field) = field else { return Some(text.to_owned()) };
    let mut document = serde_json::Map::from_iter([("other".to_owned(), 1.into())]);
    document.insert(field.to_owned(), text.into());
    Some(serde_json::Value::Object(document).to_string())
}
