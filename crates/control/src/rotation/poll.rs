//! Newer versions: seen in the store, tried at the server, taken over or refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use gateway_core::audit::EventKind;
use gateway_core::id::EnvironmentName;
use gateway_core::lease::{SecretVersion, VersionId};
use gateway_core::lifecycle::SeenVersion;
use gateway_core::lock::LockFacts;
use gateway_core::manifest::{BindingSpec, ObjectKey};
use gateway_core::ports::RolledBack;
use gateway_core::reference::{ResolvedReference, TemplateValues, VersionSelector};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::rotation::{VersionRecord, VersionState, is_open};
use gateway_core::snapshot::ActiveBinding;

use super::{RotationKeeper, Trouble, key_of};

/// How often the store of a binding that is only looked after, not watched, is asked.
const LOOK: Duration = Duration::from_secs(60);
/// How long a version that could not be tried waits at least.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a trial that is under way looks for a lock.
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// How many stores are asked at a time.
const AT_A_TIME: usize = 16;

/// What came of a trial.
enum Verdict {
    Taken,
    /// The server did not take it.
    Refused(Code),
    /// It could not be tried: neither good nor bad.
    Unknown(Code),
}

impl RotationKeeper {
    /// Asks every store that is due.
    pub(super) async fn poll_due(&self) {
        let now = self.now();
        let due: Vec<Arc<ActiveBinding>> = {
            let mut next = self.next();
            let bindings = self.looked_after();
            if next.len() > bindings.len() {
                let keys: HashSet<ObjectKey> = bindings.iter().map(|binding| key_of(&binding.spec)).collect();
                next.retain(|key, _| keys.contains(key));
            }
            let is_due = |binding: &&Arc<ActiveBinding>| {
                let Some(interval) = interval(binding) else { return false };
                let key = key_of(&binding.spec);
                let due = next.get(&key).is_none_or(|at| *at <= now);
                if due {
                    next.insert(key, now.plus(interval));
                }
                due
            };
            bindings.iter().filter(is_due).cloned().collect()
        };
        let polls = futures::stream::iter(due);
        polls.for_each_concurrent(AT_A_TIME, |binding| async move { self.poll(&binding).await }).await;
    }

    async fn poll(&self, binding: &ActiveBinding) {
        let spec = &binding.spec;
        // Neither its store nor its server is asked for anything while a lock stops all of it.
        if self.is_locked(spec) {
            return;
        }
        // A store that does not answer says so at its own place; the present version goes on.
        let Ok(newest) = self.newest(spec).await else { return };
        let seen = seen(&newest);
        if binding.active_version.as_ref().is_some_and(|known| known.version == seen.version) {
            return;
        }
        let key = key_of(spec);
        if let Err(trouble) = self.alone(&key, self.newer(&key, &seen)).await {
            tracing::warn!(binding = %key, version = %seen.version, %trouble, "a newer version was not taken over");
        }
    }

    async fn newest(&self, spec: &BindingSpec) -> Result<Arc<SecretVersion>, Refusal> {
        let place = place(spec, None)?;
        let entry = self.parts.stores.open(&spec.environment, &place.store)?;
        Ok(entry.uncached.fetch(&place).await?)
    }

    /// Decides on the newest state what a version that was seen comes to.
    async fn newer(&self, key: &ObjectKey, seen: &SeenVersion) -> Result<(), Trouble> {
        let state = self.parts.state.load().await?;
        let moves = gateway_core::lifecycle::VersionMoves::of(&state, key, None, self.now())?;
        let spec = moves.spec().clone();
        let known = moves.known(&seen.version).map(|known| known.state);
        let active = gateway_core::rotation::active_version(&state, &spec).is_some();
        match known {
            // A refused one not again until yet another version comes, or an operator rotates.
            Some(VersionState::Active | VersionState::Refused) => Ok(()),
            // The first one serves already, and so does every one of a store that keeps but one: there is nothing
            // that could be gone back to.
            _ if !active || !self.keeps_versions(&spec) => {
                if is_watched(&spec) {
                    self.is_given_out(&spec, seen).await.map_err(Trouble::Refused)?;
                }
                let evidence = Some(EventKind::VersionActivated);
                self.moves(key, |moves| moves.activate(seen, evidence)).await
            }
            _ => self.try_out(key, &spec, seen).await,
        }
    }

