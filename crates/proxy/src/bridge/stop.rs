//! A client's wish that one request stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Set once; one task at a time waits for it.
#[derive(Debug, Default)]
pub struct Stop {
    set: AtomicBool,
    waker: AtomicWaker,
}

impl Stop {
    /// Stops the request.
    pub fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Whether it must stop; wakes the task when that changes.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.set.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until it must stop.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }
}
