//! Standard input and output on one side, a door of the gateway on the other. Messages pass as they were
//! written; only what HTTP needs of them is read.

mod answer;
mod events;
mod headers;
mod lines;
mod listen;
mod output;
mod send;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gateway_adapters::https::OutboundClient;
use gateway_proxy::bridge::mirror::Mirrors;
use gateway_proxy::mcp::message::{Message, MessageError, MessageFault, RawId};
use gateway_proxy::mcp::method::MethodKind;
use gateway_proxy::mcp::reply;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

pub use tokio_util::sync::CancellationToken as Ending;

use self::lines::Line;
use self::session::Talk;
use super::access::Access;
use super::door::Door;
use super::notes::Notes;
use super::trouble::{Code, Trouble};

/// How long running requests may go on once the client has closed its side.
const DRAIN: Duration = Duration::from_secs(60);
/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// Messages on their way to the client or from it, before the other side has to wait.
const QUEUE: usize = 256;
/// The largest message, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// One client, one door.
#[derive(Debug)]
pub struct Bridge {
    wire: Arc<Wire>,
    messages: mpsc::Receiver<Bytes>,
}

/// What all that runs at the same time shares.
#[derive(Debug)]
struct Wire {
    door: Door,
    http: OutboundClient,
    access: Arc<Access>,
    notes: Notes,
    out: mpsc::Sender<Bytes>,
    talk: Mutex<Talk>,
    mirrors: Mutex<Mirrors>,
    running: Mutex<HashMap<RawId, Running>>,
    tasks: TaskTracker,
    /// One renewal of the session at a time.
    renewing: tokio::sync::Mutex<()>,
}

/// A request whose answer is not there yet.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    is_modern: bool,
    is_listening: bool,
}

impl Bridge {
    /// Touches nothing yet.
    pub fn new(door: Door, http: OutboundClient, access: Arc<Access>, notes: Notes) -> Self {
        let (out, messages) = mpsc::channel(QUEUE);
        let wire = Wire {
            door,
            http,
            access,
            notes,
            out,
            talk: Mutex::default(),
            mirrors: Mutex::default(),
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            renewing: tokio::sync::Mutex::default(),
        };
        Self { wire: Arc::new(wire), messages }
    }

    /// Until the client ends its side, goes away, or `stop` says so.
    ///
    /// # Errors
    /// Standard input or output failed.
    pub async fn run<R, W>(self, input: R, output: W, stop: Ending) -> Result<(), Trouble>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let Self { wire, messages } = self;
        let (closing, gone, ended) = (Ending::new(), Ending::new(), Ending::new());
        let writing = tokio::spawn(output::write(messages, output, closing.clone(), gone.clone()));
        let (lines, received) = mpsc::channel(QUEUE);
        let closed = ended.clone().drop_guard();
        let reading = tokio::spawn(async move {
            let _closed = closed;
            lines::read(input, lines).await
        });
        let mut carrying = tokio::spawn(carry(wire.clone(), received));
        tokio::select! {
            _ = &mut carrying => drain(&wire, &stop, &gone).await,
            // A message that waits for a login keeps nobody whose client has gone.
            () = async { ended.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
            () = stop.cancelled() => {}
            () = gone.cancelled() => {}
        }
        carrying.abort();
        wire.give_up().await;
        drop(tokio::time::timeout(FAREWELL, wire.access.settle()).await);
        drop(tokio::time::timeout(FAREWELL, wire.end_session()).await);
        closing.cancel();
        let written = tokio::time::timeout(FAREWELL, writing).await;
        // A client that went away reads nothing: that is its end, and no failure of ours.
        drop(written);
        if reading.is_finished()
            && let Ok(Err(error)) = reading.await
        {
            return Err(Trouble::new(Code::Streams).because(error));
        }
        Ok(())
    }
}

/// Lets running requests come to their end. Those that only listen have none.
async fn drain(wire: &Arc<Wire>, stop: &Ending, gone: &Ending) {
    wire.tasks.close();
    for running in wire.running().values().filter(|running| running.is_listening) {
        running.task.abort();
    }
    tokio::select! {
        () = wire.tasks.wait() => {}
        () = tokio::time::sleep(DRAIN) => {}
        () = stop.cancelled() => {}
        () = gone.cancelled() => {}
    }
}

