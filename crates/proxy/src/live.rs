//! Everything under way: which uses run under which binding, and how they are stopped.
//!
//! A use enters its binding's gate before its intent is recorded and leaves it with the last byte.
//! Entering first counts and then looks whether the gate is closed; closing first closes and then
//! waits for the count: so after a revocation has been acknowledged, nothing runs and nothing starts.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use gateway_core::actor::Actor;
use gateway_core::audit::BindingRevision;
use gateway_core::id::{AgentName, BindingName, EnvironmentName, RequestId, ServerName};
use gateway_core::lock::LockRecord;
use gateway_core::policy::{Permit, Subject};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::session::{LiveSession, SessionKind};
use gateway_core::snapshot::ActiveBinding;
use gateway_core::time::Timestamp;
use tokio::sync::Notify;

use crate::path::identify::Call;
use crate::session::Visit;

/// How often it is looked whether the uses of a grant are over.
const LOOKING: Duration = Duration::from_millis(5);

/// A binding across its revisions.
pub type BindingKey = (EnvironmentName, BindingName);

/// All gates.
#[derive(Debug, Default)]
pub struct Live {
    gates: Mutex<HashMap<BindingKey, Arc<Gate>>>,
    /// Agents that start nothing any more.
    ended_agents: Mutex<HashSet<AgentName>>,
}

/// One binding's gate.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    next: AtomicU64,
    running: Mutex<HashMap<u64, Arc<Running>>>,
    left: Notify,
}

/// One use under way.
#[derive(Debug)]
pub struct Running {
    /// What it is.
    undertaking: Undertaking,
    /// The users' grants that it uses.
    grants: Mutex<Vec<Box<str>>>,
    /// Set once it answers with a stream.
    stream: OnceLock<Box<StreamFacts>>,
    /// Set once it must stop.
    stopped: OnceLock<Code>,
    /// The lock that stopped it.
    lock: OnceLock<Box<str>>,
    waker: AtomicWaker,
}

/// What a use is: under which binding, for whom, which tool.
#[derive(Clone, Debug)]
pub struct Undertaking {
    /// The binding, at the revision that decided.
    pub binding: Arc<ActiveBinding>,
    /// For whom; whose session it was, where the gateway cleans up.
    pub actor: Option<Arc<Actor>>,
    /// The tool.
    pub tool: Option<Box<str>>,
    /// Whether the gateway does it on its own account.
    pub is_own: bool,
}

impl Undertaking {
    /// What the permit allows.
    pub fn of(permit: &Permit) -> Self {
        let (actor, is_own) = match permit.subject() {
            Subject::Caller { actor, .. } => (Some(Arc::clone(actor)), false),
            Subject::System => (None, true),
        };
        let tool = permit.tool().map(|tool| tool.as_str().into());
        Self { binding: Arc::clone(permit.binding()), actor, tool, is_own }
    }

    fn key(&self) -> BindingKey {
        (self.binding.spec.environment.clone(), self.binding.spec.name.clone())
    }

    /// The agent that answers for it; none where the gateway cleans up after one.
    fn agent(&self) -> Option<&AgentName> {
        self.actor.as_ref().filter(|_| !self.is_own)?.agent.as_ref()
    }
}

/// What operators are told of a live stream.
#[derive(Debug)]
pub struct StreamFacts {
    /// The request that it answers.
    pub request_id: RequestId,
    /// Who asked.
    pub actor: Arc<Actor>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The server.
    pub server: ServerName,
    /// What it runs under.
    pub binding: BindingRevision,
    /// The protocol version that the request stated.
    pub protocol: Option<String>,
    /// The method asked for.
    pub method: Option<Box<str>>,
    /// The tool asked for.
    pub tool: Option<Box<str>>,
    /// The protocol session, as operators know it.
    pub session: Option<String>,
    /// When the request came.
    pub since: Timestamp,
}

