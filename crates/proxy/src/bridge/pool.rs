//! Sessions that the gateway holds at servers of the older generation for modern clients, who have none.
//! All clients of one actor share one session for each binding; ids are made unique on it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gateway_core::actor::Actor;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, ServerName};
use gateway_core::lock::LockSelector;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::session::SessionActor;
use gateway_core::snapshot::ActiveBinding;
use gateway_core::time::Timestamp;
use http::HeaderValue;

use super::level::Level;
use crate::live::BindingKey;
use crate::settings::Settings;

/// How many sessions are held in all.
const MOST: usize = 20_000;

/// Whose session it is, and with which credential it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    actor: String,
    agent: Option<AgentName>,
    environment: EnvironmentName,
    server: ServerName,
    binding: BindingName,
}

impl Holder {
    /// The holder that a permit speaks for.
    pub fn of(permit: &Permit) -> Self {
        let spec = &permit.binding().spec;
        Self {
            actor: permit.actor().map(|actor| actor.stable_id()).unwrap_or_default(),
            agent: permit.actor().and_then(|actor| actor.agent.clone()),
            environment: spec.environment.clone(),
            server: spec.server.clone(),
            binding: spec.name.clone(),
        }
    }
}

/// The place of one session: held while it is opened, so that two first calls open one session.
pub type Slot = Arc<tokio::sync::Mutex<Option<Arc<Shared>>>>;

/// All sessions held.
#[derive(Debug, Default)]
pub struct Pool {
    slots: Mutex<HashMap<Holder, Slot>>,
}

/// What a new session is made of.
#[derive(Debug)]
pub struct Opened {
    /// The server's id of it; a server may have no sessions at all.
    pub id: Option<HeaderValue>,
    /// The revision it was opened under.
    pub binding: Arc<ActiveBinding>,
    /// For whom it was opened.
    pub actor: Option<Arc<Actor>>,
    /// The version agreed on.
    pub version: HeaderValue,
    /// The answer to `initialize`, scrubbed.
    pub handshake: Bytes,
    /// Whether the server sends log messages.
    pub logs: bool,
}

/// One session, shared by the actor's clients.
#[derive(Debug)]
pub struct Shared {
    /// What it was opened as.
    pub opened: Opened,
    level: Mutex<Option<Level>>,
    next: AtomicU64,
    running: AtomicUsize,
    over: AtomicBool,
    created_at: Timestamp,
    last_used: Mutex<Timestamp>,
}

/// A use of a session under way; a session in use does not rest.
#[derive(Debug)]
pub struct InUse(Arc<Shared>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// The place of the holder's session.
    ///
    /// # Errors
    /// [`Code::SessionLimit`] where the actor, or everybody together, holds too many.
    pub fn slot(&self, holder: &Holder, settings: &Settings) -> Result<Slot, Refusal> {
        let mut slots = locked(&self.slots);
        if let Some(slot) = slots.get(holder) {
            return Ok(Arc::clone(slot));
        }
        let own = slots.keys().filter(|known| known.actor == holder.actor).count();
        if own >= settings.sessions_per_actor || slots.len() >= MOST {
            return Err(Code::SessionLimit.into());
        }
        let slot = Slot::default();
        slots.insert(holder.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Takes the binding's sessions away. Returns them, for ending them at the server.
    pub fn end_binding(&self, key: &BindingKey) -> Vec<Arc<Shared>> {
        self.take(|holder, _| holder.environment == key.0 && holder.binding == key.1)
    }

    /// Takes away every session that is held for the agent.
    pub fn end_agent(&self, agent: &AgentName) -> Vec<Arc<Shared>> {
        self.take(|holder, _| holder.agent.as_ref() == Some(agent))
    }

    /// Takes away every session under these bindings that is held for an actor whom the lock names.
    pub(crate) fn end_locked(&self, lock: &LockSelector, bindings: &HashSet<BindingKey>) -> Vec<Arc<Shared>> {
        let named = |session: &Shared| {
            let who = session.opened.actor.as_deref().map(SessionActor::from).unwrap_or_default();
            lock.is_party(&who)
        };
        self.take(|holder, session| {
            let key = (holder.environment.clone(), holder.binding.clone());
            bindings.contains(&key) && session.is_some_and(named)
        })
    }

    /// Takes away the sessions that are past their idle or absolute limit, or over.
    pub fn sweep(&self, settings: &Settings, now: Timestamp) -> Vec<Arc<Shared>> {
        self.take(|_, session| session.is_none_or(|session| !session.is_usable(settings, now)))
    }

    /// Takes what `ends` says. A session that is just being opened stays, unless its binding ends: then
    /// whoever opens it keeps it to itself, and its gate is closed.
    fn take(&self, ends: impl Fn(&Holder, Option<&Shared>) -> bool) -> Vec<Arc<Shared>> {
        let mut taken = Vec::new();
        locked(&self.slots).retain(|holder, slot| match slot.try_lock() {
            Ok(mut session) if ends(holder, session.as_deref()) => {
                taken.extend(session.take().inspect(|session| session.end()));
                // Somebody waits for the place: it stays until the next sweep.
                Arc::strong_count(slot) > 1
            }
            _ => true,
        });
        taken
    }

    /// How many sessions are held under the binding.
    pub fn count(&self, key: &BindingKey) -> u32 {
        let slots = locked(&self.slots);
        let held = slots.iter().filter(|(holder, slot)| {
            holder.environment == key.0
                && holder.binding == key.1
                && slot.try_lock().is_ok_and(|session| session.is_some())
        });
        u32::try_from(held.count()).unwrap_or(u32::MAX)
    }
}

impl Shared {
    /// A session just opened.
    pub fn new(opened: Opened, now: Timestamp) -> Self {
        Self {
            opened,
            level: Mutex::new(None),
            // 0 was the handshake's.
            next: AtomicU64::new(1),
            running: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            created_at: now,
            last_used: Mutex::new(now),
        }
    }

    /// An id that no other request on this session has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a use in.
    pub fn enter(self: &Arc<Self>, now: Timestamp) -> InUse {
        self.running.fetch_add(1, Ordering::AcqRel);
        *locked(&self.last_used) = now;
        InUse(Arc::clone(self))
    }

    /// Marks the session as over: the server knows it no more, or must not be asked again.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Whether it may be used: not over, and within its limits.
    pub fn is_usable(&self, settings: &Settings, now: Timestamp) -> bool {
        let rests = self.running.load(Ordering::Acquire) == 0
            && now.since(*locked(&self.last_used)) > settings.session_idle;
        let old = now.since(self.created_at) > settings.session_lifetime;
        !self.over.load(Ordering::Acquire) && !rests && !old
    }

    /// The level to ask the server for, where this request wants more than was asked for before.
    pub fn lower(&self, wanted: Option<Level>) -> Option<Level> {
        let wanted = wanted.filter(|_| self.opened.logs)?;
        let mut level = locked(&self.level);
        if level.is_some_and(|level| level <= wanted) {
            return None;
        }
        *level = Some(wanted);
        Some(wanted)
    }
}
