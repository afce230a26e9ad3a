//! Servers that are processes: started on demand with their credential, spoken to over standard input
//! and output, and ended with what they stand for. To the corridor they look like any other upstream.

mod child;
mod launch;
mod place;
mod probe;
mod serve;
mod supervise;
mod table;
mod wire;
mod words;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::actor::Actor;
use gateway_core::id::AgentName;
use gateway_core::lease::VersionId;
use gateway_core::lock::LockSelector;
use gateway_core::manifest::StdioRoute;
use gateway_core::ports::Random;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::scrub::Needles;
use gateway_core::session::LiveSession;
use gateway_core::time::Timestamp;
use http::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio::time::Instant;

pub use launch::CREDENTIAL_VARIABLE;
pub use place::Standing;
pub use serve::ChildStream;

use crate::live::BindingKey;
use crate::mcp::message::Message;
use crate::mcp::method::MethodKind;
use crate::mcp::reply;
use crate::mcp::version::Generation;
use crate::path::admit::Verb;
use crate::path::inject::ProcessCredential;
use crate::path::last_look::LastLook;
use crate::settings::StdioSettings;
use crate::upstream::UpstreamBody;
use child::{Child, Stop};
use launch::{PrivateDirectory, Users};
use supervise::Supervision;
use table::Table;
use words::Words;

/// Whose processes are those that only try a credential.
const PROBE: &str = "gateway probe";

/// One call to a process.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The approved route.
    pub route: &'a StdioRoute,
    /// What the process must stand for.
    pub standing: Standing,
    /// Whose call it is.
    pub actor: &'a str,
    /// The same, for operators; absent for the gateway itself.
    pub who: Option<&'a Actor>,
    /// When it came.
    pub now: Timestamp,
    /// The generation the client speaks.
    pub generation: Generation,
    /// The HTTP method.
    pub verb: Verb,
    /// The process's own session id.
    pub session: Option<&'a str>,
    /// The message; empty for GET and DELETE.
    pub body: Bytes,
    /// Asked once more before a process is told anything; absent where only a credential is tried.
    pub look: Option<&'a LastLook>,
}

impl Ask<'_> {
    /// Starting a process takes its time: what was decided before must still hold.
    fn still_holds(&self) -> Result<(), Refusal> {
        self.look.map_or(Ok(()), LastLook::check)
    }
}

/// A process that nobody owns yet: it ends where whoever started it goes away before it came up.
struct Starting(Option<Arc<Child>>);

impl Starting {
    fn came_up(mut self) {
        self.0 = None;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            child.stop(Stop::Kill);
        }
    }
}

/// All processes of this gateway.
#[derive(Debug)]
pub struct Children {
    settings: StdioSettings,
    line_limit: usize,
    random: Arc<dyn Random>,
    /// Where processes are looked after; absent where the gateway was made outside any runtime.
    runtime: Option<Handle>,
    users: Users,
    table: Arc<Table>,
}

impl Children {
    /// Starts with none. The runtime at hand looks after them.
    pub fn new(settings: StdioSettings, line_limit: usize, random: Arc<dyn Random>) -> Self {
        let runtime = Handle::try_current().ok();
        launch::remove_leftovers(&settings.directory);
        Self { settings, line_limit, random, runtime, users: Users::default(), table: Arc::default() }
    }

    /// Sends one call to the process that it belongs to, started where there is none.
    ///
    /// # Errors
    /// [`Code::CommandRefused`], [`Code::ProcessStart`], [`Code::ProcessEnded`],
    /// [`Code::ProcessBackoff`], [`Code::ProcessLimit`], [`Code::UpstreamTimeout`] or
    /// [`Code::ProtocolGeneration`].
    pub async fn send(
        &self,
        ask: Ask<'_>,
        credential: Option<ProcessCredential>,
    ) -> Result<Response<UpstreamBody>, Refusal> {
        if !self.settings.rules.allows(&ask.route.command) {
            return Err(Code::CommandRefused.into());
        }
        match (ask.verb, ask.generation) {
            (Verb::Post, Generation::Legacy) => self.post_legacy(ask, credential).await,
            (Verb::Post, Generation::Modern) => self.post_modern(ask, credential).await,
            (Verb::Get, Generation::Legacy) => Ok(match self.session(&ask) {
                Some(child) => serve::listen(&child),
                None => no_session(),
            }),
            (Verb::Delete, Generation::Legacy) => Ok(match self.session(&ask) {
                Some(_) => {
                    self.end_session(ask.session.unwrap_or_default());
                    serve::accepted()
                }
                None => no_session(),
            }),
            (Verb::Get | Verb::Delete, Generation::Modern) => {
                Ok(serve::refused(StatusCode::METHOD_NOT_ALLOWED, "2026-07-28 knows POST only"))
            }
        }
    }

