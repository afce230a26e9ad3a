//! What the gateway keeps for a client of the older generation whose server has no sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::level::Level;
use super::mirror::{Mirror, Mirrors};
use super::stop::Stop;
use super::to_modern::Client;
use crate::mcp::message::RawId;

/// How many tools' annotations are kept for one session.
const TOOLS: usize = 4_096;

/// The state of one client's session.
#[derive(Debug)]
pub struct Bridged {
    /// What the client said of itself.
    pub client: Client,
    level: Mutex<Option<Level>>,
    mirrors: Mutex<Mirrors>,
    running: Mutex<HashMap<RawId, Arc<Stop>>>,
}

/// A request under way, which the client may cancel.
#[derive(Debug)]
pub struct Running {
    session: Arc<Bridged>,
    id: RawId,
    /// Set when the client cancels.
    pub stop: Arc<Stop>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = locked(&self.session.running);
        // Another request may have taken the id meanwhile.
        if running.get(&self.id).is_some_and(|known| Arc::ptr_eq(known, &self.stop)) {
            running.remove(&self.id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bridged {
    /// A session that begins.
    pub fn new(client: Client) -> Self {
        Self { client, level: Mutex::default(), mirrors: Mutex::default(), running: Mutex::default() }
    }

    /// The severity that the client asked for.
    pub fn level(&self) -> Option<Level> {
        *locked(&self.level)
    }

    /// Keeps the severity that the client asks for.
    pub fn set_level(&self, level: Level) {
        *locked(&self.level) = Some(level);
    }

    /// The mirrored arguments of a tool, where a list has told them.
    pub fn mirrors(&self, tool: &str) -> Option<Vec<Mirror>> {
        locked(&self.mirrors).get(tool).cloned()
    }

    /// Keeps what a list tells.
    pub fn learn(&self, told: Mirrors) {
        let mut mirrors = locked(&self.mirrors);
        if mirrors.len() + told.len() > TOOLS {
            mirrors.clear();
        }
        mirrors.extend(told.into_iter().take(TOOLS));
    }

    /// Counts a request in.
    pub fn begin(self: &Arc<Self>, id: &RawId) -> Running {
        let stop = Arc::new(Stop::default());
        locked(&self.running).insert(id.clone(), Arc::clone(&stop));
        Running { session: Arc::clone(self), id: id.clone(), stop }
    }

    /// Stops the request of this id, if it still runs.
    pub fn cancel(&self, id: &RawId) {
        if let Some(stop) = locked(&self.running).get(id) {
            stop.set();
        }
    }
}
