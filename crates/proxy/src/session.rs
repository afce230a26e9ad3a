//! Sessions of 2025-11-25 and older: the gateway's own ids, bound to the actor and the server, with
//! one upstream session per binding beneath.
//!
//! A use of a session is counted in before it looks whether the session is over; ending one marks it
//! first and then stops what was counted: so nothing runs and nothing starts in an ended session.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::actor::Actor;
use gateway_core::audit::BindingRevision;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, ServerName};
use gateway_core::lock::LockSelector;
use gateway_core::ports::Random;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::session::{LiveSession, SessionKind};
use gateway_core::snapshot::ActiveBinding;
use gateway_core::time::Timestamp;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::bridge::client::Bridged;
use crate::bridge::pool::Shared;
use crate::live::{BindingKey, Running};
use crate::mcp::message::RawId;
use crate::mcp::version::ProtocolVersion;
use crate::settings::Settings;

/// The header of the protocol (2025-11-25, Streamable HTTP, "Session Management").
pub const SESSION_HEADER: &str = "mcp-session-id";

/// One session of a client.
#[derive(Debug)]
pub struct Session {
    /// The id the client knows; it opens the session (with the actor's token), so it is never shown.
    id: Box<str>,
    /// The id operators know.
    pub public_id: String,
    /// Who opened it.
    pub actor: Arc<Actor>,
    /// `Actor::stable_id` of it, so that a fresh token of the same actor is no hijack.
    stable_id: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The `initialize` body, kept to open a further upstream session for another binding.
    pub handshake: Bytes,
    /// What is kept for the client where the server is a modern one and has no sessions.
    pub bridged: Option<Arc<Bridged>>,
    /// Held while a further upstream session is opened.
    pub opening: tokio::sync::Mutex<()>,
    protocol: OnceLock<ProtocolVersion>,
    created_at: Timestamp,
    last_used: Mutex<Timestamp>,
    upstream: Mutex<HashMap<BindingName, UpstreamSession>>,
    uses: Mutex<Uses>,
    left: Notify,
}

/// What runs in a session.
#[derive(Debug, Default)]
struct Uses {
    over: bool,
    next: u64,
    running: HashMap<u64, Use>,
}

/// One use of a session.
#[derive(Debug)]
struct Use {
    running: Arc<Running>,
    binding: BindingName,
    /// The request that waits for its answer; none for messages without one, and for the listening
    /// stream.
    request: Option<RawId>,
}

/// Presence in a session; leaving it is dropping this.
#[derive(Debug)]
pub struct Visit {
    session: Arc<Session>,
    number: u64,
}

/// The upstream's session under one binding.
#[derive(Debug, Clone)]
pub struct UpstreamSession {
    /// The upstream's own id; never shown to the client.
    pub id: HeaderValue,
    /// The revision it was opened under, which says where it is and with what it is ended.
    pub binding: Arc<ActiveBinding>,
}

/// An upstream session that nobody uses any more, with what is needed to end it.
#[derive(Debug, Clone)]
pub struct Abandoned {
    /// Whose it was.
    pub actor: Arc<Actor>,
    /// The version it speaks.
    pub protocol: Option<ProtocolVersion>,
    /// The upstream's session.
    pub upstream: UpstreamSession,
}

impl Abandoned {
    /// A session that was held for modern clients of one actor; which one is not kept, so a reference
    /// that names the caller cannot end it. `None` where the server has no sessions.
    pub(crate) fn shared(session: &Arc<Shared>) -> Option<Self> {
        let opened = &session.opened;
        let upstream = UpstreamSession { id: opened.id.clone()?, binding: Arc::clone(&opened.binding) };
        let protocol = opened.version.to_str().ok().and_then(ProtocolVersion::parse);
        Some(Self { actor: Arc::default(), protocol, upstream })
    }
}

/// Why a session ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It was not used for too long.
    Idle,
    /// It is too old.
    Lifetime,
}

impl Limit {
    /// The word in evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "session.idle",
            Self::Lifetime => "session.lifetime",
        }
    }
}

