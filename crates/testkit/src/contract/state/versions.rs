//! The versions of secrets: written over, in their order, one of them active.

use std::time::Duration;

use gateway_core::lease::VersionId;
use gateway_core::ports::StateWriter;
use gateway_core::reference::SecretReference;
use gateway_core::rotation::{Reminded, VersionRecord, VersionState};
use gateway_core::state::Operation;

use super::{NOW, StateDatabase, refuse, write};

fn version(binding: &str, version: &str, state: VersionState) -> VersionRecord {
    VersionRecord {
        environment: "dev".parse().unwrap(),
        binding: binding.parse().unwrap(),
        place: SecretReference::parse("vault://kv/{environment}/a%23b#token").unwrap(),
        version: VersionId::new(version),
        state,
        created_at: (version != "2").then_some(NOW),
        changed_at: NOW,
        reason: (state == VersionState::Refused).then(|| "upstream.unauthorized".to_owned()),
        reminded: if state == VersionState::Active { Reminded::Due } else { Reminded::Nothing },
    }
}

fn put(record: &VersionRecord) -> Operation {
    Operation::PutVersion(Box::new(record.clone()))
}

/// Runs it on a database.
pub(super) async fn versions_survive_a_restart(database: &dyn StateDatabase) {
    let state = database.open().await;
    versions_are_written_over_and_one_is_active(&*state).await;
    let read = state.load().await.unwrap().versions.clone();
    drop(state);
    assert_eq!(database.open().await.load().await.unwrap().versions, read);
}

/// What is written is read back, the oldest first; a second active version of one binding is refused.
pub async fn versions_are_written_over_and_one_is_active(state: &dyn StateWriter) {
    let active = version("b", "9", VersionState::Active);
    let staged = version("b", "10", VersionState::Staged);
    let other = version("a", "2", VersionState::Active);
    write(state, [&active, &staged, &other].map(put).to_vec()).await.unwrap();
    assert_eq!(state.load().await.unwrap().versions, [other.clone(), active.clone(), staged.clone()]);
    let too_early = VersionRecord { state: VersionState::Active, ..staged.clone() };
    refuse(state, "a second active version", vec![put(&too_early)]).await;
    let later = NOW.plus(Duration::from_secs(1));
    let former = VersionRecord { state: VersionState::Draining, changed_at: later, ..active.clone() };
    let newest = VersionRecord { changed_at: later, ..too_early };
    write(state, [&former, &newest].map(put).to_vec()).await.unwrap();
    let refused = version("b", "11", VersionState::Refused);
    write(state, vec![put(&refused)]).await.unwrap();
    let read = state.load().await.unwrap();
    assert_eq!(read.versions_of(&former.environment, &former.binding), [former.clone(), newest, refused]);
    assert_eq!(read.versions_of(&other.environment, &other.binding), [other]);
    assert_eq!(read.versions_of(&former.environment, &"c".parse().unwrap()), []);
    let VersionRecord { environment, binding, place, version, .. } = former;
    write(state, vec![Operation::DropVersion { environment, binding, place, version }]).await.unwrap();
    assert_eq!(state.load().await.unwrap().versions.len(), 3);
}
