//! What the log keeps in memory about its newest records.

use std::collections::{HashMap, VecDeque};

use gateway_core::audit::{Event, EventKind};
use gateway_core::id::{Epoch, RequestId};
use gateway_core::ports::Sequence;

/// Outbox ids kept. A state database drains a few hundred at a time, so a crash can repeat only those.
const OUTBOX_IDS: usize = 16_384;

/// Open intents, recent outbox ids and the epoch's high-water mark.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) epoch: Epoch,
    /// Per request: its first open intent, and how many are open.
    open: HashMap<RequestId, (Sequence, u32)>,
    outbox: HashMap<String, Sequence>,
    outbox_order: VecDeque<String>,
}

impl Remembered {
    pub(super) fn see(&mut self, event: &Event, sequence: Sequence) {
        self.see_use(event.kind, event.request_id.as_ref(), sequence);
        self.epoch = self.epoch.max(event.epoch.unwrap_or_default());
        if let Some(id) = &event.outbox_id {
            self.see_outbox(id.clone(), sequence);
        }
    }

    pub(super) fn see_use(&mut self, kind: EventKind, request: Option<&RequestId>, sequence: Sequence) {
        let Some(request) = request else { return };
        match kind {
            EventKind::Intent => {
                let (_, count) = self.open.entry(request.clone()).or_insert((sequence, 0));
                *count = count.saturating_add(1);
            }
            EventKind::Outcome | EventKind::OutcomeUnknown => {
                let Some((_, count)) = self.open.get_mut(request) else { return };
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.open.remove(request);
                }
            }
            _ => {}
        }
    }

    pub(super) fn see_outbox(&mut self, id: String, sequence: Sequence) {
        if self.outbox.insert(id.clone(), sequence).is_none() {
            self.outbox_order.push_back(id);
        }
        while self.outbox_order.len() > OUTBOX_IDS {
            if let Some(oldest) = self.outbox_order.pop_front() {
                self.outbox.remove(&oldest);
            }
        }
    }

    /// The oldest record that is still open, or `next` where none is.
    pub(super) fn open_from(&self, next: Sequence) -> Sequence {
        self.open.values().map(|(sequence, _)| *sequence).min().unwrap_or(next)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.values().map(|(_, count)| usize::try_from(*count).unwrap_or(usize::MAX)).sum()
    }

    pub(super) fn outbox_sequence(&self, id: &str) -> Option<Sequence> {
        self.outbox.get(id).copied()
    }

    pub(super) fn outbox_ids(&self) -> Vec<String> {
        self.outbox_order.iter().cloned().collect()
    }
}
