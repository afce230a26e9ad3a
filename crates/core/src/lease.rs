//! Secret versions as stores hand them out, and the lease: material for one call.

use std::fmt;
use std::sync::Arc;

use crate::policy::Permit;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The store's own name for a version of a value (`3`, a version id, a modification stamp).
#[derive(Clone, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct VersionId(String);

impl VersionId {
    /// Takes the store's name for a version: visible ASCII, cut to 64 characters.
    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(char::is_ascii_graphic).take(64).collect())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of a secret, fetched.
#[derive(Debug)]
pub struct SecretVersion {
    /// The value; never empty.
    pub secret: Secret,
    /// The store's name for this version.
    pub version: VersionId,
    /// When the store made the version, where it says so.
    pub created_at: Option<Timestamp>,
    /// Until when it may be used, where the store limits it.
    pub expires_at: Option<Timestamp>,
    /// The store's own id for the fetch, for joining its audit log to ours.
    pub store_request_id: Option<VersionId>,
}

/// Credential material for exactly one use. Made only from a [`Permit`], consumed by injection.
#[derive(Debug)]
pub struct Lease {
    material: Arc<SecretVersion>,
}

impl Lease {
    /// Issues the lease that the permit allows.
    pub fn issue(_permit: &Permit, material: Arc<SecretVersion>) -> Self {
        Self { material }
    }

    /// The version behind it.
    pub fn version(&self) -> &VersionId {
        &self.material.version
    }

    /// The store's own id for the fetch behind it.
    pub fn store_request_id(&self) -> Option<&VersionId> {
        self.material.store_request_id.as_ref()
    }

    /// Gives up the lease for its material; injection is the caller.
    pub fn consume(self) -> Arc<SecretVersion> {
        self.material
    }
}
