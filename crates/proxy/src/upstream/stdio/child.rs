//! One process as the data plane sees it: what it is asked, and where its messages go.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::audit::BindingRevision;
use gateway_core::id::AgentName;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::session::{LiveSession, SessionActor, SessionKind};
use gateway_core::time::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Ask;
use super::place::Standing;
use super::table::Holder;
use super::wire::{self, Outgoing};
use crate::mcp::message::{Message, RawId};
use crate::mcp::version::Generation;

/// Messages on their way to one caller; a caller that does not take them slows its process down.
const OUTLET: usize = 16;
/// Messages kept for a listener that is not there yet.
const BACKLOG: usize = 256;
/// How long a process waits for a caller to take a message before that caller is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process may take to read what it is sent.
const READ_TIME: Duration = Duration::from_secs(10);

/// What a process is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// Nothing.
    Run,
    /// To end, for it has closed its output and can answer nothing more.
    Spent,
    /// To end: its input closes, then it is asked, then it is killed.
    Finish,
    /// Killed at once.
    Kill,
}

/// A message for a caller.
#[derive(Debug)]
pub(super) enum Piece {
    /// One of several.
    Message(Bytes),
    /// The answer; nothing follows.
    Answer(Bytes),
}

/// One process.
#[derive(Debug)]
pub(super) struct Child {
    /// Its name, for operators and for its private directory.
    pub(super) name: String,
    pub(super) standing: Standing,
    /// Whose process it is: no process ever serves two people's authority.
    pub(super) actor: String,
    /// The same, as operators are shown it.
    who: SessionActor,
    pub(super) generation: Generation,
    pub(super) started: Instant,
    opened_at: Timestamp,
    input: mpsc::Sender<Bytes>,
    stop: watch::Sender<Stop>,
    gone: watch::Receiver<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: HashMap<RawId, Call>,
    next: u64,
    listener: Option<mpsc::Sender<Piece>>,
    backlog: VecDeque<Bytes>,
    draining: bool,
    ended: Option<String>,
    last_used: Instant,
    last_heard: Instant,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Call {
    outlet: mpsc::Sender<Piece>,
    /// What the client wrote, where the process was told something else.
    restore: Option<wire::Written>,
    /// The progress token as the process knows it, raw JSON.
    token: Option<Box<str>>,
    /// A stream that ends only with its caller.
    endless: bool,
}

/// The ends that the supervisor holds.
pub(super) struct Ends {
    pub(super) input: mpsc::Receiver<Bytes>,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) gone: watch::Sender<bool>,
}

impl Child {
    /// A process that is about to start.
    pub(super) fn new(name: String, ask: &Ask<'_>) -> (Arc<Self>, Ends) {
        let (input, input_end) = mpsc::channel(64);
        let (stop, stop_end) = watch::channel(Stop::Run);
        let (gone_end, gone) = watch::channel(false);
        let now = Instant::now();
        let state = State {
            calls: HashMap::new(),
            next: 0,
            listener: None,
            backlog: VecDeque::new(),
            draining: false,
            ended: None,
            last_used: now,
            last_heard: now,
        };
        let state = Mutex::new(state);
        let child = Self {
            name,
            standing: ask.standing.clone(),
            actor: ask.actor.to_owned(),
            who: ask.who.map(SessionActor::from).unwrap_or_default(),
            generation: ask.generation,
            started: now,
            opened_at: ask.now,
            input,
            stop,
            gone,
            state,
        };
        (Arc::new(child), Ends { input: input_end, stop: stop_end, gone: gone_end })
    }

    /// Whose process under which binding.
    pub(super) fn holder(&self) -> Holder {
        (self.actor.clone(), self.standing.binding.clone())
    }

    /// Whether it runs for the agent.
    pub(super) fn is_for(&self, agent: &AgentName) -> bool {
        self.who.agent.as_ref() == Some(agent)
    }

    /// Whose it is, as operators are shown it.
    pub(super) const fn who(&self) -> &SessionActor {
        &self.who
    }

