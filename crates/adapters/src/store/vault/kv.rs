//! What a KV mount holds, in both its versions. Version 1 keeps one value and no history.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::reference::VersionSelector;
use gateway_core::secret::FingerprintKey;
use gateway_core::time::Timestamp;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::Answer;
use crate::store::json_text::{Fields, secret_field};

/// Which version of the KV engine a mount is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KvVersion {
    /// Without versions.
    V1,
    /// With versions.
    #[default]
    V2,
    /// The store is asked, once for each mount.
    Detect,
}

impl Serialize for KvVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::V1 => serializer.serialize_u64(1),
            Self::V2 => serializer.serialize_u64(2),
            Self::Detect => serializer.serialize_str("detect"),
        }
    }
}

impl<'de> Deserialize<'de> for KvVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = KvVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1, 2 or `detect`")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<KvVersion, E> {
                match number {
                    1 => Ok(KvVersion::V1),
                    2 => Ok(KvVersion::V2),
                    _ => Err(E::custom("kv: 1, 2 or `detect`")),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<KvVersion, E> {
                self.visit_u64(u64::try_from(number).unwrap_or(0))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<KvVersion, E> {
                match text {
                    "1" => Ok(KvVersion::V1),
                    "2" => Ok(KvVersion::V2),
                    "detect" => Ok(KvVersion::Detect),
                    _ => Err(E::custom("kv: 1, 2 or `detect`")),
                }
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A KV mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Mount {
    /// Its path.
    pub mount: String,
    /// Its version; the store's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<KvVersion>,
}

// By hand, because an untagged enum answers every mistake with the same riddle.
impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            mount: String,
            #[serde(default)]
            kv: Option<KvVersion>,
        }

        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Mount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mount, or `{ mount: …, kv: 1 }`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Mount, E> {
                Ok(Mount { mount: text.to_owned(), kv: None })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Mount, A::Error> {
                let written = Written::deserialize(serde::de::value::MapAccessDeserializer::new(map));
                let Written { mount, kv } = written.map_err(|error| A::Error::custom(error.to_string()))?;
                Ok(Mount { mount, kv })
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// The versions that were asked for, by mount.
#[derive(Default)]
pub(super) struct Detected(Mutex<HashMap<String, KvVersion>>);

impl Detected {
    pub(super) fn known(&self, mount: &str) -> Option<KvVersion> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(mount).copied()
    }

    pub(super) fn learn(&self, mount: &str, version: KvVersion) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(mount.to_owned(), version);
    }
}

/// What the store says of a mount.
#[derive(Deserialize)]
struct MountAnswer {
    data: MountData,
}

#[derive(Deserialize)]
struct MountData {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    options: Option<HashMap<String, String>>,
}

/// Reads the version off the answer of `sys/internal/ui/mounts`.
pub(super) fn detected(answer: &Answer, mount: &str) -> Result<KvVersion, StoreError> {
    let undetected = |why: &str| {
        let inside =
            format!("the KV version of mount `{mount}` cannot be detected, {why}: write `kv: 1` or `kv: 2`");
        answer.error(StoreErrorKind::Denied, &inside)
    };
    match (answer.status, answer.json::<MountAnswer>()) {
        (200, Some(MountAnswer { data })) if data.kind == "kv" || data.kind == "generic" => {
            let version = data.options.as_ref().and_then(|options| options.get("version"));
            Ok(if version.is_some_and(|version| version == "2") { KvVersion::V2 } else { KvVersion::V1 })
        }
        (200, _) => Err(undetected("for it is no KV mount")),
        (400 | 403 | 404, _) => Err(undetected("for our policy shows nothing of it")),
        _ => Err(answer.failure()),
    }
}

/// The pinned version. Zero would mean the newest one to the store, so it is refused.
pub(super) fn pinned(wanted: Option<&VersionSelector>) -> Result<Option<u64>, StoreError> {
    let malformed = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
    match wanted {
        None => Ok(None),
        Some(VersionSelector::Stage(_)) => Err(malformed("this store has versions, not stages")),
        Some(VersionSelector::Version(text)) => match text.parse::<u64>() {
            Ok(number) if number > 0 && number.to_string() == *text => Ok(Some(number)),
            _ => Err(malformed("the version must be a number from 1")),
        },
    }
}

/// Makes the secret version of a KV version 2 answer.
pub(super) fn of_version_2(
    answer: &Answer,
    field: &str,
    pin: Option<u64>,
    now: Timestamp,
) -> Result<SecretVersion, StoreError> {
    let malformed = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
    let body = answer.kv().ok_or_else(|| malformed("the answer is not one of a KV version 2 mount"))?;
    let metadata = body.data.metadata;
    if pin.is_some_and(|pin| pin != metadata.version) {
        return Err(malformed("the store answered with another version than the pinned one"));
    }
    // A deletion in the future is `delete_version_after` at work.
    let deletion = Timestamp::parse(&metadata.deletion_time).ok();
    let fields = body.data.data.filter(|_| !metadata.destroyed && deletion.is_none_or(|at| at > now));
    let Some(fields) = fields else {
        return Err(gone(answer));
    };
    Ok(SecretVersion {
        secret: secret_field(&fields, field)?,
        version: VersionId::new(&metadata.version.to_string()),
        created_at: Timestamp::parse(&metadata.created_time).ok(),
        expires_at: deletion,
        store_request_id: body.request_id.as_deref().map(VersionId::new),
    })
}

/// Why there is no value, for the operator: what was deleted can come back, what was destroyed cannot.
pub(super) fn gone(answer: &Answer) -> StoreError {
    let inside = match answer.kv().map(|body| body.data.metadata) {
        Some(metadata) if metadata.destroyed => {
            format!("version {} is destroyed for good: write another one", metadata.version)
        }
        Some(metadata) => {
            let (version, when) = (metadata.version, &metadata.deletion_time);
            format!("version {version} is deleted since {when}: it can be undeleted at the store")
        }
        None => "there is no such path, version or mount".to_owned(),
    };
    answer.error(StoreErrorKind::NotFound, &inside)
}

/// The answer to a read of a KV version 1 mount.
#[derive(Deserialize)]
struct Plain<'a> {
    request_id: Option<String>,
    #[serde(borrow)]
    data: Fields<'a>,
}

/// Makes the secret version of a KV version 1 answer. The mount names no version, so the value's keyed
/// fingerprint stands for it: equal for equal values within this process, and telling nothing.
pub(super) fn of_version_1(
    answer: &Answer,
    field: &str,
    key: &FingerprintKey,
) -> Result<SecretVersion, StoreError> {
    let body: Plain<'_> = answer.json().ok_or_else(|| {
        answer.error(StoreErrorKind::Malformed, "the answer is not one of a KV version 1 mount")
    })?;
    let secret = secret_field(&body.data, field)?;
    let version = VersionId::new(&format!("kv1-{}", secret.fingerprint(key)));
    let store_request_id = body.request_id.as_deref().map(VersionId::new);
    Ok(SecretVersion { secret, version, created_at: None, expires_at: None, store_request_id })
}
