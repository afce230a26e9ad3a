//! A gate in front of a real HTTP server: lets requests through, and brings the trouble that the server
//! itself cannot be brought to. Each request has a connection of its own, so a change of mode counts for
//! the very next one.

#![allow(clippy::unwrap_used, reason = "a gate that cannot be built fails the test")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the gate does with a request.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// Hands it on.
    #[default]
    Open,
    /// Drops the connection.
    Shut,
    /// Holds it until the mode changes, and drops it then.
    Stuck,
    /// Answers it itself.
    Answer(Answer),
    /// Answers the next one itself, and is open then.
    AnswerOnce(Answer),
    /// Hands it on, and drops the connection in the middle of the server's answer.
    Cut,
    /// Hands it on, and holds the server's answer back for so long.
    Late(Duration),
}

/// An answer of the gate's own.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header lines, each with its line end.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// A gate on a loopback port of its own; gone when dropped.
#[derive(Debug)]
pub struct Gate {
    address: String,
    mode: watch::Sender<Mode>,
    asked: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// Opens a gate in front of `upstream`, which is `host:port`.
    ///
    /// # Panics
    /// Where no port can be had.
    pub async fn open(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (mode, modes) = watch::channel(Mode::Open);
        let (asked, count) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicU32>::default());
        let worker = Worker {
            upstream: upstream.to_owned(),
            modes,
            reset: mode.clone(),
            asked: asked.clone(),
            count: count.clone(),
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let worker = worker.clone();
                tokio::spawn(async move { worker.serve(stream).await });
            }
        });
        Self { address, mode, asked, count, task }
    }

    /// The address, such as `http://127.0.0.1:4711`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What happens to requests from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many requests came.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// The requests that came, as they came, and forgets them.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Worker {
    upstream: String,
    modes: watch::Receiver<Mode>,
    reset: watch::Sender<Mode>,
    asked: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU32>,
}

impl Worker {
    async fn serve(mut self, mut client: TcpStream) {
        let Some(request) = whole_request(&mut client).await else { return };
        let text = String::from_utf8_lossy(&request).into_owned();
        self.count.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        let mode = self.modes.borrow_and_update().clone();
        match mode {
            Mode::Open => self.hand_on(&request, &mut client).await,
            Mode::Cut => {
                let whole = self.answer_to(&request).await.unwrap_or_default();
                let _written = client.write_all(whole.get(..whole.len() / 2).unwrap_or_default()).await;
                let _shut = client.shutdown().await;
            }
            Mode::Late(span) => {
                let whole = self.answer_to(&request).await.unwrap_or_default();
                tokio::time::sleep(span).await;
                let _written = client.write_all(&whole).await;
                let _shut = client.shutdown().await;
            }
            Mode::Shut => {}
            Mode::Stuck => {
                let _changed = self.modes.changed().await;
            }
            Mode::Answer(answer) => answer.write(&mut client).await,
            Mode::AnswerOnce(answer) => {
                self.reset.send_replace(Mode::Open);
                answer.write(&mut client).await;
            }
        }
    }

    /// The server is asked to close, so that its answer ends with the connection.
    async fn asked(&self, request: &[u8]) -> Option<TcpStream> {
        let mut server = TcpStream::connect(&self.upstream).await.ok()?;
        let end = request.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = request.split_at(end);
        for part in [line, b"\r\nConnection: close".as_slice(), rest] {
            server.write_all(part).await.ok()?;
        }
        Some(server)
    }

    async fn answer_to(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (mut server, mut whole) = (self.asked(request).await?, Vec::new());
        server.read_to_end(&mut whole).await.ok()?;
        Some(whole)
    }

    async fn hand_on(&self, request: &[u8], client: &mut TcpStream) {
        let Some(mut server) = self.asked(request).await else { return };
        let _copied = tokio::io::copy(&mut server, client).await;
        let _shut = client.shutdown().await;
    }
}

impl Answer {
    async fn write(&self, client: &mut TcpStream) {
        let Self { status, headers, body } = self;
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} Gate\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let _written = client.write_all(text.as_bytes()).await;
        let _shut = client.shutdown().await;
    }
}

/// Head and body; only bodies of a stated length are understood.
async fn whole_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(request.get(..head)?).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if request.len() >= head.saturating_add(4).saturating_add(length.unwrap_or(0)) {
            return Some(request);
        }
    }
}
