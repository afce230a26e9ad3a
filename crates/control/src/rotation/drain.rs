//! Replaced versions: draining until nothing uses them on any replica, then retired.

use std::time::Duration;

use gateway_core::lifecycle::{binding_key, retire};
use gateway_core::ports::{StateError, Ticket, TicketKind};
use gateway_core::rotation::{VersionRecord, VersionState};

use super::{RotationKeeper, Trouble};

/// How long a version drains at least: a call that was decided just before may still be on its way.
const LEAST: Duration = Duration::from_secs(1);
/// How long a replica's word counts that it uses a version.
const WORD: Duration = Duration::from_secs(10);
/// How long the other replicas may take to have followed; asked again at the next round.
const FOLLOW: Duration = Duration::from_millis(100);
/// What the tickets of uses say; they are renewed by replacing it with itself.
const USES: &str = "{}";

impl RotationKeeper {
    /// Says which replaced versions this replica still uses, and retires those that none uses.
    pub(super) async fn drain(&self) {
        let snapshot = self.parts.snapshots.current();
        if snapshot.draining().is_empty() {
            return;
        }
        let now = self.now();
        let mut idle = Vec::new();
        for version in snapshot.draining() {
            let used = self.parts.live.versions_in_use(&version.environment, &version.binding);
            if used.contains(&version.version) {
                self.say_used(version).await;
            } else if now.since(version.changed_at) >= LEAST {
                idle.push(version.clone());
            }
        }
        if idle.is_empty() || self.parts.publisher.everywhere(snapshot.epoch, FOLLOW).await.is_err() {
            return;
        }
        if let Err(trouble) = self.retire_all(&idle).await {
            tracing::warn!(%trouble, "replaced versions could not be marked as retired");
        }
    }

    async fn say_used(&self, version: &VersionRecord) {
        let now = self.now();
        let key = format!("{}{}", prefix(version), self.replica);
        let ticket = Ticket {
            kind: TicketKind::VersionUse,
            key,
            content: USES.to_owned(),
            expires_at: now.plus(WORD),
        };
        let said = match self.parts.tickets.replace(USES, &ticket, now).await {
            Ok(false) => self.parts.tickets.insert(&ticket, now).await,
            other => other,
        };
        if let Err(error) = said {
            tracing::warn!(%error, "the other replicas do not hear that a replaced version is still used here");
        }
    }

    async fn retire_all(&self, idle: &[VersionRecord]) -> Result<(), Trouble> {
        let used = self.parts.tickets.list(TicketKind::VersionUse, self.now()).await?;
        // A word of this replica's own, from before, counts for nothing any more.
        let elsewhere = |version: &VersionRecord| {
            let prefix = prefix(version);
            used.iter().any(|ticket| ticket.key.strip_prefix(&prefix).is_some_and(|who| who != self.replica))
        };
        let state = self.parts.state.load().await?;
        let still = |version: &&VersionRecord| {
            let known = state.versions_of(&version.environment, &version.binding);
            known.iter().any(|known| {
                known.is(&version.place, &version.version) && known.state == VersionState::Draining
            })
        };
        let spent: Vec<VersionRecord> =
            idle.iter().filter(still).filter(|version| !elsewhere(version)).cloned().collect();
        let Some(change) = retire(&state, &spent, self.now())? else { return Ok(()) };
        match self.parts.state.commit(change).await {
            Ok(epoch) => self.parts.publisher.publish(epoch).await.map(drop).map_err(Trouble::Refused),
            // Another replica was faster, or the next round will be.
            Err(StateError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn prefix(version: &VersionRecord) -> String {
    format!("{} {} ", binding_key(version), version.version)
}