    fn keeps_versions(&self, spec: &BindingSpec) -> bool {
        let entry = spec.secret.as_ref().and_then(|secret| self.parts.stores.entry(secret.store()));
        entry.is_some_and(|entry| entry.uncached.keeps_versions())
    }

    /// Whether the store gives the version out by its name: what every call will ask for.
    async fn is_given_out(&self, spec: &BindingSpec, seen: &SeenVersion) -> Result<(), Refusal> {
        let pinned = place(spec, Some(&seen.version))?;
        let entry = self.parts.stores.open(&spec.environment, &pinned.store)?;
        entry.uncached.fetch(&pinned).await?;
        Ok(())
    }

    async fn try_out(&self, key: &ObjectKey, spec: &BindingSpec, seen: &SeenVersion) -> Result<(), Trouble> {
        self.moves(key, |moves| moves.stage(seen, None)).await?;
        self.moves(key, |moves| moves.probing(seen)).await?;
        let verdict = self.verdict(spec, seen).await;
        // What an operator did meanwhile stands above this.
        let waits =
            |known: Option<&VersionRecord>| known.is_some_and(|known| known.state == VersionState::Probing);
        self.moves(key, |moves| {
            if !waits(moves.known(&seen.version)) {
                return Ok(());
            }
            match &verdict {
                Verdict::Taken => moves.activate(seen, Some(EventKind::VersionActivated)),
                Verdict::Refused(code) => moves.refuse(seen, &code.to_string()),
                Verdict::Unknown(code) => moves.stage(seen, Some(&code.to_string())),
            }
        })
        .await?;
        if matches!(verdict, Verdict::Unknown(_)) {
            let later = self.now().plus(AGAIN);
            let mut next = self.next();
            let at = next.entry(key.clone()).or_insert(later);
            *at = (*at).max(later);
        }
        Ok(())
    }

    async fn verdict(&self, spec: &BindingSpec, seen: &SeenVersion) -> Verdict {
        let pinned = match place(spec, Some(&seen.version)) {
            Ok(pinned) => pinned,
            Err(refusal) => return Verdict::Unknown(refusal.code()),
        };
        let trial = self.trial();
        let tried = tokio::select! {
            tried = trial.of(spec, &pinned) => tried,
            () = self.locked(spec) => Err(Code::LockActive.into()),
        };
        match tried {
            Ok(_) => {
                // So that no call waits for the store once it decides; a failure here is met again there.
                if let Ok(entry) = self.parts.stores.open(&spec.environment, &pinned.store) {
                    drop(entry.store.fetch(&pinned).await);
                }
                Verdict::Taken
            }
            Err(refusal) => judged(refusal.code()),
        }
    }

    /// Whether a lock stops everything under the binding now.
    fn is_locked(&self, spec: &BindingSpec) -> bool {
        let snapshot = self.parts.snapshots.current();
        snapshot.locks().stopping(&LockFacts::of_own(spec), self.now()).is_some()
    }

    /// Comes back once a lock does.
    async fn locked(&self, spec: &BindingSpec) {
        while !self.is_locked(spec) {
            tokio::time::sleep(LOCK_LOOK).await;
        }
    }

