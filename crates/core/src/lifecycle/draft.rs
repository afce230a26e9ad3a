//! A change in the making: every step is carried out on a copy of the state, so that later steps
//! see the earlier ones, and leaves its evidence.

use super::perform::perform;
use super::rule::{Finding, STATE_STEP};
use crate::audit::{BindingRevision, Decision, Event, EventKind};
use crate::id::{OperatorName, Revision};
use crate::manifest::{ObjectKey, Spec};
use crate::state::{Approval, Change, Lifecycle, Operation, Pins, RevisionRecord, State};
use crate::time::Timestamp;

pub(super) struct Draft {
    pub(super) state: State,
    /// Who acts; absent for the gateway itself.
    pub(super) operator: Option<OperatorName>,
    pub(super) now: Timestamp,
    operations: Vec<Operation>,
    events: Vec<Event>,
}

impl Draft {
    pub(super) fn new(state: &State, operator: Option<&OperatorName>, now: Timestamp) -> Self {
        let operator = operator.cloned();
        Self { state: state.clone(), operator, now, operations: Vec::new(), events: Vec::new() }
    }

    pub(super) fn step(&mut self, operation: Operation) -> Result<(), Vec<Finding>> {
        perform(&mut self.state, &operation).map_err(|error| vec![Finding::general(&STATE_STEP, error)])?;
        self.operations.push(operation);
        Ok(())
    }

    /// Writes a revision as the next of its object and says which it became.
    pub(super) fn insert(&mut self, new: NewRevision<'_>) -> Result<Revision, Vec<Finding>> {
        let key = new.spec.key();
        let record = RevisionRecord {
            revision: self.state.next_revision(&key),
            content: new.spec.content_hash(),
            spec: new.spec.clone(),
            status: new.status,
            author: new.author.clone(),
            created_at: self.now,
            changed_at: self.now,
            approvals: new.approvals,
            pins: new.pins,
            key,
        };
        self.events.push(self.event(new.evidence, &record));
        let revision = record.revision;
        self.step(Operation::InsertRevision(Box::new(record)))?;
        Ok(revision)
    }

    /// Moves a revision, silently where a louder event already tells it.
    pub(super) fn status(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
        status: Lifecycle,
        evidence: Option<EventKind>,
    ) -> Result<(), Vec<Finding>> {
        self.step(Operation::SetStatus { key: key.clone(), revision, status, at: self.now })?;
        if let (Some(kind), Some(record)) = (evidence, self.state.exact(key, revision)) {
            let event = self.event(kind, record);
            self.events.push(event);
        }
        Ok(())
    }

    pub(super) fn sign(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
        approval: Approval,
    ) -> Result<(), Vec<Finding>> {
        self.step(Operation::AddApproval { key: key.clone(), revision, approval })?;
        if let Some(record) = self.state.exact(key, revision) {
            let event = self.event(EventKind::ObjectApproved, record);
            self.events.push(event);
        }
        Ok(())
    }

    pub(super) fn pin(
        &mut self,
        key: &ObjectKey,
        revision: Revision,
        pins: Pins,
    ) -> Result<(), Vec<Finding>> {
        self.step(Operation::SetPins { key: key.clone(), revision, pins })
    }

    pub(super) fn note(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn event(&self, kind: EventKind, record: &RevisionRecord) -> Event {
        let mut event = Event::new(kind, self.now).about(record.key.clone(), record.revision);
        event.operator.clone_from(&self.operator);
        event.decision = Some(Decision::Allow);
        event.content = Some(record.content);
        event.status = Some(record.status.word().to_owned());
        if let Spec::Binding(spec) = &record.spec {
            event.server = Some(spec.server.clone());
            event.mode = Some(spec.mode);
            event.binding = Some(BindingRevision { name: spec.name.clone(), revision: record.revision });
        }
        event
    }

    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.events.is_empty()
    }

    pub(super) fn finish(self) -> Change {
        Change { expected: self.state.epoch, operations: self.operations, events: self.events }
    }
}

/// What a new revision consists of.
pub(super) struct NewRevision<'a> {
    pub(super) spec: &'a Spec,
    pub(super) status: Lifecycle,
    pub(super) author: &'a OperatorName,
    pub(super) pins: Option<Pins>,
    pub(super) approvals: Vec<Approval>,
    pub(super) evidence: EventKind,
}
