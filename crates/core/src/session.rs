//! Sessions as operators see them (DESIGN, section 10.7): the protocol sessions of 2025-11-25 and older,
//! every live stream of either generation, and every process of a server. All are listed and ended by the
//! same verb.

use serde::Serialize;

use crate::actor::Actor;
use crate::audit::{BindingRevision, Ended, Event};
use crate::id::{AgentName, EnvironmentName, RequestId, ServerName, WorkloadName};
use crate::time::Timestamp;

/// What kind of session it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A protocol session (`Mcp-Session-Id`, 2025-11-25 and older).
    Session,
    /// An answer that is still being streamed.
    Stream,
    /// A process of a server, with a credential in it.
    Process,
}

impl SessionKind {
    /// The word in answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Stream => "stream",
            Self::Process => "process",
        }
    }
}

/// Whose session it is, as evidence names actors.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SessionActor {
    /// The user as `iss|sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The proven agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The attested workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// The client application; unproven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
}

impl From<&Actor> for SessionActor {
    fn from(actor: &Actor) -> Self {
        Self {
            user: actor.user.as_ref().map(ToString::to_string),
            agent: actor.agent.clone(),
            workload: actor.workload.clone(),
            surface: actor.surface.as_ref().map(ToString::to_string),
        }
    }
}

impl SessionActor {
    /// Whether this names the actor: its user (`iss|sub`), its agent or its workload. The surface is
    /// unproven and names nobody.
    pub fn is_named(&self, name: &str) -> bool {
        self.user.as_deref() == Some(name)
            || self.agent.as_ref().is_some_and(|agent| agent.as_str() == name)
            || self.workload.as_ref().is_some_and(|workload| workload.as_str() == name)
    }
}

/// One session on this replica. It holds nothing that opens it: the id of a protocol session is a
/// digest of the one that the client sends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LiveSession {
    /// What it is ended by: a digest for a protocol session, the request id for a stream, the process's own
    /// name for a process.
    pub id: String,
    /// What it is.
    pub kind: SessionKind,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// Whose it is.
    pub actor: SessionActor,
    /// The bindings it runs under.
    pub bindings: Vec<BindingRevision>,
    /// The protocol version, where it was agreed or stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When a protocol session was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// How many streams are open under a protocol session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// The protocol session that a stream belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The JSON-RPC method that a stream answers, or `GET` for the listening stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The tool that a stream answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

impl LiveSession {
    /// The facts of the session on an event: who, where, and by which binding where there is one only.
    #[must_use]
    pub fn describe(&self, mut event: Event) -> Event {
        event.user.clone_from(&self.actor.user);
        event.agent.clone_from(&self.actor.agent);
        event.workload.clone_from(&self.actor.workload);
        event.surface.clone_from(&self.actor.surface);
        event.environment = Some(self.environment.clone());
        event.server = Some(self.server.clone());
        event.session = Some(self.session.clone().unwrap_or_else(|| self.id.clone()));
        if let [binding] = self.bindings.as_slice() {
            event.binding = Some(binding.clone());
        }
        if self.kind == SessionKind::Stream {
            event.session.clone_from(&self.session);
            event.request_id = RequestId::parse(&self.id).ok();
            event.method.clone_from(&self.method);
        }
        event
    }
}

/// What the end of one session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Terminated {
    /// Calls and streams cut, and sessions taken away.
    pub ended: Ended,
    /// Upstream sessions that their servers ended, or had ended already.
    pub upstream_ended: u32,
    /// Upstream sessions that their servers did not confirm to have ended.
    pub upstream_left: u32,
    /// Whether everything had ended when this was said; if not, it is cut and refused all the same.
    pub complete: bool,
}