/// Presence in a gate; leaving it is dropping this.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    number: u64,
    running: Arc<Running>,
    visit: Option<Visit>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    fn gate(&self, key: &BindingKey) -> Arc<Gate> {
        let mut gates = locked(&self.gates);
        if let Some(gate) = gates.get(key) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Gate::default());
        gates.insert(key.clone(), Arc::clone(&gate));
        gate
    }

    /// Enters the binding's gate, for an agent or for somebody else.
    ///
    /// # Errors
    /// [`Code::BindingEnded`] where it is closed, or the agent has ended.
    pub fn enter(&self, undertaking: Undertaking) -> Result<Pass, Refusal> {
        let gate = self.gate(&undertaking.key());
        let pass = gate.admit(Arc::new(Running::new(undertaking)));
        // The lock above orders this after the count: a closer that misses us is seen here.
        let agent = pass.running.undertaking.agent();
        let agent_ended = || agent.is_some_and(|agent| locked(&self.ended_agents).contains(agent));
        if pass.gate.closed.load(Ordering::SeqCst) || agent_ended() {
            // Whoever ended the agent waits for this one too, and is told when it leaves.
            pass.running.stop(Code::BindingEnded);
            return Err(Code::BindingEnded.into());
        }
        Ok(pass)
    }

    /// Closes the gate, stops what runs, and waits until nothing does. Returns how many calls and
    /// streams were stopped.
    ///
    /// # Errors
    /// [`Code::Internal`] where something still runs after `deadline`; the gate stays closed.
    pub async fn close(&self, key: &BindingKey, deadline: Duration) -> Result<(u32, u32), Refusal> {
        let gate = self.gate(key);
        gate.closed.store(true, Ordering::SeqCst);
        let (mut calls, mut streams) = (0_u32, 0_u32);
        for running in locked(&gate.running).values() {
            let count = if running.is_streaming() { &mut streams } else { &mut calls };
            *count = count.saturating_add(1);
            running.stop(Code::BindingEnded);
        }
        match tokio::time::timeout(deadline, gate.without(|_| true)).await {
            Ok(()) => Ok((calls, streams)),
            Err(_) => Err(Refusal::new(Code::Internal).because("uses of the binding did not end in time")),
        }
    }

    /// Lets the agent start nothing any more, stops what runs for it, and waits until nothing does.
    /// Returns how many calls and streams were stopped.
    ///
    /// # Errors
    /// As [`close`](Self::close); the agent stays out.
    pub async fn close_agent(&self, agent: &AgentName, deadline: Duration) -> Result<(u32, u32), Refusal> {
        locked(&self.ended_agents).insert(agent.clone());
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        let (mut calls, mut streams) = (0_u32, 0_u32);
        for gate in &gates {
            for running in locked(&gate.running).values().filter(|running| running.is_for(agent)) {
                let count = if running.is_streaming() { &mut streams } else { &mut calls };
                *count = count.saturating_add(1);
                running.stop(Code::BindingEnded);
            }
        }
        let empty = async {
            for gate in &gates {
                gate.without(|running| running.is_for(agent)).await;
            }
        };
        match tokio::time::timeout(deadline, empty).await {
            Ok(()) => Ok((calls, streams)),
            Err(_) => Err(Refusal::new(Code::Internal).because("uses by the agent did not end in time")),
        }
    }

    /// Lets the agent in again.
    pub fn open_agent(&self, agent: &AgentName) {
        locked(&self.ended_agents).remove(agent);
    }

    /// Stops every use of the grant, and waits until there is none. Returns how many calls and streams were
    /// stopped.
    ///
    /// # Errors
    /// [`Code::Internal`] where one still runs after `deadline`.
    pub async fn stop_grant(&self, grant: &str, deadline: Duration) -> Result<(u32, u32), Refusal> {
        let (mut calls, mut streams) = (0_u32, 0_u32);
        let until = tokio::time::Instant::now() + deadline;
        let mut first = true;
        loop {
            let uses = self.uses_of(grant);
            for running in &uses {
                if first {
                    let count = if running.is_streaming() { &mut streams } else { &mut calls };
                    *count = count.saturating_add(1);
                }
                running.stop(Code::GrantMissing);
            }
            if uses.is_empty() {
                return Ok((calls, streams));
            }
            if tokio::time::Instant::now() >= until {
                return Err(Refusal::new(Code::Internal).because("uses of the grant did not end in time"));
            }
            first = false;
            tokio::time::sleep(LOOKING).await;
        }
    }

    /// Stops every use that the lock matches, and waits until there is none. Returns how many calls and streams
    /// were stopped.
    ///
    /// # Errors
    /// [`Code::Internal`] where one still runs after `deadline`.
    pub async fn stop_locked(&self, lock: &LockRecord, deadline: Duration) -> Result<(u32, u32), Refusal> {
        let (mut calls, mut streams) = (0_u32, 0_u32);
        let until = tokio::time::Instant::now() + deadline;
        loop {
            // Whoever entered after the lock was published has seen it, or sees it before anything is sent.
            let uses = self.uses(|running| lock.selector.matches(&running.undertaking.facts()));
            for running in uses.iter().filter(|running| running.stop_by(lock)) {
                let count = if running.is_streaming() { &mut streams } else { &mut calls };
                *count = count.saturating_add(1);
            }
            if uses.is_empty() {
                return Ok((calls, streams));
            }
            if tokio::time::Instant::now() >= until {
                return Err(Refusal::new(Code::Internal).because("what a lock stops did not end in time"));
            }
            tokio::time::sleep(LOOKING).await;
        }
    }

    fn uses_of(&self, grant: &str) -> Vec<Arc<Running>> {
        self.uses(|running| running.uses(grant))
    }

    fn uses(&self, which: impl Fn(&Running) -> bool) -> Vec<Arc<Running>> {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        let mut uses = Vec::new();
        for gate in gates {
            uses.extend(locked(&gate.running).values().filter(|running| which(running)).cloned());
        }
        uses
    }

    /// Whether nothing may run under the binding any more.
    pub fn is_closed(&self, key: &BindingKey) -> bool {
        self.gate(key).closed.load(Ordering::SeqCst)
    }

    /// Whether nothing may run for the agent any more.
    pub fn is_agent_closed(&self, agent: &AgentName) -> bool {
        locked(&self.ended_agents).contains(agent)
    }

    /// Opens the gate again.
    pub fn open(&self, key: &BindingKey) {
        self.gate(key).closed.store(false, Ordering::SeqCst);
    }

    /// Lets every use look again whether its decision still holds.
    pub fn wake_all(&self) {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        for gate in gates {
            locked(&gate.running).values().for_each(|running| running.waker.wake());
        }
    }

    /// Calls and streams under way.
    pub fn counts(&self, key: &BindingKey) -> (u32, u32) {
        let gate = self.gate(key);
        let running = locked(&gate.running);
        let streams = running.values().filter(|running| running.is_streaming()).count();
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (narrow(running.len().saturating_sub(streams)), narrow(streams))
    }

    /// Everything under way, over all bindings: calls and streams.
    pub fn totals(&self) -> (u64, u64) {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        gates.iter().fold((0, 0), |(calls, streams), gate| {
            let running = locked(&gate.running);
            let live = running.values().filter(|use_| use_.is_streaming()).count() as u64;
            (calls + (running.len() as u64).saturating_sub(live), streams + live)
        })
    }

    /// Every live stream, as operators see it.
    pub fn streams(&self) -> Vec<LiveSession> {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        let mut shown = Vec::new();
        for gate in gates {
            shown.extend(locked(&gate.running).values().filter_map(|running| running.shown()));
        }
        shown
    }

    /// Stops the live stream that answers this request; says whether there was one.
    pub fn stop_stream(&self, request_id: &str, why: Code) -> bool {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        let answers = |running: &&Arc<Running>| {
            running.stream.get().is_some_and(|facts| facts.request_id.as_str() == request_id)
        };
        gates.iter().any(|gate| {
            let found = locked(&gate.running).values().find(answers).cloned();
            found
                .inspect(|running| {
                    running.stop(why);
                })
                .is_some()
        })
    }
}