    fn session(&self, ask: &Ask<'_>) -> Option<Arc<Child>> {
        let child = self.table.session(ask.session?)?;
        (child.actor == ask.actor && child.standing.binding == ask.standing.binding && !child.has_ended())
            .then_some(child)
    }

    async fn post_legacy(
        &self,
        ask: Ask<'_>,
        credential: Option<ProcessCredential>,
    ) -> Result<Response<UpstreamBody>, Refusal> {
        let message = parsed(&ask.body)?;
        let kind = message.invocation().map(|call| call.kind);
        let limit = time(ask.route);
        if let (Message::Request { id, .. }, Some(MethodKind::Initialize)) = (&message, kind) {
            let child = self.start(&ask, credential).await?;
            let starting = Starting(Some(Arc::clone(&child)));
            ask.still_holds()?;
            let response = serve::ask(&child, id, &message, &ask.body, limit).await;
            let mut response = self.judged(&child, response)?;
            let session = self.fresh_name();
            serve::with_session(&mut response, &session)?;
            self.table.open_session(session, child);
            starting.came_up();
            return Ok(response);
        }
        let Some(child) = self.session(&ask) else { return self.without_process(&ask) };
        self.exchange(&child, &message, &ask).await
    }

    /// What a message gets whose process is gone: where that was replaced, the next one is asked.
    fn without_process(&self, ask: &Ask<'_>) -> Result<Response<UpstreamBody>, Refusal> {
        let replaced =
            ask.session.and_then(|id| self.table.session(id)).is_some_and(|child| child.is_draining());
        if replaced { Err(Code::ProcessReplaced.into()) } else { Ok(no_session()) }
    }

    async fn exchange(
        &self,
        child: &Arc<Child>,
        message: &Message,
        ask: &Ask<'_>,
    ) -> Result<Response<UpstreamBody>, Refusal> {
        ask.still_holds()?;
        match message {
            Message::Request { id, .. } => serve::ask(child, id, message, &ask.body, time(ask.route)).await,
            Message::Notification(_) | Message::Response { .. } => {
                child.tell(&ask.body).await?;
                Ok(serve::accepted())
            }
        }
    }

    async fn post_modern(
        &self,
        ask: Ask<'_>,
        credential: Option<ProcessCredential>,
    ) -> Result<Response<UpstreamBody>, Refusal> {
        let message = parsed(&ask.body)?;
        let child = self.shared(&ask, credential.clone()).await?;
        match self.exchange(&child, &message, &ask).await {
            // It was replaced after it was looked up; nothing was sent.
            Err(refusal) if refusal.code() == Code::ProcessReplaced => {
                let child = self.shared(&ask, credential).await?;
                self.exchange(&child, &message, &ask).await
            }
            answered => answered,
        }
    }

    /// The actor's one process of 2026-07-28 for what is asked; a former one of the same binding drains.
    async fn shared(
        &self,
        ask: &Ask<'_>,
        credential: Option<ProcessCredential>,
    ) -> Result<Arc<Child>, Refusal> {
        let holder = (ask.actor.to_owned(), ask.standing.binding.clone());
        // Two first calls must not start two processes.
        let slot = self.table.slot(holder);
        let mut held = slot.lock().await;
        if let Some(child) = held.as_ref().filter(|child| !child.has_ended()) {
            if child.standing == ask.standing && !child.is_draining() {
                return Ok(Arc::clone(child));
            }
            child.drain();
        }
        if self.table.is_legacy(ask.standing.route) {
            return Err(Code::ProtocolGeneration.into());
        }
        let child = self.start(ask, credential).await?;
        let starting = Starting(Some(Arc::clone(&child)));
        if !self.judged(&child, probe::speaks_modern(&child, time(ask.route)).await)? {
            self.table.note_legacy(ask.standing.route);
            return Err(Code::ProtocolGeneration.into());
        }
        *held = Some(Arc::clone(&child));
        starting.came_up();
        Ok(child)
    }