    /// As operators see it.
    pub(super) fn shown(&self) -> LiveSession {
        let (environment, name) = self.standing.binding.clone();
        LiveSession {
            id: self.name.clone(),
            kind: SessionKind::Process,
            environment,
            server: self.standing.server.clone(),
            actor: self.who.clone(),
            bindings: vec![BindingRevision { name, revision: self.standing.revision }],
            protocol: None,
            opened_at: self.opened_at,
            last_used_at: None,
            streams: None,
            session: None,
            method: None,
            tool: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the process; its messages come out of the ticket.
    ///
    /// # Errors
    /// [`Code::ProcessEnded`] where it is gone; [`Code::RequestMalformed`] where the id is in use;
    /// [`Code::UpstreamTimeout`] where it does not read.
    pub(super) async fn ask(
        self: &Arc<Self>,
        id: &RawId,
        message: &Message,
        body: &Bytes,
        endless: bool,
    ) -> Result<Ticket, Refusal> {
        let (outlet, pieces) = mpsc::channel(OUTLET);
        let outgoing = {
            let mut state = self.state();
            if state.draining {
                // Nothing was sent: whoever asks may ask the process that takes its place.
                return Err(Refusal::new(Code::ProcessReplaced));
            }
            if let Some(why) = &state.ended {
                return Err(Refusal::new(Code::ProcessEnded).because(why));
            }
            state.last_used = Instant::now();
            let outgoing = match self.generation {
                Generation::Legacy => Outgoing::as_written(id, message, body),
                Generation::Modern => {
                    state.next += 1;
                    Outgoing::renamed(state.next, id, message, body)
                }
            };
            if state.calls.contains_key(&outgoing.id) {
                return Err(Refusal::new(Code::RequestMalformed).because("the id is in use"));
            }
            let Outgoing { id, token, restore, .. } = outgoing.clone();
            state.calls.insert(id, Call { outlet, restore, token, endless });
            outgoing
        };
        let ticket = Ticket { child: Arc::clone(self), id: outgoing.id, pieces, done: false };
        self.write(outgoing.body).await?;
        Ok(ticket)
    }

    /// Hands the process a message that it does not answer.
    ///
    /// # Errors
    /// [`Code::ProcessEnded`] or [`Code::UpstreamTimeout`].
    pub(super) async fn tell(&self, body: &Bytes) -> Result<(), Refusal> {
        {
            let mut state = self.state();
            if state.draining && state.calls.is_empty() {
                return Err(Code::ProcessReplaced.into());
            }
            state.last_used = Instant::now();
        }
        self.write(wire::on_one_line(body)).await
    }

    async fn write(&self, line: Bytes) -> Result<(), Refusal> {
        match self.input.send_timeout(line, READ_TIME).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(self.why_ended()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(Refusal::new(Code::UpstreamTimeout).because("the process does not read its input"))
            }
        }
    }

    /// Listens to what belongs to no call; `None` where somebody does already.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Piece>> {
        let mut state = self.state();
        if state.ended.is_some() || state.listener.as_ref().is_some_and(|known| !known.is_closed()) {
            return None;
        }
        let (outlet, pieces) = mpsc::channel(OUTLET + BACKLOG);
        for message in state.backlog.drain(..) {
            // There is room for all of them.
            let _ = outlet.try_send(Piece::Message(message));
        }
        state.listener = Some(outlet);
        state.last_used = Instant::now();
        Some(pieces)
    }

    /// Takes one line of the process's output to whom it belongs.
    pub(super) async fn deliver(&self, line: Bytes) -> Result<(), wire::Garbage> {
        let routed = {
            let mut state = self.state();
            state.last_heard = Instant::now();
            state.route(line, self.generation)?
        };
        match routed {
            Routed::Nobody => {}
            Routed::Reply(body) => drop(self.input.try_send(body)),
            Routed::To(outlet, piece) => {
                let last = matches!(piece, Piece::Answer(_));
                if outlet.send_timeout(piece, PATIENCE).await.is_err() && !last {
                    self.state().give_up(&outlet);
                }
            }
        }
        self.finish_if_drained();
        Ok(())
    }

    /// Takes no more calls; ends when the last one has its answer.
    pub(super) fn drain(&self) {
        {
            let mut state = self.state();
            state.draining = true;
            state.listener = None;
            state.calls.retain(|_, call| !call.endless);
        }
        self.finish_if_drained();
    }

    fn finish_if_drained(&self) {
        let state = self.state();
        if state.draining && state.calls.is_empty() {
            self.stop.send_if_modified(|stop| {
                let runs = *stop == Stop::Run;
                if runs {
                    *stop = Stop::Finish;
                }
                runs
            });
        }
    }

