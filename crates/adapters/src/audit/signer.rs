//! The key that signs checkpoints: Ed25519 in a PKCS#8 file that only its owner may read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::audit::{Anchor, Checkpoint, Handover, SignedAnchor, SignedCheckpoint, SignedHandover};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::disk::sync_directory;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read or made.
    #[error("the checkpoint key: {0}")]
    Disk(#[from] io::Error),
    /// Others than its owner may read or write the file.
    #[error("the checkpoint key may be read by its owner only (mode 0600), and has mode {0:04o}")]
    Permissions(u32),
    /// The file is no PKCS#8 Ed25519 key, or none could be made.
    #[error("the checkpoint key is no Ed25519 key in PKCS#8")]
    Malformed,
    /// The document is no JSON Web Key Set with Ed25519 keys.
    #[error("no JSON Web Key Set (RFC 7517) of Ed25519 keys")]
    KeySet,
}

/// The public half of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey([u8; 32]);

/// RFC 7517 with RFC 8037 keys, as far as it concerns us.
#[derive(Serialize, Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(default)]
    alg: String,
    #[serde(default, rename = "use")]
    usage: String,
}

impl PublicKey {
    /// RFC 7638 thumbprint.
    pub fn key_id(&self) -> String {
        let canonical =
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(self.0));
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
    }

    /// Whether this key signed the checkpoint.
    pub fn signed(&self, signed: &SignedCheckpoint) -> bool {
        signed.holds(|bytes, signature| self.verifies(bytes, signature))
    }

    /// Whether this key signed the anchor.
    pub fn signed_anchor(&self, signed: &SignedAnchor) -> bool {
        signed.holds(|bytes, signature| self.verifies(bytes, signature))
    }

    /// Whether this key signed the handover, as the former of the two.
    pub fn handed_over(&self, signed: &SignedHandover) -> bool {
        signed.handover.from == self.encoded()
            && signed.holds(|bytes, signature| self.verifies(bytes, signature))
    }

    fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }

    /// The key as the `x` of a JSON Web Key (RFC 8037).
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what [`PublicKey::encoded`] writes; nothing where it is no key.
    pub fn decoded(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The keys as a JSON Web Key Set.
    ///
    /// # Errors
    /// Cannot happen for keys.
    pub fn to_jwks(keys: &[Self]) -> Result<serde_json::Value, serde_json::Error> {
        let keys = keys.iter().map(|key| Key {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: URL_SAFE_NO_PAD.encode(key.0),
            kid: key.key_id(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
        });
        serde_json::to_value(KeySet { keys: keys.collect() })
    }

    /// Reads a JSON Web Key Set. Key ids are computed, never believed.
    ///
    /// # Errors
    /// It is none, or holds another kind of key.
    pub fn from_jwks(document: &[u8]) -> Result<Vec<Self>, SignerError> {
        let set: KeySet = serde_json::from_slice(document).map_err(|_| SignerError::KeySet)?;
        let read = |key: Key| {
            let bytes = URL_SAFE_NO_PAD.decode(key.x).ok()?;
            let ours = key.kty == "OKP" && key.crv == "Ed25519";
            bytes.try_into().ok().filter(|_| ours).map(Self)
        };
        set.keys.into_iter().map(read).collect::<Option<_>>().ok_or(SignerError::KeySet)
    }
}

/// Signs checkpoints.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public.key_id())
    }
}

impl Signer {
    /// Reads the key, or makes one where there is no file. Of two processes that make one at the same
    /// time both get the same. Blocks on the disk.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn open_or_create(path: &Path) -> Result<Self, SignerError> {
        match Self::open(path) {
            Err(SignerError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::open(path)
            }
            other => other,
        }
    }

    /// Reads the key.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub fn open(path: &Path) -> Result<Self, SignerError> {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SignerError::Permissions(mode));
        }
        let mut document = Zeroizing::new(Vec::with_capacity(256));
        file.read_to_end(&mut document)?;
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| SignerError::Malformed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SignerError::Malformed)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// The public half.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the checkpoint. Its key id is set to this key's.
    ///
    /// # Errors
    /// Cannot happen: an Ed25519 signature has 64 bytes.
    pub fn sign(&self, mut checkpoint: Checkpoint) -> Result<SignedCheckpoint, SignerError> {
        checkpoint.key_id = self.public.key_id();
        let signature = self.signature(&checkpoint.canonical())?;
        Ok(checkpoint.sign(|_| signature))
    }

    /// Signs the anchor. Its key id is set to this key's.
    ///
    /// # Errors
    /// Cannot happen: an Ed25519 signature has 64 bytes.
    pub fn sign_anchor(&self, mut anchor: Anchor) -> Result<SignedAnchor, SignerError> {
        anchor.key_id = self.public.key_id();
        let signature = self.signature(&anchor.canonical())?;
        Ok(anchor.sign(|_| signature))
    }

    /// Signs that the next key follows this one. The former key is set to this one.
    ///
    /// # Errors
    /// Cannot happen: an Ed25519 signature has 64 bytes.
    pub fn hand_over(&self, mut handover: Handover) -> Result<SignedHandover, SignerError> {
        handover.from = self.public.encoded();
        let signature = self.signature(&handover.canonical())?;
        Ok(handover.sign(|_| signature))
    }

    fn signature(&self, bytes: &[u8]) -> Result<[u8; 64], SignerError> {
        self.pair.sign(bytes).as_ref().try_into().map_err(|_| SignerError::Malformed)
    }
}

/// Where the key waits that is to follow the one at this path.
pub(super) fn next_key_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// Makes the key that is to follow the one at this path, and puts it beside it: the gateway takes it within
/// a second, or when it starts. Where one waits already, it stays. Blocks on the disk.
///
/// # Errors
/// There is no key yet, or none can be made.
pub fn prepare_next_key(path: &Path) -> Result<PublicKey, SignerError> {
    Signer::open(path)?;
    Signer::open_or_create(&next_key_path(path)).map(|signer| signer.public)
}

/// Writes a new key beside the path, then links it there: the path never shows half a key, and a key
/// that somebody else made in the meantime stays.
fn create(path: &Path) -> Result<(), SignerError> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let document =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SignerError::Malformed)?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(document.as_ref())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => sync_directory(directory)?,
    }
    Ok(())
}
