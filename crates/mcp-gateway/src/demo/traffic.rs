//! Continuous traffic: callers that call without pause and check every answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::call::{tool, web};
use super::collected::Collected;
use super::failure::Failure;

/// What came of the calls so far.
#[derive(Default)]
pub(super) struct Tally {
    calls: AtomicU64,
    failures: AtomicU64,
    first_failure: Mutex<Option<String>>,
    stop: AtomicBool,
}

/// Who calls what, and what a good answer shows.
#[derive(Clone)]
pub(super) struct Errand {
    /// The door.
    pub(super) url: String,
    /// The agent's token.
    pub(super) bearer: String,
    /// One of these has to be in the answer: the beginnings of the hashes of good keys.
    pub(super) expected: Vec<String>,
}

/// Callers at work.
pub(super) struct Traffic {
    tally: Arc<Tally>,
    // How many calls each caller has ended.
    ended: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<()>>,
    began: Instant,
}

/// The figures of ended traffic.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) seconds: f64,
    pub(super) first_failure: Option<String>,
}

impl Figures {
    /// Calls a second, rounded down.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate for people, of small positive numbers"
    )]
    pub(super) fn rate(&self) -> u64 {
        (self.calls as f64 / self.seconds.max(0.001)) as u64
    }
}

impl Traffic {
    /// Sends the callers off.
    pub(super) fn start(callers: usize, errand: &Errand, collected: &Collected) -> Result<Self, Failure> {
        let tally = Arc::new(Tally::default());
        let (mut tasks, mut ended) = (Vec::with_capacity(callers), Vec::with_capacity(callers));
        for _ in 0..callers {
            let own = Arc::new(AtomicU64::new(0));
            ended.push(Arc::clone(&own));
            let (web, tally, errand, collected) =
                (web()?, Arc::clone(&tally), errand.clone(), collected.clone());
            tasks.push(tokio::spawn(async move {
                while !tally.stop.load(Ordering::SeqCst) {
                    let outcome = once(&web, &errand, &collected).await;
                    tally.note(outcome);
                    own.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        Ok(Self { tally, ended, tasks, began: Instant::now() })
    }

    /// Calls answered so far.
    pub(super) fn calls(&self) -> u64 {
        self.tally.calls.load(Ordering::SeqCst)
    }

    /// How many calls each caller has ended.
    pub(super) fn marks(&self) -> Vec<u64> {
        self.ended.iter().map(|ended| ended.load(Ordering::SeqCst)).collect()
    }

    /// Whether every call that was under way at the marks has ended, and each caller made another.
    pub(super) fn is_past(&self, marks: &[u64]) -> bool {
        self.marks().iter().zip(marks).all(|(now, then)| *now >= then.saturating_add(2))
    }

    /// Calls the callers back; every call that is under way is still counted.
    pub(super) async fn stop(self) -> Figures {
        self.tally.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            if task.await.is_err() {
                self.tally.note(Err(Failure::new("a caller broke off")));
            }
        }
        let first = self.tally.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Figures {
            calls: self.tally.calls.load(Ordering::SeqCst),
            failures: self.tally.failures.load(Ordering::SeqCst),
            seconds: self.began.elapsed().as_secs_f64(),
            first_failure: first,
        }
    }
}

impl Tally {
    fn note(&self, outcome: Result<(), Failure>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if let Err(failure) = outcome {
            self.failures.fetch_add(1, Ordering::SeqCst);
            let mut first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| failure.to_string());
        }
    }
}

async fn once(web: &reqwest::Client, errand: &Errand, collected: &Collected) -> Result<(), Failure> {
    let response = tool(web, &errand.url, &errand.bearer, "whoami").await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    let good = status == 200 && errand.expected.iter().any(|prefix| text.contains(prefix));
    let outcome = if good {
        Ok(())
    } else {
        Err(Failure::new(format!("{status}: {}", text.chars().take(200).collect::<String>())))
    };
    collected.keep("an answer to continuous traffic", text);
    outcome
}