/// All sessions of this replica.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Box<str>, Arc<Session>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a new session is made of.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Who opens it.
    pub actor: Arc<Actor>,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The server.
    pub server: &'a ServerName,
    /// The `initialize` body.
    pub handshake: Bytes,
    /// What the upstream answered, and the binding of the handshake.
    pub upstream: UpstreamSession,
    /// See [`Session::bridged`].
    pub bridged: Option<Arc<Bridged>>,
}

impl Sessions {
    /// Opens a session.
    ///
    /// # Errors
    /// [`Code::SessionLimit`] where the actor has too many.
    pub fn open(
        &self,
        opening: Opening<'_>,
        settings: &Settings,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Arc<Session>, Refusal> {
        let mut bytes = [0_u8; 24];
        random.fill(&mut bytes);
        let id = hex::encode(bytes);
        let binding = opening.upstream.binding.spec.name.clone();
        let session = Arc::new(Session {
            public_id: public_id(&id),
            id: id.into(),
            stable_id: opening.actor.stable_id(),
            actor: opening.actor,
            environment: opening.environment.clone(),
            server: opening.server.clone(),
            handshake: opening.handshake,
            bridged: opening.bridged,
            opening: tokio::sync::Mutex::default(),
            protocol: OnceLock::new(),
            created_at: now,
            last_used: Mutex::new(now),
            upstream: Mutex::new(HashMap::from([(binding, opening.upstream)])),
            uses: Mutex::default(),
            left: Notify::new(),
        });
        let mut open = locked(&self.open);
        let own = open.values().filter(|known| known.stable_id == session.stable_id).count();
        if own >= settings.sessions_per_actor {
            return Err(Code::SessionLimit.into());
        }
        open.insert(session.id.clone(), Arc::clone(&session));
        Ok(session)
    }

    /// The session of this id, if it is this actor's, for this server, and within its limits. Someone
    /// else's session looks like none.
    ///
    /// # Errors
    /// [`Code::SessionUnknown`].
    pub fn find(
        &self,
        id: &str,
        actor: &str,
        place: (&EnvironmentName, &ServerName),
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Arc<Session>, Refusal> {
        let session = locked(&self.open).get(id).cloned().ok_or(Code::SessionUnknown)?;
        let own = session.stable_id == actor && session.environment == *place.0 && session.server == *place.1;
        if !own || session.limit_reached(settings, now).is_some() {
            return Err(Code::SessionUnknown.into());
        }
        *locked(&session.last_used) = now;
        Ok(session)
    }

    /// Forgets the session; says whether it was there.
    pub fn close(&self, session: &Session) -> bool {
        locked(&self.open).remove(&session.id).is_some()
    }

    /// Forgets the session that operators know by this id.
    pub fn close_public(&self, public_id: &str) -> Option<Arc<Session>> {
        let mut open = locked(&self.open);
        let id = open.values().find(|session| session.public_id == public_id)?.id.clone();
        open.remove(&id)
    }

    /// Takes the binding's upstream sessions out of all sessions, and ends sessions that have none
    /// left. Returns what has to be ended upstream.
    pub fn end_binding(&self, key: &BindingKey) -> Vec<Abandoned> {
        let mut open = locked(&self.open);
        let mut ended = Vec::new();
        open.retain(|_, session| {
            if session.environment != key.0 {
                return true;
            }
            let mut upstream = locked(&session.upstream);
            ended.extend(upstream.remove(&key.1).map(|upstream| session.abandon(upstream)));
            let left = !upstream.is_empty();
            drop(upstream);
            if !left {
                session.stop(Code::BindingEnded);
            }
            left
        });
        ended
    }

    /// Ends the agent's sessions: how many, and what has to be ended upstream.
    pub fn end_agent(&self, agent: &AgentName) -> (u32, Vec<Abandoned>) {
        let mut open = locked(&self.open);
        let ended = open.extract_if(|_, session| session.actor.agent.as_ref() == Some(agent));
        let mut count = 0_u32;
        let mut abandoned = Vec::new();
        for (_, session) in ended {
            session.stop(Code::SessionEnded);
            abandoned.extend(session.take_upstream());
            count = count.saturating_add(1);
        }
        (count, abandoned)
    }

    /// Takes the upstream sessions under these bindings out of the sessions whose actor the lock names, and ends
    /// sessions that have none left. Says how many were touched; what they held upstream is left to its limits,
    /// for nothing is sent under a lock.
    pub(crate) fn end_locked(&self, lock: &LockSelector, bindings: &HashSet<BindingKey>) -> u32 {
        let mut count = 0_u32;
        locked(&self.open).retain(|_, session| {
            if !lock.is_party(&(&*session.actor).into()) {
                return true;
            }
            let mut upstream = locked(&session.upstream);
            let before = upstream.len();
            upstream.retain(|name, _| !bindings.contains(&(session.environment.clone(), name.clone())));
            let (touched, left) = (upstream.len() < before, !upstream.is_empty());
            drop(upstream);
            count = count.saturating_add(u32::from(touched));
            if touched && !left {
                session.stop(Code::LockActive);
            }
            left || !touched
        });
        count
    }

    /// How many sessions have an upstream session under the binding.
    pub fn count(&self, key: &BindingKey) -> u32 {
        let open = locked(&self.open);
        let has = |session: &&Arc<Session>| {
            session.environment == key.0 && locked(&session.upstream).contains_key(&key.1)
        };
        u32::try_from(open.values().filter(has).count()).unwrap_or(u32::MAX)
    }

    /// How many sessions are open.
    pub fn total(&self) -> usize {
        locked(&self.open).len()
    }

    /// Every open session as operators see it.
    pub fn list(&self) -> Vec<LiveSession> {
        locked(&self.open).values().map(|session| session.shown()).collect()
    }

    /// Takes away the sessions that are past a limit, and says which. A session with something under
    /// way in it is in use: it does not rest.
    pub fn sweep(&self, settings: &Settings, now: Timestamp) -> Vec<(Arc<Session>, Limit)> {
        let mut over = Vec::new();
        locked(&self.open).retain(|_, session| {
            if session.is_busy() {
                *locked(&session.last_used) = now;
            }
            let limit = session.limit_reached(settings, now);
            over.extend(limit.map(|limit| (Arc::clone(session), limit)));
            limit.is_none()
        });
        over
    }
}

/// A digest: it names the session and does not open it.
fn public_id(id: &str) -> String {
    let digest = Sha256::digest([b"mcp-gateway session ".as_slice(), id.as_bytes()].concat());
    hex::encode(digest.get(..8).unwrap_or_default())
}

impl Session {
    /// The value of the client's session header.
    ///
    /// # Errors
    /// [`Code::Internal`]; our own ids always make a header.
    pub fn header(&self) -> Result<HeaderValue, Refusal> {
        HeaderValue::from_str(&self.id).map_err(|error| Refusal::new(Code::Internal).because(error))
    }

    /// Notes the version that the client states: the one agreed on.
    pub fn speaks(&self, version: ProtocolVersion) {
        self.protocol.get_or_init(|| version);
    }

    fn limit_reached(&self, settings: &Settings, now: Timestamp) -> Option<Limit> {
        if now.since(self.created_at) > settings.session_lifetime {
            return Some(Limit::Lifetime);
        }
        let rests = now.since(*locked(&self.last_used)) > settings.session_idle && !self.is_busy();
        rests.then_some(Limit::Idle)
    }

    fn is_busy(&self) -> bool {
        !locked(&self.uses).running.is_empty()
    }

    /// The upstream's session under this binding.
    pub fn upstream(&self, binding: &BindingName) -> Option<UpstreamSession> {
        locked(&self.upstream).get(binding).cloned()
    }

    /// Keeps an upstream session that was opened later.
    pub fn add_upstream(&self, upstream: UpstreamSession) {
        locked(&self.upstream).insert(upstream.binding.spec.name.clone(), upstream);
    }

    /// Takes every upstream session out, for ending them.
    pub fn take_upstream(&self) -> Vec<Abandoned> {
        let taken = std::mem::take(&mut *locked(&self.upstream));
        taken.into_values().map(|upstream| self.abandon(upstream)).collect()
    }

    /// Takes out every upstream session but the one under this binding.
    pub fn take_other_upstream(&self, binding: &BindingName) -> Vec<Abandoned> {
        let mut taken = std::mem::take(&mut *locked(&self.upstream));
        taken.remove(binding);
        taken.into_values().map(|upstream| self.abandon(upstream)).collect()
    }

    /// What is needed to end an upstream session of this one.
    pub(crate) fn abandon(&self, upstream: UpstreamSession) -> Abandoned {
        Abandoned { actor: Arc::clone(&self.actor), protocol: self.protocol.get().copied(), upstream }
    }

    /// The binding under which the request of this id is under way: where its cancellation belongs.
    pub fn runs_under(&self, request: &RawId) -> Option<BindingName> {
        let uses = locked(&self.uses);
        uses.running.values().find(|one| one.request.as_ref() == Some(request)).map(|one| one.binding.clone())
    }

    /// The binding whose upstream session the client answers: the only one that has a request of the
    /// client under way, or the only one there is. Where several have, nobody can tell from outside.
    pub fn asker(&self) -> Option<BindingName> {
        let uses = locked(&self.uses);
        let mut waiting = uses.running.values().filter(|one| one.request.is_some()).map(|one| &one.binding);
        if let Some(first) = waiting.next() {
            return waiting.all(|other| other == first).then(|| first.clone());
        }
        let upstream = locked(&self.upstream);
        let mut names = upstream.keys();
        names.next().filter(|_| names.next().is_none()).cloned()
    }

    /// Counts a use in.
    ///
    /// # Errors
    /// [`Code::SessionUnknown`] where the session is over.
    pub(crate) fn enter(
        self: &Arc<Self>,
        running: &Arc<Running>,
        binding: &BindingName,
        request: Option<&RawId>,
    ) -> Result<Visit, Refusal> {
        let mut uses = locked(&self.uses);
        if uses.over {
            return Err(Code::SessionUnknown.into());
        }
        let number = uses.next;
        uses.next = uses.next.wrapping_add(1);
        let running = Arc::clone(running);
        uses.running.insert(number, Use { running, binding: binding.clone(), request: request.cloned() });
        Ok(Visit { session: Arc::clone(self), number })
    }

    /// Lets no use in from now on, and stops those that run. Returns how many calls and streams.
    pub fn stop(&self, why: Code) -> (u32, u32) {
        self.stop_except(None, why)
    }

    fn stop_except(&self, spared: Option<u64>, why: Code) -> (u32, u32) {
        let mut uses = locked(&self.uses);
        uses.over = true;
        let (mut calls, mut streams) = (0_u32, 0_u32);
        let stopped = uses.running.iter().filter(|(number, _)| spared != Some(**number));
        for (_, one) in stopped {
            let count = if one.running.is_streaming() { &mut streams } else { &mut calls };
            *count = count.saturating_add(1);
            one.running.stop(why);
        }
        (calls, streams)
    }

    /// Waits until nothing runs in it; `false` where something still does after `deadline`.
    pub async fn emptied(&self, deadline: Duration) -> bool {
        let empty = async {
            loop {
                let left = self.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if !self.is_busy() {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(deadline, empty).await.is_ok()
    }

    /// The session as operators see it.
    pub fn shown(&self) -> LiveSession {
        let mut bindings: Vec<BindingRevision> =
            locked(&self.upstream).values().map(|upstream| upstream.binding.name_at_revision()).collect();
        bindings.sort_by_cached_key(ToString::to_string);
        let streams = locked(&self.uses).running.values().filter(|one| one.running.is_streaming()).count();
        LiveSession {
            id: self.public_id.clone(),
            kind: SessionKind::Session,
            environment: self.environment.clone(),
            server: self.server.clone(),
            actor: (&*self.actor).into(),
            bindings,
            protocol: self.protocol.get().map(ToString::to_string),
            opened_at: self.created_at,
            last_used_at: Some(*locked(&self.last_used)),
            streams: Some(u32::try_from(streams).unwrap_or(u32::MAX)),
            session: None,
            method: None,
            tool: None,
        }
    }
}

impl Visit {
    /// The public id of the session that is visited.
    pub fn public_id(&self) -> &str {
        &self.session.public_id
    }

    /// Ends the session for everybody else: this use is the one that tells its end.
    pub(crate) fn stop_others(&self, why: Code) {
        self.session.stop_except(Some(self.number), why);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut uses = locked(&self.session.uses);
        uses.running.remove(&self.number);
        let empty = uses.running.is_empty();
        drop(uses);
        if empty {
            self.session.left.notify_waiters();
        }
    }
}
