//! The control plane's own ports, wired to adapters.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_adapters::audit::{
    AuditLog, Checkpointer, Filter, Found, Index, Order, VerifyReport, verify_directory,
};
use gateway_adapters::identity::TokenKind;
use gateway_control::{
    AuditEntry, AuditOrder, AuditPage, AuditProblem, AuditQuery, AuditReadError, AuditReader, AuditVerdict,
    SnapshotSource, TokenKind as Wanted, TokenMinter,
};
use gateway_core::audit::ChainId;
use gateway_core::identity::TokenDigest;
use gateway_core::ports::{Random as _, Sequence};
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_proxy::gateway::Gateway;
use zeroize::Zeroizing;

use super::system::SystemEntropy;

/// How many records are given where nobody says.
const PAGE: u32 = 100;
const MOST: u32 = 1_000;

/// Reads the evidence of this process.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) log: Arc<AuditLog>,
    pub(super) index: Arc<Index>,
    pub(super) checkpointer: Arc<Checkpointer>,
}

impl Evidence {
    /// Reading walks files, so it leaves the runtime's threads alone.
    async fn off_thread<T: Send + 'static>(
        &self,
        read: impl FnOnce(&AuditLog) -> Result<T, String> + Send + 'static,
    ) -> Result<T, AuditReadError> {
        let log = Arc::clone(&self.log);
        let done = tokio::task::spawn_blocking(move || read(&log)).await;
        done.map_err(|error| AuditReadError(error.to_string()))?.map_err(AuditReadError)
    }
}

#[async_trait]
impl AuditReader for Evidence {
    async fn search(&self, query: &AuditQuery) -> Result<AuditPage, AuditReadError> {
        let order = match query.order {
            AuditOrder::NewestFirst => Order::NewestFirst,
            AuditOrder::OldestFirst => Order::OldestFirst,
        };
        let limit = usize::try_from(query.limit.unwrap_or(PAGE).min(MOST)).unwrap_or(usize::MAX);
        let filter = filter(query)?;
        let index = Arc::clone(&self.index);
        let found = self.off_thread(move |log| {
            let reader = log.reader().map_err(|error| error.to_string())?.with_index(index);
            reader.search(&filter, order, limit).map_err(|error| error.to_string())
        });
        found.await.map(|found| page(found, self.log.chain()))
    }

    async fn tail(&self, after: Sequence, limit: u32) -> Result<AuditPage, AuditReadError> {
        let limit = usize::try_from(limit.min(MOST)).unwrap_or(usize::MAX);
        let found = self.off_thread(move |log| {
            let reader = log.reader().map_err(|error| error.to_string())?;
            reader.tail(after, limit).map_err(|error| error.to_string())
        });
        found.await.map(|found| page(found, self.log.chain()))
    }

    async fn verify(&self) -> Result<AuditVerdict, AuditReadError> {
        let keys = self.checkpointer.public_keys();
        let report = self.off_thread(move |log| {
            log.flush().map_err(|error| error.to_string())?;
            verify_directory(log.directory(), &keys, None).map_err(|error| error.to_string())
        });
        report.await.map(|report| verdict(&report))
    }
}

/// The query's conditions as the log's: both have the same names, which the log refuses where it has none.
fn filter(query: &AuditQuery) -> Result<Filter, AuditReadError> {
    let mut conditions = serde_json::to_value(query).unwrap_or_default();
    if let Some(fields) = conditions.as_object_mut() {
        for other in ["order", "limit", "cursor"] {
            fields.remove(other);
        }
    }
    let mut filter: Filter =
        serde_json::from_value(conditions).map_err(|error| AuditReadError(error.to_string()))?;
    if let Some(cursor) = query.cursor.map(Sequence) {
        match query.order {
            AuditOrder::NewestFirst => filter.before = filter.before.into_iter().chain([cursor]).min(),
            AuditOrder::OldestFirst => filter.after = filter.after.into_iter().chain([cursor]).max(),
        }
    }
    Ok(filter)
}

fn page(found: Found, chain: ChainId) -> AuditPage {
    let entry = |stored: gateway_adapters::audit::Stored| AuditEntry {
        sequence: stored.sequence,
        hash: stored.hash.to_string(),
        event: stored.event,
    };
    let last = found.records.last().map(|stored| stored.sequence.0);
    AuditPage {
        records: found.records.into_iter().map(entry).collect(),
        more: found.more,
        next: last.filter(|_| found.more),
        chain: Some(chain.to_string()),
        unreadable: found.unreadable,
    }
}

fn verdict(report: &VerifyReport) -> AuditVerdict {
    AuditVerdict {
        holds: report.holds(),
        records: report.records,
        segments: report.segments,
        checkpoints: report.checkpoints,
        begins_after: report.begins_after.map(|sequence| sequence.0),
        last_hash: report.last_hash.map(|hash| hash.to_string()),
        problem: report.first_problem.map(|problem| AuditProblem {
            segment: problem.segment,
            sequence: problem.sequence.0,
            message: problem.kind.to_string(),
        }),
    }
}

/// Makes tokens of the operating system's randomness.
#[derive(Debug)]
pub(super) struct Minter(pub(super) Arc<SystemEntropy>);

impl TokenMinter for Minter {
    fn mint(&self, kind: Wanted) -> (Secret, TokenDigest) {
        let mut random = Zeroizing::new([0_u8; 32]);
        self.0.fill(&mut *random);
        let kind = match kind {
            Wanted::Agent => TokenKind::Agent,
            Wanted::Operator => TokenKind::Operator,
        };
        let minted = kind.mint(&random);
        (minted.token, minted.digest)
    }
}

/// What decides now.
#[derive(Debug)]
pub(super) struct Current(pub(super) Arc<Gateway>);

impl SnapshotSource for Current {
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.world.current().snapshot)
    }
}
