//! Which generation a server speaks, as far as it is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::manifest::{ContentHash, Spoken};
use gateway_core::snapshot::ActiveBinding;
use gateway_core::time::Timestamp;

/// What is known of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It answers modern requests; perhaps handshakes too.
    Modern,
    /// It answers modern requests only.
    ModernOnly,
    /// It answers handshakes and sessions only.
    LegacyOnly,
}

/// How long what was learnt is believed: a server may be replaced by one of the other generation.
const AGE: Duration = Duration::from_secs(10 * 60);

/// How many routes are remembered.
const ROUTES: usize = 4_096;

/// What was learnt of each route. Read on every modern call, written once for each route and [`AGE`].
#[derive(Debug, Default)]
pub struct Generations {
    learnt: ArcSwap<HashMap<ContentHash, Vec<Learnt>>>,
}

#[derive(Debug, Clone)]
struct Learnt {
    environment: EnvironmentName,
    server: ServerName,
    known: Known,
    at: Timestamp,
}

impl Learnt {
    fn is_of(&self, binding: &ActiveBinding) -> bool {
        self.environment == binding.spec.environment && self.server == binding.spec.server
    }
}

impl Generations {
    /// What the binding's route says, else what was learnt of it.
    pub fn of(&self, binding: &ActiveBinding, now: Timestamp) -> Option<Known> {
        match binding.route.generation() {
            Some(Spoken::Legacy) => return Some(Known::LegacyOnly),
            Some(Spoken::Modern) => return Some(Known::ModernOnly),
            None => {}
        }
        let learnt = self.learnt.load();
        let entry = learnt.get(&binding.route_id)?.iter().find(|entry| entry.is_of(binding))?;
        (now.since(entry.at) <= AGE).then_some(entry.known)
    }

    /// Keeps what was learnt.
    pub fn note(&self, binding: &ActiveBinding, known: Known, now: Timestamp) {
        let entry = Learnt {
            environment: binding.spec.environment.clone(),
            server: binding.spec.server.clone(),
            known,
            at: now,
        };
        self.learnt.rcu(|learnt| {
            let mut learnt = HashMap::clone(learnt);
            if learnt.len() >= ROUTES {
                // Everything can be learnt again.
                learnt.clear();
            }
            let entries = learnt.entry(binding.route_id).or_default();
            entries.retain(|known| !known.is_of(binding));
            entries.push(entry.clone());
            Arc::new(learnt)
        });
    }
}