/// Takes the client's messages in their order. Requests run beside each other; what has no answer is
/// delivered before the next message is looked at.
async fn carry(wire: Arc<Wire>, mut received: mpsc::Receiver<Line>) {
    while let Some(line) = received.recv().await {
        match line {
            Line::TooLarge => wire.emit(Trouble::new(Code::TooLarge).answer(None)).await,
            Line::Message(body) => match Message::parse(&body) {
                Ok(message) => wire.take(message, body).await,
                Err(error) => wire.refuse(&error, &body).await,
            },
        }
    }
}

impl Wire {
    async fn take(self: &Arc<Self>, message: Message, body: Bytes) {
        match message {
            Message::Request { .. } => self.begin(message, body),
            Message::Notification(ref call) if call.kind == MethodKind::Cancelled => {
                let cancelled = call.params.cancels.as_ref();
                if !cancelled.is_some_and(|id| self.cancel(id)) {
                    self.tell(&message, &body).await;
                }
            }
            Message::Notification(ref call) => {
                let begins = call.kind == MethodKind::Initialized;
                if self.tell(&message, &body).await && begins {
                    self.tasks_beside(listen::listen(self.clone()));
                }
            }
            Message::Response { .. } => {
                self.tell(&message, &body).await;
            }
        }
    }

    /// Runs beside everything, and holds up no end.
    fn tasks_beside(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn begin(self: &Arc<Self>, message: Message, body: Bytes) {
        let Message::Request { id, call } = &message else { return };
        let (id, is_modern) = (id.clone(), self.is_modern(&message));
        let is_listening = call.kind == MethodKind::Listen;
        let wire = self.clone();
        // Not before it stands in the table: it might be over by then.
        let mut running = self.running();
        let key = id.clone();
        let task = self.tasks.spawn(async move {
            let carried = Box::pin(wire.ask(&id, &message, &body)).await;
            wire.running().remove(&id);
            if let Err(trouble) = carried {
                wire.emit(trouble.answer(Some(&id))).await;
            }
        });
        running.insert(key, Running { task: task.abort_handle(), is_modern, is_listening });
    }

    /// In the modern generation a request is cancelled by ending its connection (2026-07-28, Streamable
    /// HTTP, "Cancellation"). Whether nothing else is to be done.
    fn cancel(&self, id: &RawId) -> bool {
        let mut running = self.running();
        match running.get(id) {
            Some(found) if found.is_modern => {
                found.task.abort();
                running.remove(id);
                true
            }
            Some(_) => false,
            // It is over, and the modern generation has no such message on HTTP.
            None => !self.talk().has_begun(),
        }
    }

    /// Answers what is no message, each request in a batch by itself.
    async fn refuse(&self, error: &MessageError, body: &[u8]) {
        let ids = if error.fault == MessageFault::Batch { ids_of_batch(body) } else { Vec::new() };
        let answer = |id: Option<&RawId>| {
            let data = serde_json::json!({"code": "request.malformed", "cause": error.fault.to_string()});
            reply::error(id, error.fault.code(), &error.fault.to_string(), Some(&data))
        };
        if ids.is_empty() {
            self.emit(answer(error.id.as_ref())).await;
        }
        for id in ids {
            self.emit(answer(Some(&id))).await;
        }
    }

    /// To the client. Where the client has gone there is nobody to tell.
    async fn emit(&self, message: Bytes) {
        drop(self.out.send(message).await);
    }

    /// Answers what will have no answer any more.
    async fn give_up(&self) {
        let left: Vec<RawId> = {
            let mut running = self.running();
            for one in running.values() {
                one.task.abort();
            }
            running.drain().map(|(id, _)| id).collect()
        };
        for id in left {
            let answer = Trouble::new(Code::Stopped).answer(Some(&id));
            // A client that reads nothing must not keep the process.
            drop(tokio::time::timeout(FAREWELL, self.emit(answer)).await);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<RawId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn talk(&self) -> std::sync::MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ids_of_batch(body: &[u8]) -> Vec<RawId> {
    let elements: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
    let requests = elements.iter().filter(|one| one.get("method").is_some());
    let ids = requests.filter_map(|one| RawId::parse(&one.get("id")?.to_string()).ok()?);
    ids.collect()
}

#[cfg(test)]
mod tests;
