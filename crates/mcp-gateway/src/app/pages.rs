//! The pages for machines: health, figures and public keys.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_adapters::audit::{AuditLog, AuditSinks, Checkpointer, Durability, PublicKey};
use gateway_adapters::traces::TraceExporter;
use gateway_control::{Readiness, SinkReadiness, StatusPages};
use gateway_core::figures::{Exposition, Figure};
use gateway_core::review::ReviewStage;
use gateway_core::stores::Stores;
use gateway_core::time::Clock as _;
use gateway_proxy::gateway::Gateway;

use super::process;
use super::replicas::{Moment, Replicas};
use super::system::SystemClock;

/// Health, figures and public keys.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) gateway: Arc<Gateway>,
    pub(super) log: Arc<AuditLog>,
    pub(super) durability: Durability,
    pub(super) sinks: Arc<AuditSinks>,
    pub(super) traces: Option<Arc<TraceExporter>>,
    pub(super) stores: Arc<Stores>,
    pub(super) checkpointer: Arc<Checkpointer>,
    pub(super) replicas: Option<Arc<Replicas>>,
}

#[async_trait]
impl StatusPages for Pages {
    async fn readiness(&self) -> Readiness {
        let mut waiting_for = Vec::new();
        let bound = self.gateway.settings.staleness_other;
        if !self.gateway.world.is_fresh(SystemClock.now(), bound) {
            waiting_for
                .push("the state has not been seen to be current: check the state database".to_owned());
        }
        let status = self.log.status();
        if let Some(why) = status.failed {
            waiting_for.push(format!("the audit log cannot be written: {why}"));
        }
        if status.disk_low {
            waiting_for.push("the audit log's disk is below its reserve".to_owned());
        }
        // A dead sink delays evidence and harms no call: it is told, and keeps nobody waiting.
        let sinks = self.sinks.statuses().into_iter().map(|sink| SinkReadiness {
            name: sink.name,
            kind: sink.kind.word().to_owned(),
            delivered: sink.sent.0,
            lag: sink.lag,
            failing: sink.failures > 0,
        });
        Readiness { waiting_for, sinks: sinks.collect() }
    }

    fn metrics(&self) -> String {
        let mut all = self.gateway.figures();
        all.value(Figure::Epoch, self.gateway.world.epoch());
        all.value(Figure::StateAge, self.gateway.world.age(SystemClock.now()).as_secs_f64());
        self.replicas(&mut all);
        self.bindings(&mut all);
        self.stores(&mut all);
        self.evidence(&mut all);
        self.sinks(&mut all);
        if let Some(traces) = &self.traces {
            let (exported, dropped) = traces.counted();
            all.value(Figure::TracesExported, exported);
            all.value(Figure::TracesDropped, dropped);
        }
        process::figures(&mut all);
        all.into_text()
    }

    fn jwks(&self) -> serde_json::Value {
        // Serialising keys cannot fail; an empty set would verify nothing.
        PublicKey::to_jwks(&self.checkpointer.public_keys())
            .unwrap_or_else(|_| serde_json::json!({"keys": []}))
    }
}

impl Pages {
    fn replicas(&self, all: &mut Exposition) {
        let others = self.replicas.as_ref().map_or(0, |replicas| replicas.others(Moment::now()));
        all.value(Figure::Replicas, others.saturating_add(1));
    }

    fn bindings(&self, all: &mut Exposition) {
        let (world, now) = (self.gateway.world.current(), SystemClock.now());
        let locks = world.snapshot.locks().iter().filter(|lock| lock.stands_at(now)).count();
        all.value(Figure::Locks, locks);
        let looked_after = world.snapshot.looked_after();
        let overdue = looked_after.iter().filter(|binding| binding.rotation_due(now)).count();
        all.value(Figure::RotationsOverdue, overdue);
        // A watched binding is always held at the version that the server took.
        let held = looked_after.iter().filter(|binding| binding.is_held_back).count();
        all.value(Figure::RotationsHeld, held);
        all.value(Figure::VersionsDraining, world.snapshot.draining().len());
        let count = |stage| world.snapshot.reviews().iter().filter(|one| one.stage(now) == stage).count();
        all.value(Figure::ReviewsDue, count(ReviewStage::Due));
        all.value(Figure::ReviewsOverdue, count(ReviewStage::Overdue));
    }

    fn stores(&self, all: &mut Exposition) {
        let mut stores: Vec<_> =
            self.stores.entries().map(|(name, entry)| (name.as_str(), entry.store.figures())).collect();
        stores.sort_by_key(|(name, _)| *name);
        let mut each = |figure, value: fn(&gateway_core::ports::StoreFigures) -> u64| {
            let mut samples = all.figure(figure);
            stores.iter().for_each(|(name, figures)| samples.value(&[name], value(figures)));
        };
        each(Figure::StoreHits, |figures| figures.hits);
        each(Figure::StoreFetches, |figures| figures.fetches);
        each(Figure::StoreFailures, |figures| figures.failures);
        each(Figure::StoreResting, |figures| u64::from(figures.resting));
    }

    fn evidence(&self, all: &mut Exposition) {
        let status = self.log.status();
        all.value(Figure::AuditRecords, status.sequence.0);
        all.value(Figure::AuditBytes, status.bytes);
        all.value(Figure::AuditFailed, u8::from(status.failed.is_some()));
        all.value(Figure::AuditDiskLow, u8::from(status.disk_low));
        let durability = match self.durability {
            Durability::Fsync => "fsync",
            Durability::Process => "process",
        };
        all.figure(Figure::AuditDurability).value(&[durability], 1);
    }

    fn sinks(&self, all: &mut Exposition) {
        let statuses = self.sinks.statuses();
        let mut each = |figure, value: fn(&gateway_adapters::audit::SinkStatus) -> u64| {
            let mut samples = all.figure(figure);
            statuses.iter().for_each(|sink| samples.value(&[&sink.name, sink.kind.word()], value(sink)));
        };
        each(Figure::SinkSequence, |sink| sink.sent.0);
        each(Figure::SinkLag, |sink| sink.lag);
        each(Figure::SinkFailures, |sink| u64::from(sink.failures));
    }
}