impl Gate {
    fn admit(self: Arc<Self>, running: Arc<Running>) -> Pass {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.running).insert(number, Arc::clone(&running));
        Pass { gate: self, number, running, visit: None }
    }

    /// Waits until nothing of the kind runs. All of it has been stopped: so each one tells that it left.
    async fn without(&self, kind: impl Fn(&Running) -> bool) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if !locked(&self.running).values().any(|running| kind(running)) {
                return;
            }
            left.await;
        }
    }
}

impl Running {
    fn new(undertaking: Undertaking) -> Self {
        Self {
            undertaking,
            grants: Mutex::default(),
            stream: OnceLock::new(),
            stopped: OnceLock::new(),
            lock: OnceLock::new(),
            waker: AtomicWaker::new(),
        }
    }

    fn is_for(&self, agent: &AgentName) -> bool {
        self.undertaking.agent() == Some(agent)
    }

    /// Whether it answers with a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        self.stream.get().is_some()
    }

    fn uses(&self, grant: &str) -> bool {
        locked(&self.grants).iter().any(|known| **known == *grant)
    }

    /// Stops it; the first reason stays. Says whether this was the first.
    pub(crate) fn stop(&self, why: Code) -> bool {
        let first = self.stopped.set(why).is_ok();
        self.waker.wake();
        first
    }

    /// Stops it for a lock, whose name goes into the evidence.
    fn stop_by(&self, lock: &LockRecord) -> bool {
        self.lock.get_or_init(|| lock.id.as_str().into());
        self.stop(Code::LockActive)
    }

    /// Why it must stop, once it must.
    pub(crate) fn why_stopped(&self) -> Option<Refusal> {
        self.stopped.get().map(|why| match (why, self.lock.get()) {
            (Code::LockActive, Some(lock)) => Refusal::new(*why).stopped_by(lock),
            _ => (*why).into(),
        })
    }

    /// What it is.
    pub(crate) const fn undertaking(&self) -> &Undertaking {
        &self.undertaking
    }

    /// Whether every grant that it uses is one of these.
    pub(crate) fn uses_only(&self, known: impl Fn(&str) -> bool) -> bool {
        locked(&self.grants).iter().all(|grant| known(grant))
    }

    fn shown(&self) -> Option<LiveSession> {
        let facts = self.stream.get()?;
        Some(LiveSession {
            id: facts.request_id.to_string(),
            kind: SessionKind::Stream,
            environment: facts.environment.clone(),
            server: facts.server.clone(),
            actor: (&*facts.actor).into(),
            bindings: vec![facts.binding.clone()],
            protocol: facts.protocol.clone(),
            opened_at: facts.since,
            last_used_at: None,
            streams: None,
            session: facts.session.clone(),
            method: facts.method.as_deref().map(Into::into),
            tool: facts.tool.as_deref().map(Into::into),
        })
    }
}

