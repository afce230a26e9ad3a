//! Reminders: a rotation that is near, and one that is late.

use std::time::Duration;

use gateway_core::manifest::{BindingSpec, OnOverdue, RotationSpec};
use gateway_core::rotation::{Reminded, VersionRecord};
use gateway_core::time::Timestamp;

use super::{RotationKeeper, Trouble, key_of};

/// People are reminded this long before at most.
const LEAD: Duration = Duration::from_secs(7 * 86_400);
/// How long what ran under a binding that is switched off may take to end.
const ENDING: Duration = Duration::from_secs(30);

impl RotationKeeper {
    /// Reminds of what is near and of what is late, each once a version.
    pub(super) async fn remind(&self) {
        let now = self.now();
        for binding in self.looked_after() {
            let (Some(rotation), Some(active)) = (&binding.spec.rotation, &binding.active_version) else {
                continue;
            };
            let wanted = wanted(rotation, active, now);
            let disable = rotation.on_overdue == OnOverdue::Disable
                && active.too_old_at(rotation).is_some_and(|end| end <= now);
            if wanted <= active.reminded && !disable {
                continue;
            }
            let key = key_of(&binding.spec);
            let done = self.alone(&key, self.tell(&binding.spec, active, wanted, disable)).await;
            if let Err(trouble) = done {
                tracing::warn!(binding = %key, %trouble, "nobody was reminded of a rotation");
            }
        }
    }

    async fn tell(
        &self,
        spec: &BindingSpec,
        about: &VersionRecord,
        wanted: Reminded,
        disable: bool,
    ) -> Result<(), Trouble> {
        let key = key_of(spec);
        self.moves(&key, |moves| {
            let Some(active) = moves.active().filter(|active| active.version == about.version) else {
                return Ok(());
            };
            if active.reminded < wanted {
                moves.remind(wanted)?;
            }
            if disable { moves.disable() } else { Ok(()) }
        })
        .await?;
        if disable {
            let ended = self.parts.live.end(&spec.environment, &spec.name, ENDING).await;
            ended.map(drop).map_err(Trouble::Refused)?;
        }
        Ok(())
    }
}

/// Of what people should have been reminded by now.
fn wanted(rotation: &RotationSpec, active: &VersionRecord, now: Timestamp) -> Reminded {
    let Some(due) = active.due_at(rotation) else { return Reminded::Nothing };
    let lead = (due.since(active.changed_at) / 10).min(LEAD);
    if due <= now {
        Reminded::Overdue
    } else if due <= now.plus(lead) {
        Reminded::Due
    } else {
        Reminded::Nothing
    }
}
