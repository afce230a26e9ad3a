//! The gateway's signing keys: a set for each purpose, in a private file that replicas may share, and a
//! rotation that breaks nothing (DESIGN, sections 3.15 and 12.16).
//!
//! `prepare` is published and does not sign; `active` signs; `retiring` signs no more and stays published
//! until the last token it signed has expired; `retired` is neither, and its private half is gone.

mod key;
mod receipt;
mod record;
mod rotation;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::ports::{OwnKeys, StoreError};
use gateway_core::receipt::Receipt;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde_json::{Map, Value, json};

use self::key::SigningKey;
use self::record::{KeyRecord, KeyState};
pub use self::rotation::{LEAD, RotateError, rotate_now};
use crate::store::private_file;

/// What a token is signed for. Each purpose has keys and a `typ` of its own, so that a token of one can
/// never pass for one of another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Tokens for servers that trust the gateway.
    Minted,
    /// Access tokens of the gateway's own authorization server (RFC 9068).
    AccessToken,
    /// `actor_token`s of exchanges (RFC 8693, section 2.1).
    Actor,
    /// Assertions about a subject (RFC 7523, section 2.1), and about the gateway as a client (2.2).
    Assertion,
    /// Receipts for servers' owners (DESIGN, section 10.10).
    Receipt,
    /// Logins at secret stores, about the gateway or about who calls (DESIGN, section 11.8).
    StoreLogin,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 6] =
        [Self::Minted, Self::AccessToken, Self::Actor, Self::Assertion, Self::Receipt, Self::StoreLogin];

    /// The `typ` of its tokens (RFC 7515, section 4.1.9).
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Minted => "mcpgw-minted+jwt",
            Self::AccessToken => "at+jwt",
            Self::Actor => "mcpgw-actor+jwt",
            // RFC 7523 defines none, and providers refuse what they do not know.
            Self::Assertion => "JWT",
            Self::Receipt => "mcpgw-receipt+jwt",
            Self::StoreLogin => "mcpgw-store-login+jwt",
        }
    }

    /// The longest time from `iat` to `exp`: how long a key must stay published after its last use.
    pub const fn longest(self) -> Duration {
        match self {
            Self::Minted => Duration::from_secs(900),
            Self::AccessToken => Duration::from_secs(3_600),
            Self::Actor | Self::Assertion => Duration::from_secs(600),
            Self::Receipt | Self::StoreLogin => Duration::from_secs(120),
        }
    }

    /// Its name in the address of its key set.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::AccessToken => "access-token",
            Self::Actor => "actor",
            Self::Assertion => "assertion",
            Self::Receipt => "receipt",
            Self::StoreLogin => "store-login",
        }
    }
}

/// How a token is signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    #[default]
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4), for peers that know no `EdDSA`.
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Es256];

    /// The `alg` (RFC 7518, section 3.1).
    pub const fn word(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

/// Where the keys are, and how long each signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningConfig {
    /// The file; made where absent, mode 0600. Replicas behind one address share it.
    pub key_file: PathBuf,
    /// How long a key signs before the next one takes over.
    pub rotate_after: Duration,
}

impl SigningConfig {
    /// How long a key signs where nothing else is said: thirty days.
    pub const ROTATE_AFTER: Duration = Duration::from_secs(30 * 86_400);

    /// The defaults, with the file beside the audit directory.
    pub fn beside(audit: &Path) -> Self {
        let key_file = match audit.file_name() {
            Some(_) => audit.with_file_name("signing.json"),
            None => audit.join("signing.json"),
        };
        Self { key_file, rotate_after: Self::ROTATE_AFTER }
    }
}

