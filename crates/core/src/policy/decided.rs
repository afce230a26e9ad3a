//! What decided a call, as the evidence tells it: of a call that was let through and of one that was refused after its
//! binding was selected.

use super::Permit;
use crate::audit::{BindingRevision, Event};
use crate::id::PolicyName;
use crate::manifest::{ContentHash, CredentialMode, Risk};

/// The binding that was selected for a call, and the policies that judged it. Of these nothing goes to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The binding, at the revision in force.
    pub binding: BindingRevision,
    /// Its credential mode.
    pub mode: CredentialMode,
    /// The risk that was judged.
    pub risk: Risk,
    /// The version of the policies in force; absent for the gateway's own uses, and where a ceiling refused before any
    /// policy was asked.
    pub policy_version: Option<ContentHash>,
    /// The policies that permit or forbid; empty where none does either, and for sessions and lists, which ask none.
    pub policies: Vec<PolicyName>,
}

impl Decided {
    /// Puts it into the record of the call.
    pub fn enter(self, event: &mut Event) {
        event.binding = Some(self.binding);
        event.mode = Some(self.mode);
        event.risk = Some(self.risk);
        event.policy_version = self.policy_version;
        event.policies = self.policies;
    }
}

impl From<&Permit> for Decided {
    fn from(permit: &Permit) -> Self {
        let binding = permit.binding();
        Self {
            binding: binding.name_at_revision(),
            mode: binding.spec.mode,
            risk: permit.risk(),
            policy_version: permit.policy_version(),
            policies: permit.policies().to_vec(),
        }
    }
}
