//! What a process stands for: never two bindings, two revisions or two versions of a secret.

use gateway_core::id::{Revision, ServerName};
use gateway_core::lease::VersionId;
use gateway_core::manifest::ContentHash;
use gateway_core::policy::Permit;

use crate::live::BindingKey;

/// What one process was started for. A process serves only calls whose decision says the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    /// The binding across its revisions.
    pub binding: BindingKey,
    /// The revision it was started under.
    pub revision: Revision,
    /// The server.
    pub server: ServerName,
    /// The approved route.
    pub route: ContentHash,
    /// The version of the secret it was given; absent for servers that take none.
    pub version: Option<VersionId>,
}

impl Standing {
    /// What the permit and the secret's version say.
    pub fn of(permit: &Permit, version: Option<VersionId>) -> Self {
        let binding = permit.binding();
        Self {
            binding: (binding.spec.environment.clone(), binding.spec.name.clone()),
            revision: binding.revision,
            server: binding.spec.server.clone(),
            route: binding.route_id,
            version,
        }
    }
}
