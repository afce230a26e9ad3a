//! Everything under way: which uses run under which binding, and how they are stopped.
//!
//! A use enters its binding's gate before its intent is recorded and leaves it with the last byte.
//! Entering first counts and then looks whether the gate is closed; closing first closes and then
//! waits for the count: so after a revocation has been acknowledged, nothing runs and nothing starts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use gateway_core::id::{BindingName, EnvironmentName, ServerName};
use gateway_core::refusal::{Code, Refusal};
use tokio::sync::Notify;

/// A binding across its revisions.
pub type BindingKey = (EnvironmentName, BindingName);

/// All gates.
#[derive(Debug, Default)]
pub struct Live {
    gates: Mutex<HashMap<BindingKey, Arc<Gate>>>,
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
    /// The server it goes to.
    pub server: ServerName,
    /// Whether it answers with a stream.
    streaming: AtomicBool,
    stopped: AtomicBool,
    waker: AtomicWaker,
}

/// Presence in a gate; leaving it is dropping this.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    number: u64,
    running: Arc<Running>,
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

    /// Enters the binding's gate.
    ///
    /// # Errors
    /// [`Code::BindingEnded`] where it is closed.
    pub fn enter(&self, key: &BindingKey, server: &ServerName) -> Result<Pass, Refusal> {
        let gate = self.gate(key);
        let running = Arc::new(Running {
            server: server.clone(),
            streaming: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let number = gate.next.fetch_add(1, Ordering::Relaxed);
        locked(&gate.running).insert(number, Arc::clone(&running));
        let pass = Pass { gate, number, running };
        // The lock above orders this after the count: a closer that misses us is seen here.
        if pass.gate.closed.load(Ordering::SeqCst) { Err(Code::BindingEnded.into()) } else { Ok(pass) }
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
            let count = if running.streaming.load(Ordering::Acquire) { &mut streams } else { &mut calls };
            *count = count.saturating_add(1);
            running.stop();
        }
        let empty = async {
            loop {
                let left = gate.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if locked(&gate.running).is_empty() {
                    return;
                }
                left.await;
            }
        };
        match tokio::time::timeout(deadline, empty).await {
            Ok(()) => Ok((calls, streams)),
            Err(_) => Err(Refusal::new(Code::Internal).because("uses of the binding did not end in time")),
        }
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
        let streams = running.values().filter(|running| running.streaming.load(Ordering::Acquire)).count();
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (narrow(running.len().saturating_sub(streams)), narrow(streams))
    }

    /// Everything under way, over all bindings: calls and streams.
    pub fn totals(&self) -> (u64, u64) {
        let gates: Vec<Arc<Gate>> = locked(&self.gates).values().cloned().collect();
        gates.iter().fold((0, 0), |(calls, streams), gate| {
            let running = locked(&gate.running);
            let live = running.values().filter(|use_| use_.streaming.load(Ordering::Acquire)).count() as u64;
            (calls + (running.len() as u64).saturating_sub(live), streams + live)
        })
    }
}

impl Running {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

impl Pass {
    /// Marks the use as a stream, which revocation evidence counts apart.
    pub fn streams(&self) {
        self.running.streaming.store(true, Ordering::Release);
    }

    /// Stops this one use: its binding no longer permits it.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Whether the use must stop; wakes `waker` when that changes.
    pub fn poll_stopped(&self, context: &mut Context<'_>) -> Poll<()> {
        self.register(context.waker());
        if self.running.stopped.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the use must stop.
    pub async fn stopped(&self) {
        std::future::poll_fn(|context| self.poll_stopped(context)).await;
    }

    fn register(&self, waker: &Waker) {
        self.running.waker.register(waker);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut running = locked(&self.gate.running);
        running.remove(&self.number);
        let empty = running.is_empty();
        drop(running);
        if empty {
            self.gate.left.notify_waiters();
        }
    }
}