impl Pass {
    /// A pass of no gate, for what the gateway does after it has closed one.
    pub(crate) fn detached(undertaking: Undertaking) -> Self {
        Arc::new(Gate::default()).admit(Arc::new(Running::new(undertaking)))
    }

    /// What it is the presence of.
    pub(crate) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running)
    }

    /// Counts the use into its session too.
    ///
    /// # Errors
    /// [`Code::SessionUnknown`] where the session was ended meanwhile.
    pub fn join(&mut self, call: &Call, permit: &Permit) -> Result<(), Refusal> {
        let Some(session) = &call.session else { return Ok(()) };
        let request = call.message.as_ref().filter(|_| call.is_request()).and_then(|message| message.id());
        let entered = session.enter(&self.running, &permit.binding().spec.name, request);
        self.visit = Some(entered.map_err(|refusal| refusal.under(permit))?);
        Ok(())
    }

    /// Marks the use with a grant that it uses.
    pub fn uses_grant(&self, grant: &str) {
        if !self.running.uses(grant) {
            locked(&self.running.grants).push(grant.into());
        }
    }

    /// Ends the session it belongs to, for every use but this one.
    pub fn stop_companions(&self, why: Code) {
        if let Some(visit) = &self.visit {
            visit.stop_others(why);
        }
    }

    /// Marks the use as a stream, which is listed, and which revocation evidence counts apart.
    pub fn streams(&self, mut facts: StreamFacts) {
        facts.session = self.visit.as_ref().map(|visit| visit.public_id().to_owned());
        self.running.stream.get_or_init(|| Box::new(facts));
    }

    /// Why the use must stop, once it must; wakes the task when that changes.
    pub fn poll_stopped(&self, context: &mut Context<'_>) -> Poll<Code> {
        self.register(context.waker());
        self.running.stopped.get().map_or(Poll::Pending, |why| Poll::Ready(*why))
    }

    /// Waits until the use must stop.
    pub async fn stopped(&self) -> Refusal {
        let why = std::future::poll_fn(|context| self.poll_stopped(context)).await;
        self.running.why_stopped().unwrap_or_else(|| why.into())
    }

    fn register(&self, waker: &Waker) {
        self.running.waker.register(waker);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut running = locked(&self.gate.running);
        running.remove(&self.number);
        let awaited = running.is_empty() || self.running.stopped.get().is_some();
        drop(running);
        if awaited {
            self.gate.left.notify_waiters();
        }
    }
}
