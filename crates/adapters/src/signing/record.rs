//! The key file.

use std::path::Path;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Algorithm, Purpose, SigningError};
use crate::store::private_file::{self, Readers};

const FORMAT: &str = "mcp-gateway signing keys 1";
/// The largest key file read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Where a key is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyState {
    /// Published, so that verifiers know it by the time it signs.
    Prepare,
    /// Published, and signs.
    Active,
    /// Published until the last token it signed has expired.
    Retiring,
    /// Neither; its private half is gone.
    Retired,
}

/// One key in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRecord {
    /// Its id: the thumbprint (RFC 7638).
    pub(super) kid: String,
    /// What it signs.
    pub(super) purpose: Purpose,
    /// How.
    pub(super) algorithm: Algorithm,
    /// Where it is on its way.
    pub(super) state: KeyState,
    /// Since when.
    pub(super) since: Timestamp,
    /// PKCS #8 in base64; absent once retired.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_private",
        deserialize_with = "read_private"
    )]
    pub(super) private: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: String,
    keys: Vec<KeyRecord>,
}

#[derive(Serialize)]
struct ContentRef<'a> {
    format: &'a str,
    keys: &'a [KeyRecord],
}

/// Reads the keys; none where there is no file. Blocks.
pub(super) fn read(path: &Path) -> Result<Vec<KeyRecord>, SigningError> {
    let file = match private_file::read(path, Readers::Owner, LARGEST) {
        Ok(file) => file,
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let damaged = |what| SigningError::Damaged(path.display().to_string(), what);
    // The parser's words could repeat what it read.
    let content: Content =
        serde_json::from_slice(&file.content).map_err(|_| damaged("is no file of signing keys"))?;
    if content.format != FORMAT {
        return Err(damaged("is of another format"));
    }
    let place = |record: &KeyRecord| (record.purpose, record.algorithm, record.state);
    for state in [KeyState::Prepare, KeyState::Active] {
        let mut places: Vec<_> = content.keys.iter().map(place).filter(|place| place.2 == state).collect();
        let count = places.len();
        places.sort_by_key(|place| (place.0.word(), place.1.word()));
        places.dedup();
        if places.len() != count {
            return Err(damaged("holds two keys where one signs"));
        }
    }
    Ok(content.keys)
}

/// Replaces the file. The caller holds the lock. Blocks.
pub(super) fn write(path: &Path, keys: &[KeyRecord]) -> Result<(), SigningError> {
    let content = serde_json::to_vec_pretty(&ContentRef { format: FORMAT, keys })
        .map(Zeroizing::new)
        .map_err(|error| StoreError::new(StoreErrorKind::Malformed, error))?;
    Ok(private_file::replace(path, &content)?)
}

/// Whether both hold the same keys in the same states.
pub(super) fn same(one: &[KeyRecord], other: &[KeyRecord]) -> bool {
    let standing = |record: &KeyRecord| (record.kid.clone(), record.state, record.since);
    one.iter().map(standing).eq(other.iter().map(standing))
}

#[expect(clippy::disallowed_methods, reason = "the private key goes into its owner's file")]
#[expect(clippy::ref_option, reason = "serde hands out references")]
fn write_private<S: Serializer>(private: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = private.as_ref().and_then(|private| std::str::from_utf8(private.expose()).ok());
    text.serialize(serializer)
}

fn read_private<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| Secret::new(text.into_bytes())))
}
