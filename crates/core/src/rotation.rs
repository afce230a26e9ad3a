//! The versions of a binding's secret: where each of them stands, and which one calls use.
//!
//! A binding that watches its store decides by the *active* version in the state, on every replica alike; a
//! newer one in the store reaches no call before the server has taken it. Nothing here can hold a value.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{BindingName, EnvironmentName};
use crate::lease::VersionId;
use crate::manifest::{BindingSpec, RotationSpec};
use crate::reference::SecretReference;
use crate::state::State;
use crate::time::Timestamp;

/// Where a version stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// Seen in the store; waits to be tried.
    Staged,
    /// Is being tried at the server.
    Probing,
    /// Calls use it.
    Active,
    /// Replaced; calls, streams and processes that began with it may end with it.
    Draining,
    /// Replaced, and nothing uses it any more.
    Retired,
    /// The server did not take it; it is not tried again until an operator rotates.
    Refused,
}

impl VersionState {
    /// Every state, in the order of a version's life.
    pub const ALL: [Self; 6] =
        [Self::Staged, Self::Probing, Self::Active, Self::Draining, Self::Retired, Self::Refused];

    /// The word used in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Probing => "probing",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Refused => "refused",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Of what people have been reminded for a version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reminded {
    /// Of nothing yet.
    #[default]
    Nothing,
    /// That the next rotation is near.
    Due,
    /// That it is late.
    Overdue,
}

impl Reminded {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Due, Self::Overdue];

    /// The word used in the state.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Due => "due",
            Self::Overdue => "overdue",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reminded| reminded.word() == word)
    }
}

/// One version of one binding's secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The binding's environment.
    pub environment: EnvironmentName,
    /// The binding.
    pub binding: BindingName,
    /// The place in the store, without a version.
    pub place: SecretReference,
    /// The store's name for the version.
    pub version: VersionId,
    /// Where it stands.
    pub state: VersionState,
    /// When the store made it, where it says so.
    pub created_at: Option<Timestamp>,
    /// When it came to stand there.
    pub changed_at: Timestamp,
    /// Why it was refused or could not be tried, as a code of the table.
    pub reason: Option<String>,
    /// Of what people have been reminded.
    pub reminded: Reminded,
}

impl VersionRecord {
    /// Whether it is this version of this place.
    pub fn is(&self, place: &SecretReference, version: &VersionId) -> bool {
        self.place.same_place(place) && self.version == *version
    }

    /// When the next rotation is due: the earlier of the version's greatest age and the schedule.
    pub fn due_at(&self, rotation: &RotationSpec) -> Option<Timestamp> {
        let by_age = self.too_old_at(rotation);
        let by_schedule = rotation.every.map(|span| self.changed_at.plus(span.duration()));
        [by_age, by_schedule].into_iter().flatten().min()
    }

    /// When the version is older than it may be; counted from when it became active where the store does not
    /// say when it made it.
    pub fn too_old_at(&self, rotation: &RotationSpec) -> Option<Timestamp> {
        let made = self.created_at.unwrap_or(self.changed_at);
        rotation.max_age.map(|span| made.plus(span.duration()))
    }
}

/// The active version at the place that the binding names.
pub fn active_version<'a>(state: &'a State, spec: &BindingSpec) -> Option<&'a VersionRecord> {
    let secret = spec.secret.as_ref()?;
    let versions = state.versions_of(&spec.environment, &spec.name);
    versions.iter().find(|known| known.state == VersionState::Active && known.place.same_place(secret))
}

/// Whether a newer version was refused after the active one had become it: the binding then stays where it is,
/// whatever the store's current version.
pub fn is_held(state: &State, spec: &BindingSpec) -> bool {
    let Some(active) = active_version(state, spec) else { return false };
    state.versions_of(&spec.environment, &spec.name).iter().any(|known| {
        known.state == VersionState::Refused
            && known.place.same_place(&active.place)
            && known.changed_at >= active.changed_at
    })
}

/// The reference at the version that calls must use, where the state names one: for a binding that watches its
/// store, and for one that was taken back from a version that the server refused. A version that the binding
/// itself pins stands above both.
pub fn held_reference(state: &State, spec: &BindingSpec) -> Option<SecretReference> {
    let secret = spec.secret.as_ref().filter(|secret| is_open(secret))?;
    let active = active_version(state, spec)?;
    let watched = spec.rotation.as_ref().is_some_and(|rotation| rotation.watch.is_some());
    (watched || is_held(state, spec)).then(|| secret.at_version(active.version.as_str()))
}

/// Whether the reference leaves the version to the store, and is the same place for every caller.
pub fn is_open(secret: &SecretReference) -> bool {
    secret.version().is_none() && !secret.has_templates()
}
