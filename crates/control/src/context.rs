//! What the routes work with.

use std::sync::Arc;

use gateway_core::audit::Event;
use gateway_core::grant::GrantTokenKeeper;
use gateway_core::id::RequestId;
use gateway_core::lifecycle::{Context, Facts};
use gateway_core::operator::Operator;
use gateway_core::policy::PolicyCompiler;
use gateway_core::ports::{
    AuditSink, CredentialProbe, IdentityVerifier, LiveSessions, LiveTraffic, Publisher, Random, Sequence,
    StateWriter, Tickets,
};
use gateway_core::secret::FingerprintKey;
use gateway_core::state::{Change, State};
use gateway_core::stores::Stores;
use gateway_core::time::{Clock, Timestamp};

use crate::documents::Documents;
use crate::masking::Presentation;
use crate::ports::{AuditReader, OperatorVerifier, SnapshotSource, StatusPages, TokenMinter};
use crate::trial::Trial;
use crate::underway::Revoking;

/// How often evidence is filed anew because another replica was faster.
const OUTBOX_TRIES: usize = 5;

/// Everything the control plane is wired to.
#[derive(Debug)]
pub struct ControlContext {
    /// The state.
    pub state: Arc<dyn StateWriter>,
    /// The configured stores.
    pub stores: Arc<Stores>,
    /// What the configuration says that manifests are judged by.
    pub facts: Facts,
    /// What the configuration says about how things are shown.
    pub presentation: Presentation,
    /// Brings changes to the data plane and evidence to the chain.
    pub publisher: Arc<dyn Publisher>,
    /// The traffic that revocation ends.
    pub live: Arc<dyn LiveTraffic>,
    /// Who keeps the tokens of users' grants.
    pub grants: Arc<dyn GrantTokenKeeper>,
    /// The sessions that operators list and end.
    pub sessions: Arc<dyn LiveSessions>,
    /// Tries credentials at upstreams.
    pub probe: Arc<dyn CredentialProbe>,
    /// Where evidence goes.
    pub audit: Arc<dyn AuditSink>,
    /// Where evidence is read.
    pub audit_reader: Arc<dyn AuditReader>,
    /// The short-lived records that the replicas share.
    pub tickets: Arc<dyn Tickets>,
    /// The documents of revocations.
    pub documents: Documents,
    /// The revocations that are under way in this process.
    pub revoking: Revoking,
    /// Compiles policies.
    pub compiler: Arc<dyn PolicyCompiler>,
    /// What decides now.
    pub snapshots: Arc<dyn SnapshotSource>,
    /// Who operators are.
    pub operators: Arc<dyn OperatorVerifier>,
    /// Verifies what callers of the data plane present, to explain it.
    pub identities: Arc<dyn IdentityVerifier>,
    /// Makes tokens.
    pub tokens: Arc<dyn TokenMinter>,
    /// Health, metrics and keys.
    pub pages: Arc<dyn StatusPages>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The key of fingerprints.
    pub fingerprints: FingerprintKey,
}

impl ControlContext {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn request_id(&self) -> RequestId {
        let mut random = [0_u8; 10];
        self.random.fill(&mut random);
        RequestId::mint(self.now(), random)
    }

    pub(crate) fn token_id(&self) -> String {
        let mut random = [0_u8; 8];
        self.random.fill(&mut random);
        hex::encode(random)
    }

    pub(crate) fn trial(&self) -> Trial<'_> {
        Trial { snapshots: &*self.snapshots, stores: &self.stores, probe: &*self.probe }
    }

    pub(crate) fn deciding<'a>(&'a self, state: &'a State, operator: &'a Operator) -> Context<'a> {
        Context { state, stores: &self.stores, facts: &self.facts, operator, now: self.now() }
    }

    /// Records what has happened; where the chain cannot be written now, in the state's outbox, from
    /// which it is drained later. Absent means pending.
    pub(crate) async fn evidence(&self, event: Event) -> Option<Sequence> {
        match self.audit.record(event.clone()).await {
            Ok(sequence) => return Some(sequence),
            Err(error) => tracing::error!(%error, "evidence goes to the outbox"),
        }
        for _ in 0..OUTBOX_TRIES {
            let Ok(expected) = self.state.epoch().await else { continue };
            let change = Change { expected, operations: Vec::new(), events: vec![event.clone()] };
            if self.state.commit(change).await.is_ok() {
                return None;
            }
        }
        tracing::error!(kind = ?event.kind, "evidence could be written nowhere");
        None
    }
}