/// Why there is no signature, or no key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SigningError {
    /// The key file cannot be read or written.
    #[error("the signing keys: {0}")]
    File(#[from] StoreError),
    /// The key file holds something else.
    #[error("the signing keys: `{0}` {1}")]
    Damaged(String, &'static str),
    /// No randomness, or no memory.
    #[error("no signing key could be made")]
    NotMade,
    /// No key of this purpose signs.
    #[error("no active signing key for {0:?}")]
    NoKey(Purpose),
    /// The claims say no `iat` and `exp`, or the token would outlive its key.
    #[error("a token for {0:?} needs `iat` and `exp`, at most {1:?} apart")]
    Lifetime(Purpose, Duration),
}

/// Signs tokens.
pub struct Signer {
    config: Option<SigningConfig>,
    rotate_after: Duration,
    ring: RwLock<Arc<Ring>>,
}

/// The keys of one moment.
struct Ring {
    keys: Vec<SigningKey>,
    records: Vec<KeyRecord>,
}

impl Ring {
    fn of(records: Vec<KeyRecord>) -> Result<Self, SigningError> {
        let keys = records.iter().filter(|record| record.state != KeyState::Retired);
        let keys = keys.map(SigningKey::open).collect::<Result<_, _>>()?;
        Ok(Self { keys, records })
    }

    /// The key that signs.
    fn active(&self, purpose: Purpose, algorithm: Algorithm) -> Result<&SigningKey, SigningError> {
        let mut keys = self.keys.iter();
        keys.find(|key| key.signs_for(purpose, algorithm)).ok_or(SigningError::NoKey(purpose))
    }

    fn document(&self, purpose: Option<Purpose>) -> Value {
        let wanted = |key: &&SigningKey| purpose.is_none_or(|purpose| key.purpose == purpose);
        let keys: Vec<Value> = self.keys.iter().filter(wanted).map(SigningKey::public).collect();
        json!({ "keys": keys })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring();
        let ids = ring.records.iter().map(|record| (record.purpose, record.state, record.kid.as_str()));
        f.debug_list().entries(ids).finish()
    }
}

impl Signer {
    /// Reads the keys, and makes them where there is no file. Of two processes that start at the same
    /// time both get the same. Blocks.
    ///
    /// # Errors
    /// See [`SigningError`]. A file that cannot be written does where every purpose has a key that signs:
    /// then whoever mounts the file rotates it. It may do without keys for receipts and for logins at stores,
    /// which are younger than such files: what needs one is refused.
    pub fn open(config: &SigningConfig, now: Timestamp) -> Result<Self, SigningError> {
        private_file::make_directory(&config.key_file)?;
        let records = record::read(&config.key_file)?;
        let signer = Self {
            config: Some(config.clone()),
            rotate_after: config.rotate_after,
            ring: RwLock::new(Arc::new(Ring::of(records)?)),
        };
        if let Err(error) = signer.tend(now) {
            if !signer.is_complete() {
                return Err(error);
            }
            tracing::warn!(%error, "the signing keys cannot be rotated by this process");
        }
        Ok(signer)
    }

    /// Keys in memory only, gone with the process: for benches and tests.
    ///
    /// # Errors
    /// [`SigningError::NotMade`].
    pub fn ephemeral(now: Timestamp) -> Result<Self, SigningError> {
        let mut records = Vec::new();
        let rotate_after = SigningConfig::ROTATE_AFTER;
        rotation::perform(&mut records, &rotation::steps(&[], now, rotate_after), now)?;
        Ok(Self { config: None, rotate_after, ring: RwLock::new(Arc::new(Ring::of(records)?)) })
    }

    /// Signs the claims: a compact JWS (RFC 7515, section 3.1).
    ///
    /// # Errors
    /// See [`SigningError`].
    pub fn sign(
        &self,
        purpose: Purpose,
        algorithm: Algorithm,
        claims: &Map<String, Value>,
    ) -> Result<Secret, SigningError> {
        let time = |name| claims.get(name).and_then(Value::as_i64);
        let lifetime = time("exp").zip(time("iat")).and_then(|(end, start)| end.checked_sub(start));
        let longest = purpose.longest();
        let held = |seconds: i64| u64::try_from(seconds).is_ok_and(|s| s > 0 && s <= longest.as_secs());
        if !lifetime.is_some_and(held) {
            return Err(SigningError::Lifetime(purpose, longest));
        }
        let token = self.ring().active(purpose, algorithm)?.sign(claims)?;
        Ok(Secret::new(token.into_bytes()))
    }

    /// The public keys of the purpose, or of all, as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self, purpose: Option<Purpose>) -> Value {
        self.ring().document(purpose)
    }

    /// Takes over what other replicas changed, and does what is due; to be called every few seconds, and
    /// many times within [`LEAD`]. Blocks.
    ///
    /// # Errors
    /// See [`SigningError`]; the keys there are go on signing.
    pub fn tend(&self, now: Timestamp) -> Result<(), SigningError> {
        let Some(config) = &self.config else { return Ok(()) };
        let mut records = record::read(&config.key_file)?;
        if !rotation::steps(&records, now, self.rotate_after).is_empty() {
            let _turn = private_file::lock(&config.key_file)?;
            records = record::read(&config.key_file)?;
            let steps = rotation::steps(&records, now, self.rotate_after);
            if !steps.is_empty() {
                rotation::perform(&mut records, &steps, now)?;
                record::write(&config.key_file, &records)?;
            }
        }
        if !record::same(&records, &self.ring().records) {
            let ring = Arc::new(Ring::of(records)?);
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        let ring = self.ring();
        let mut needed =
            Purpose::ALL.iter().filter(|purpose| !matches!(purpose, Purpose::Receipt | Purpose::StoreLogin));
        needed.all(|purpose| Algorithm::ALL.iter().all(|with| ring.active(*purpose, *with).is_ok()))
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OwnKeys for Signer {
    fn key_set(&self, purpose: Option<&str>) -> Option<Bytes> {
        let purpose = match purpose {
            Some(word) => Some(Purpose::ALL.into_iter().find(|purpose| purpose.word() == word)?),
            None => None,
        };
        Some(Bytes::from(self.jwks(purpose).to_string()))
    }

    fn sign_receipt(&self, receipt: &Receipt<'_>) -> Result<String, Refusal> {
        receipt::sign(&self.ring(), receipt)
            .map_err(|error| Refusal::new(Code::ReceiptUnavailable).because(error))
    }
}

#[cfg(test)]
mod tests;