    /// Writes down which bindings went back by themselves, so that every replica stays where they are.
    pub(super) async fn take_back(&self) {
        for back in self.parts.live.rolled_back() {
            let snapshot = self.parts.snapshots.current();
            let Some(view) = snapshot.environment(back.environment.as_str()) else { continue };
            let Some(binding) = view.servers().find_map(|server| server.binding(&back.binding)) else {
                continue;
            };
            let decided = |version: &VersionId| {
                binding.active_version.as_ref().is_some_and(|known| known.version == *version)
            };
            // Written down already, or an operator has rotated to it since.
            if (decided(&back.kept) && binding.held.is_some()) || decided(&back.refused) {
                continue;
            }
            let key = key_of(&binding.spec);
            if let Err(trouble) = self.alone(&key, self.hold(&key, &back)).await {
                tracing::warn!(binding = %key, %trouble, "a version that the server refused is not written down yet");
            }
        }
    }

    async fn hold(&self, key: &ObjectKey, back: &RolledBack) -> Result<(), Trouble> {
        let state = self.parts.state.load().await?;
        let moves = gateway_core::lifecycle::VersionMoves::of(&state, key, None, self.now())?;
        let known = moves.known(&back.refused).is_some_and(|known| known.state == VersionState::Refused);
        let stays = moves.active().is_some_and(|active| active.version == back.kept);
        // A word from before yet another version was taken over, or nothing that could be kept.
        if (known && !stays) || !self.keeps_versions(moves.spec()) {
            return Ok(());
        }
        let made = |version: &VersionId| moves.known(version).and_then(|known| known.created_at);
        let mut kept = SeenVersion { version: back.kept.clone(), created_at: made(&back.kept) };
        if kept.created_at.is_none()
            && let Ok(place) = place(moves.spec(), Some(&back.kept))
            && let Ok(entry) = self.parts.stores.open(&moves.spec().environment, &place.store)
            && let Ok(found) = entry.store.fetch(&place).await
        {
            kept.created_at = found.created_at;
        }
        let refused = SeenVersion { version: back.refused.clone(), created_at: made(&back.refused) };
        self.moves(key, |moves| {
            if moves.active().is_none_or(|active| active.version != kept.version) {
                moves.activate(&kept, None)?;
            }
            moves.refuse(&refused, &Code::UpstreamUnauthorized.to_string())
        })
        .await
    }
}

fn is_watched(spec: &BindingSpec) -> bool {
    spec.rotation.as_ref().is_some_and(|rotation| rotation.watch.is_some())
}

/// How often the binding's store is asked; never for a reference that pins a version, or one of templates, or one
/// that nobody looks after.
fn interval(binding: &ActiveBinding) -> Option<Duration> {
    let spec = &binding.spec;
    spec.secret.as_ref().filter(|secret| is_open(secret))?;
    match &spec.rotation {
        Some(rotation) => Some(rotation.watch.map_or(LOOK, |watch| watch.duration())),
        None => binding.active_version.as_ref().map(|_| LOOK),
    }
}

fn place(spec: &BindingSpec, version: Option<&VersionId>) -> Result<ResolvedReference, Refusal> {
    let secret = spec.secret.as_ref().ok_or_else(|| Refusal::new(Code::ReferenceRefused))?;
    let environment: &EnvironmentName = &spec.environment;
    let place = secret.resolve(&TemplateValues { agent: None, user: None, environment });
    let place = place.map_err(|error| Refusal::new(Code::ReferenceRefused).because(error))?;
    Ok(match version {
        None => place,
        Some(version) => {
            ResolvedReference { version: Some(VersionSelector::Version(version.to_string())), ..place }
        }
    })
}

fn seen(material: &SecretVersion) -> SeenVersion {
    SeenVersion { version: material.version.clone(), created_at: material.created_at }
}

/// Which refusals speak about the value, and which about the way to the server or the store.
const fn judged(code: Code) -> Verdict {
    match code {
        Code::UpstreamUnauthorized
        | Code::UpstreamOauthRequired
        | Code::UpstreamScopeMissing
        | Code::SecretEmpty
        | Code::SecretUnusable
        | Code::ProcessEnded
        | Code::ProcessStart => Verdict::Refused(code),
        _ => Verdict::Unknown(code),
    }
}