    /// Tries a credential: whether a process that is given it comes up and answers a handshake.
    ///
    /// # Errors
    /// As [`Children::send`].
    pub async fn try_out(
        &self,
        route: &StdioRoute,
        standing: Standing,
        credential: ProcessCredential,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if !self.settings.rules.allows(&route.command) {
            return Err(Code::CommandRefused.into());
        }
        let body = Bytes::from_static(crate::probe::HANDSHAKE);
        let message = parsed(&body)?;
        let id = message.id().cloned().ok_or(Code::Internal)?;
        let (actor, generation, verb) = (PROBE, Generation::Legacy, Verb::Post);
        let (who, session, body) = (None, None, body.clone());
        let ask = Ask { route, standing, actor, who, now, generation, verb, session, body, look: None };
        let child = self.start(&ask, Some(credential)).await?;
        let _ends_with_this = Starting(Some(Arc::clone(&child)));
        let answered = serve::ask(&child, &id, &message, &ask.body, time(route)).await;
        answered.map(drop)
    }

    /// Starts a process for the call.
    async fn start(
        &self,
        ask: &Ask<'_>,
        credential: Option<ProcessCredential>,
    ) -> Result<Arc<Child>, Refusal> {
        let holder = (ask.actor.to_owned(), ask.standing.binding.clone());
        if let Some(wait) = self.table.backoff(&holder, Instant::now()) {
            return Err(Refusal::new(Code::ProcessBackoff).retry_after(wait));
        }
        let unable = |why: String| Refusal::new(Code::ProcessStart).because(why);
        let user = match self.settings.users {
            None => None,
            Some((first, count)) => Some(self.users.take(first, count).ok_or(Code::ProcessLimit)?),
        };
        let number = user.as_ref().map(|user| user.number);
        let own_name = self.fresh_name();
        let directory = PrivateDirectory::create(&self.settings.directory, &own_name, number)
            .map_err(|error| unable(format!("private directory: {error}")))?;
        let given = credential.as_ref();
        let command = launch::command(ask.route, &self.settings, given, directory.path(), number)?;
        let needles = given.map_or_else(|| Arc::new(Needles::none()), |c| Arc::clone(&c.material.needles));
        let name = format!("{}@{}", holder.1.1, ask.standing.revision);
        let words = Words::new(ask.standing.server.clone(), name, needles);
        let (child, ends) = Child::new(own_name, ask);
        if !self.table.add(&child, self.settings.processes) {
            return Err(Code::ProcessLimit.into());
        }
        let supervision = Supervision {
            child: Arc::clone(&child),
            ends,
            table: Arc::clone(&self.table),
            words,
            line_limit: self.line_limit,
            directory,
            user,
        };
        let runtime = self.runtime.as_ref().ok_or_else(|| unable("no runtime".to_owned()))?;
        // Started where it is looked after: a process dies with the thread that started it. The task goes
        // on where the caller leaves meanwhile, and says itself that nothing came of it.
        let failing = Arc::clone(&child);
        let started = runtime.spawn(async move {
            supervise::start(command, supervision).inspect_err(|error| failing.close(error.to_string()))
        });
        let failed = match started.await {
            Ok(Ok(())) => return Ok(child),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.table.failed(&holder, Instant::now());
        Err(unable(failed))
    }

    /// A process that did not come up is ended, and the next must wait.
    fn judged<T>(&self, child: &Child, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        if outcome.is_err() && !child.has_ended() {
            self.table.failed(&child.holder(), Instant::now());
            child.stop(Stop::Kill);
        }
        outcome
    }

    /// The versions of the binding's secret that processes were given; those that only try one do not count.
    pub fn versions(&self, key: &BindingKey) -> Vec<VersionId> {
        let of_binding = self.table.all(|child| child.standing.binding == *key && child.actor != PROBE);
        of_binding.iter().filter_map(|child| child.standing.version.clone()).collect()
    }

    /// Whether the session's process, if it lives, stands for this and no other.
    pub fn is_current(&self, session: &str, standing: &Standing) -> bool {
        let stands = |child: &Child| child.standing == *standing && !child.is_draining();
        // One that crashed is its client's affair; one that ended because it was replaced has a successor.
        let crashed = |child: &Child| child.has_ended() && !child.is_draining();
        self.table.session(session).is_none_or(|child| crashed(&child) || stands(&child))
    }

    /// Lets the session's process finish what it was asked; it is asked nothing more.
    pub fn drain_session(&self, session: &str) {
        if let Some(child) = self.table.forget_session(session) {
            child.drain();
        }
    }

    /// Ends the session's process: its input closes, then it is asked, then it is killed.
    pub fn end_session(&self, session: &str) {
        if let Some(child) = self.table.forget_session(session) {
            child.stop(Stop::Finish);
        }
    }

    /// Kills every process of the binding, and returns how many when all are gone.
    ///
    /// # Errors
    /// [`Code::Internal`] where one did not go within `deadline`.
    pub async fn end_binding(&self, key: &BindingKey, deadline: Duration) -> Result<u32, Refusal> {
        self.end(|child| child.standing.binding == *key, deadline).await
    }

    /// Kills every process of the agent.
    ///
    /// # Errors
    /// As [`end_binding`](Self::end_binding).
    pub async fn end_agent(&self, agent: &AgentName, deadline: Duration) -> Result<u32, Refusal> {
        self.end(|child| child.is_for(agent), deadline).await
    }

    /// Kills every process that was given a token of the grant.
    ///
    /// # Errors
    /// As [`end_binding`](Self::end_binding).
    pub async fn end_grant(&self, grant: &str, deadline: Duration) -> Result<u32, Refusal> {
        let given = |version: &VersionId| {
            version.as_str().strip_prefix(grant).is_some_and(|rest| rest.starts_with('.'))
        };
        self.end(|child| child.standing.version.as_ref().is_some_and(given), deadline).await
    }

    /// Kills every process of these bindings that the lock matches.
    ///
    /// # Errors
    /// As [`end_binding`](Self::end_binding).
    pub(crate) async fn end_locked(
        &self,
        lock: &LockSelector,
        bindings: &HashSet<BindingKey>,
        deadline: Duration,
    ) -> Result<u32, Refusal> {
        self.end(|child| bindings.contains(&child.standing.binding) && lock.is_party(child.who()), deadline)
            .await
    }

    /// Kills every process, at the gateway's own end.
    ///
    /// # Errors
    /// [`Code::Internal`] where one did not go within `deadline`.
    pub async fn end_all(&self, deadline: Duration) -> Result<u32, Refusal> {
        self.end(|_| true, deadline).await
    }

    async fn end(&self, which: impl Fn(&Child) -> bool, deadline: Duration) -> Result<u32, Refusal> {
        let children = self.table.all(|child| which(child));
        children.iter().for_each(|child| child.stop(Stop::Kill));
        let all = futures::future::join_all(children.iter().map(|child| child.gone()));
        match tokio::time::timeout(deadline, all).await {
            Ok(_) => Ok(u32::try_from(children.len()).unwrap_or(u32::MAX)),
            Err(_) => Err(Refusal::new(Code::Internal).because("a server's process did not end in time")),
        }
    }

    /// Drains processes that no longer stand for what is current.
    pub fn review(&self, is_current: impl Fn(&Standing) -> bool) {
        for child in self.table.all(|child| !is_current(&child.standing)) {
            child.drain();
        }
    }

    /// All of them, as operators see them.
    pub fn list(&self) -> Vec<LiveSession> {
        self.table.all(|_| true).iter().map(|child| child.shown()).collect()
    }

    /// Kills the process of this name; `None` where there is none, else whether it was gone in time.
    pub async fn kill(&self, name: &str, deadline: Duration) -> Option<bool> {
        let child = self.table.all(|child| child.name == name).into_iter().next()?;
        child.stop(Stop::Kill);
        Some(tokio::time::timeout(deadline, child.gone()).await.is_ok())
    }

    /// How many run for the binding.
    pub fn count(&self, key: &BindingKey) -> u32 {
        let children = self.table.all(|child| child.standing.binding == *key);
        u32::try_from(children.len()).unwrap_or(u32::MAX)
    }

    /// Ends processes that nobody uses, and forgets those that are gone.
    pub fn sweep(&self) {
        for child in self.table.all(|child| child.idle_for(self.settings.idle)) {
            child.stop(Stop::Finish);
        }
        self.table.sweep(Instant::now());
    }

    fn fresh_name(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes);
        hex::encode(bytes)
    }
}

fn parsed(body: &Bytes) -> Result<Message, Refusal> {
    Message::parse(body).map_err(|error| Refusal::new(Code::RequestMalformed).because(error))
}

fn time(route: &StdioRoute) -> Duration {
    Duration::from_secs(u64::from(route.timeout_seconds))
}

/// As a server over HTTP would say it, with the gateway's own code: nobody else speaks for a process that is gone.
fn no_session() -> Response<UpstreamBody> {
    let row = Code::SessionUnknown.row();
    let data = serde_json::json!({"code": row.code, "hint": row.hint});
    serve::json(StatusCode::NOT_FOUND, reply::error(None, i64::from(row.rpc), row.text, Some(&data)))
}