    /// Ends the process: now, or in its own way.
    pub(super) fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let harder = *stop == Stop::Run || how == Stop::Kill;
            *stop = if harder { how } else { *stop };
            harder
        });
    }

    /// Waits until the process and everything of its group is gone.
    pub(super) async fn gone(&self) {
        // The sender goes only with the supervisor, after the process.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// Everybody who waits learns that nothing more comes.
    pub(super) fn close(&self, why: String) {
        let mut state = self.state();
        state.ended = Some(why);
        state.calls.clear();
        state.listener = None;
        state.backlog.clear();
    }

    pub(super) fn why_ended(&self) -> Refusal {
        let why = self.state().ended.clone().unwrap_or_else(|| "its input was closed".to_owned());
        Refusal::new(Code::ProcessEnded).because(why)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state().draining
    }

    /// Whether it has been silent since `since`.
    pub(super) fn silent_since(&self, since: Instant) -> bool {
        self.state().last_heard < since
    }

    /// Whether nobody has asked, waited or listened for this long.
    pub(super) fn idle_for(&self, time: Duration) -> bool {
        let state = self.state();
        let listened = state.listener.as_ref().is_some_and(|listener| !listener.is_closed());
        state.calls.is_empty() && !listened && state.last_used.elapsed() > time
    }
}

/// Where a message goes.
enum Routed {
    To(mpsc::Sender<Piece>, Piece),
    /// Back to the process.
    Reply(Bytes),
    Nobody,
}

impl State {
    fn route(&mut self, line: Bytes, generation: Generation) -> Result<Routed, wire::Garbage> {
        let incoming = wire::read(&line)?;
        Ok(match incoming {
            wire::Incoming::Answer(id) => match self.calls.remove(&id) {
                Some(Call { outlet, restore, .. }) => {
                    let body = restore.map_or(line.clone(), |written| written.back_in_answer(&line));
                    Routed::To(outlet, Piece::Answer(body))
                }
                None => Routed::Nobody,
            },
            wire::Incoming::Progress(token) => {
                self.for_call(line, |call| call.token.as_deref() == Some(&token))
            }
            wire::Incoming::Subscribed(id) => match self.calls.get(&id) {
                Some(call) => call.message(&line),
                None => Routed::Nobody,
            },
            wire::Incoming::Request(id) if generation == Generation::Modern => {
                // 2026-07-28 has no requests of servers.
                Routed::Reply(wire::no_such_method(&id))
            }
            wire::Incoming::Change => self.for_listener(line),
            wire::Incoming::Request(_) | wire::Incoming::Notification => {
                if self.calls.is_empty() {
                    self.for_listener(line)
                } else {
                    self.for_call(line, |_| true)
                }
            }
        })
    }

    fn for_call(&self, line: Bytes, belongs: impl Fn(&Call) -> bool) -> Routed {
        let found = self.calls.values().find(|call| !call.endless && belongs(call));
        found.map_or(Routed::Nobody, |call| call.message(&line))
    }

    /// To who listens; else to a call, which the client reads too; else it waits for a listener.
    fn for_listener(&mut self, line: Bytes) -> Routed {
        if let Some(listener) = self.listener.as_ref().filter(|listener| !listener.is_closed()) {
            return Routed::To(listener.clone(), Piece::Message(line));
        }
        if self.backlog.len() < BACKLOG && !self.draining {
            self.backlog.push_back(line);
        }
        Routed::Nobody
    }

    fn give_up(&mut self, outlet: &mpsc::Sender<Piece>) {
        self.calls.retain(|_, call| !call.outlet.same_channel(outlet));
        if self.listener.as_ref().is_some_and(|listener| listener.same_channel(outlet)) {
            self.listener = None;
        }
    }
}

impl Call {
    fn message(&self, line: &Bytes) -> Routed {
        let restored = self.restore.as_ref().map(|written| written.back_in_message(line));
        Routed::To(self.outlet.clone(), Piece::Message(restored.unwrap_or_else(|| line.clone())))
    }
}

/// A call's claim to its messages.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) child: Arc<Child>,
    id: RawId,
    pub(super) pieces: mpsc::Receiver<Piece>,
    pub(super) done: bool,
}

impl Drop for Ticket {
    /// A caller of 2026-07-28 that leaves cancels its call; an older one that leaves does not
    /// (MCP, "Cancellation"), and the late answer finds nobody.
    fn drop(&mut self) {
        if self.done || self.child.generation == Generation::Legacy {
            return;
        }
        let known = self.child.state().calls.remove(&self.id).is_some();
        if known {
            drop(self.child.input.try_send(wire::cancelled(&self.id)));
        }
        self.child.finish_if_drained();
    }
}

#[cfg(test)]
mod tests;
