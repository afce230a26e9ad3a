//! Pure decisions about the state: from a state and an intent to a [`Change`](crate::state::Change)
//! with its evidence, or to a list of findings. Nothing here reads a clock, a store or a file.
//!
//! Whoever acts is in the [`Context`]; whether it may act is decided here, beside what it may do, so
//! that no caller can forget it.

mod apply;
mod approve;
mod diff;
mod draft;
mod fields;
mod grants;
mod locks;
mod perform;
mod promote;
mod reach;
mod repin;
mod reviews;
mod rotate;
pub mod rule;
mod signatures;
mod sources;
mod status;
mod suppose;
mod tokens;
mod validate;
mod versions;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::id::StoreName;
use crate::manifest::ObjectKey;
use crate::operator::Operator;
use crate::state::State;
use crate::stdio::StdioRules;
use crate::stores::Stores;
use crate::time::Timestamp;

pub use apply::{Applied, Manifests, Written, WrittenAs, apply};
pub use approve::{PendingBinding, Signed, approve, prospect, signs, still_missing};
pub use diff::{Difference, DifferenceKind, FieldChange, diff, export, field_changes};
pub use fields::{Effect, changes, effect};
pub use grants::{about as about_grant, create_grant, end_grant};
pub use locks::{LockWish, about as about_lock, create_lock, expire_locks, lift_lock, may_see_lock};
pub use perform::{commit, perform};
pub use promote::{Flagged, PROMOTED, Promotion, PromotionMap, PromotionWish, Replaced, promote};
pub use reach::{Reach, ReachedBinding, provider_of};
pub use reviews::{ReviewGiven, ReviewRound, ReviewWish, SwitchedOff, review, review_round};
pub use rotate::{Rotation, RotationStep, rotate};
pub use rule::{Finding, Rule};
pub use signatures::{
    Requirement, approvals_for, environment_approvals, may_touch, missing, path_owners, requirements,
};
pub use status::{Switched, disable, enable, expire, refused, revoke};
pub use suppose::{Supposed, suppose};
pub use tokens::{
    MAX_TOKEN_LIFETIME, MintedToken, OPERATOR_TOKEN_LIFETIME, TokenWish, issue_agent_token, issue_bootstrap,
    login, operator_by_token, revoke_agent_token,
};
pub(crate) use validate::tools_meet;
pub use validate::validate;
pub use versions::{SeenVersion, VersionMoves, binding_key, retire};
pub use world::{declared, pending};

/// What the configuration says that manifests are judged by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Whether the audit log is `durability: process`, which production only takes by exception.
    pub process_durability: bool,
    /// What the gateway's configuration says about servers that are processes.
    pub stdio: StdioRules,
    /// The credential sources and the registrations at providers that this gateway has, by their words.
    pub sources: BTreeSet<&'static str>,
    /// Words for where each configured store is: stores that share one are one place under two names.
    pub whereabouts: BTreeMap<StoreName, BTreeSet<String>>,
}

impl Facts {
    /// Whether a path means the same in both stores.
    pub fn is_one_place(&self, one: &StoreName, other: &StoreName) -> bool {
        let shared = || Some(!self.whereabouts.get(one)?.is_disjoint(self.whereabouts.get(other)?));
        one == other || shared().unwrap_or(false)
    }
}

/// Who acts, when, and on what.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The state as read.
    pub state: &'a State,
    /// The configured stores, for their boundaries only; nothing is fetched.
    pub stores: &'a Stores,
    /// What the configuration says.
    pub facts: &'a Facts,
    /// Who acts.
    pub operator: &'a Operator,
    /// When.
    pub now: Timestamp,
}

fn key_text<S: serde::Serializer>(key: &ObjectKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

#[cfg(test)]
mod tests;
