//! Sessions of 2025-11-25 and older: the gateway's own ids, bound to the actor and the server, with
//! one upstream session per binding beneath.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gateway_core::id::{BindingName, EnvironmentName, ServerName};
use gateway_core::manifest::Route;
use gateway_core::ports::Random;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::time::Timestamp;
use http::HeaderValue;

use crate::bridge::client::Bridged;
use crate::live::BindingKey;
use crate::settings::Settings;

/// The header of the protocol (2025-11-25, Streamable HTTP, "Session Management").
pub const SESSION_HEADER: &str = "mcp-session-id";

/// One session of a client.
#[derive(Debug)]
pub struct Session {
    /// The id the client knows.
    pub id: String,
    /// Who opened it: `Actor::stable_id`, so that a fresh token of the same actor is no hijack.
    pub actor: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// The `initialize` body, kept to open a further upstream session for another binding.
    pub handshake: Bytes,
    /// What is kept for the client where the server is a modern one and has no sessions.
    pub bridged: Option<Arc<Bridged>>,
    /// The protocol version that was agreed, as the client states it in later requests.
    created_at: Timestamp,
    last_used: Mutex<Timestamp>,
    upstream: Mutex<HashMap<BindingName, UpstreamSession>>,
}

/// The upstream's session under one binding.
#[derive(Debug, Clone)]
pub struct UpstreamSession {
    /// The upstream's own id; never shown to the client.
    pub id: HeaderValue,
    /// The route it was opened on.
    pub route: Route,
}

/// All sessions of this replica.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a new session is made of.
#[derive(Debug)]
pub struct Opening<'a> {
    /// See [`Session::actor`].
    pub actor: String,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The server.
    pub server: &'a ServerName,
    /// The binding of the handshake.
    pub binding: &'a BindingName,
    /// The `initialize` body.
    pub handshake: Bytes,
    /// What the upstream answered.
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
        let session = Arc::new(Session {
            id: hex::encode(bytes),
            actor: opening.actor,
            environment: opening.environment.clone(),
            server: opening.server.clone(),
            handshake: opening.handshake,
            bridged: opening.bridged,
            created_at: now,
            last_used: Mutex::new(now),
            upstream: Mutex::new(HashMap::from([(opening.binding.clone(), opening.upstream)])),
        });
        let mut open = locked(&self.open);
        let own = open.values().filter(|known| known.actor == session.actor).count();
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
        let own = session.actor == actor && session.environment == *place.0 && session.server == *place.1;
        if !own || session.is_over(settings, now) {
            return Err(Code::SessionUnknown.into());
        }
        *locked(&session.last_used) = now;
        Ok(session)
    }

    /// Forgets the session; says whether it was there.
    pub fn close(&self, id: &str) -> Option<Arc<Session>> {
        locked(&self.open).remove(id)
    }

    /// Takes the binding's upstream sessions out of all sessions, and ends sessions that have none
    /// left. Returns what has to be ended upstream.
    pub fn end_binding(&self, key: &BindingKey) -> Vec<UpstreamSession> {
        let mut open = locked(&self.open);
        let mut ended = Vec::new();
        open.retain(|_, session| {
            if session.environment != key.0 {
                return true;
            }
            let mut upstream = locked(&session.upstream);
            ended.extend(upstream.remove(&key.1));
            !upstream.is_empty()
        });
        ended
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

    /// Ends sessions that are past their idle or absolute limit.
    pub fn sweep(&self, settings: &Settings, now: Timestamp) {
        locked(&self.open).retain(|_, session| !session.is_over(settings, now));
    }
}

impl Session {
    fn is_over(&self, settings: &Settings, now: Timestamp) -> bool {
        now.since(*locked(&self.last_used)) > settings.session_idle
            || now.since(self.created_at) > settings.session_lifetime
    }

    /// The upstream's session under this binding.
    pub fn upstream(&self, binding: &BindingName) -> Option<UpstreamSession> {
        locked(&self.upstream).get(binding).cloned()
    }

    /// Keeps an upstream session that was opened later.
    pub fn add_upstream(&self, binding: &BindingName, upstream: UpstreamSession) {
        locked(&self.upstream).insert(binding.clone(), upstream);
    }

    /// Every upstream session, for ending them.
    pub fn all_upstream(&self) -> Vec<(BindingName, UpstreamSession)> {
        locked(&self.upstream).iter().map(|(name, session)| (name.clone(), session.clone())).collect()
    }
}
