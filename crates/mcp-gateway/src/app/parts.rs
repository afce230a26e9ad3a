//! Opening every part in the order in which they need one another.

use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::audit::{AuditLog, AuditSinks, Checkpointer, Durability, Index, Opened, Retention};
use gateway_adapters::identity::{IdentityIssue, OidcOperators, OidcVerifier};
use gateway_adapters::policy::CedarCompiler;
use gateway_adapters::signing::Signer;
use gateway_adapters::source::{SourceParts, Sources};
use gateway_adapters::state::{self, Database, StateConfig};
use gateway_adapters::store::StoreAssertions;
use gateway_adapters::traces::{TraceExporter, TracesConfig};
use gateway_control::Documents;
use gateway_core::audit::{Event, EventKind};
use gateway_core::connect::ConnectPages;
use gateway_core::id::Epoch;
use gateway_core::ports::{AuditSink as _, Publisher as _, Random, Revocations, StateWriter, Tickets};
use gateway_core::snapshot::Snapshot;
use gateway_core::stores::Stores;
use gateway_core::time::Clock as _;
use gateway_core::trace::Sampling;
use gateway_proxy::gateway::{Gateway, Wiring};
use gateway_proxy::settings::{Settings, StdioSettings};
use gateway_proxy::site::Site;
use gateway_proxy::trace::Tracer;
use gateway_proxy::world::WorldCell;
use tokio::task::JoinHandle;

use super::collector::Collector;
use super::connect::Accounts;
use super::house::House;
use super::publish::StatePublisher;
use super::replicas::{Moment, Replicas};
use super::system::{SystemClock, SystemEntropy};
use super::{StartError, bootstrap, evidence, house, login};
use crate::config::Config;

/// The poll floor: how long a change may stay unseen where no notification arrives.
const FLOOR: Duration = Duration::from_secs(1);

/// Everything that was opened.
pub(super) struct Parts {
    pub(super) gateway: Arc<Gateway>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) checkpointer: Arc<Checkpointer>,
    pub(super) index: Arc<Index>,
    pub(super) retention: Option<Arc<Retention>>,
    pub(super) sinks: Arc<AuditSinks>,
    pub(super) traces: Option<Arc<TraceExporter>>,
    pub(super) state: Arc<dyn StateWriter>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) revocations: Arc<dyn Revocations>,
    pub(super) public_url: String,
    pub(super) replicas: Option<Arc<Replicas>>,
    pub(super) stores: Arc<Stores>,
    pub(super) sources: Arc<Sources>,
    pub(super) signer: Arc<Signer>,
    pub(super) publisher: Arc<StatePublisher>,
    pub(super) compiler: Arc<CedarCompiler>,
    pub(super) verifier: Arc<OidcVerifier>,
    pub(super) operators: Arc<OidcOperators>,
    pub(super) entropy: Arc<SystemEntropy>,
}

impl Parts {
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy::default());
        let signer = Arc::new(signer(config)?);
        let stores = Arc::new(stores(config, &assertions(config, &signer, &entropy))?);
        let (audit, opened) = AuditLog::open(&config.audit, &*entropy)?;
        let audit = Arc::new(audit);
        let Database { state, tickets, revocations } =
            state::open(&config.state, clock.clone(), entropy.clone()).await?;
        let compiler =
            Arc::new(CedarCompiler::new().map_err(|error| StartError::machine("the policy schema", error))?);
        let served = config.environments.clone().unwrap_or_default();
        let replicas = replicas(config, &tickets, &entropy);
        let loaded = state.load().await?;
        if loaded.epoch < opened.epoch {
            return Err(StartError::StateBehind { state: loaded.epoch.0, chain: opened.epoch.0 });
        }
        let snapshot = Snapshot::build(&loaded, &*compiler, &served)?;
        let verifier = Arc::new(verifier(config).map_err(|issues| identity(&issues))?);
        // So that the first handshake finds the authorities of its trust domain.
        verifier.refresh_bundles(clock.now()).await;
        let operators =
            Arc::new(OidcOperators::new(&config.operators.issuers).map_err(|issues| identity(&issues))?);
        let sources = Arc::new(Sources::new(SourceParts {
            signer: signer.clone(),
            public_url: config.public_url.to_string(),
            stores: stores.clone(),
            state: state.clone(),
            tickets: tickets.clone(),
            revocations: revocations.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            random: entropy.clone(),
        }));
        let accounts = Arc::new(Accounts::new(sources.grants().clone(), state.clone(), audit.clone()));
        let shared = login::Shared {
            accounts: accounts.clone(),
            locks: accounts.clone(),
            stores: stores.clone(),
            tickets: tickets.clone(),
            audit: audit.clone(),
            entropy: entropy.clone(),
            signer: signer.clone(),
        };
        let pages = config.login.as_ref().map(|section| login::open(config, section, shared)).transpose()?;
        let connect = pages.clone().map(|login| login as Arc<dyn ConnectPages>);
        let site = pages.map(|login| Arc::new(login::Pages::new(login)) as Arc<dyn Site>);
        let traces = config.telemetry.traces.clone().map(TraceExporter::new).transpose();
        let traces = traces.map_err(|error| StartError::machine("the traces", error))?.map(Arc::new);
        let gateway = Gateway::new(Wiring {
            world: WorldCell::new(snapshot, clock.now()),
            verifier: login::verifier(config, &verifier, &signer),
            stores: stores.clone(),
            issuer: sources.clone(),
            keys: signer.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            random: entropy.clone(),
            site,
            connect,
            settings: settings(config),
            tracer: traces.clone().map(|sink| tracer(config, sink)),
        });
        let publisher = Arc::new(StatePublisher::new(
            state.clone(),
            compiler.clone(),
            audit.clone(),
            gateway.clone(),
            served,
            replicas.clone(),
        ));
        accounts.stand(&gateway, &publisher);
        record_start(&audit, opened, config, loaded.epoch).await?;
        bootstrap::first(config, &*state, &entropy, &loaded).await?;
        take_over(&*state, &publisher, replicas.as_deref(), &gateway).await?;
        let checkpointer = checkpointer(config, &audit, clock)?;
        let sinks = AuditSinks::new(&audit, &config.audit, &(entropy.clone() as Arc<dyn Random>))
            .map_err(|error| StartError::machine("the audit sinks", error))?;
        let sinks = Arc::new(sinks);
        let retention = evidence::retention(config, &audit, &checkpointer, &sinks);
        let index = Index::new(audit.directory());
        Ok(Self {
            gateway,
            audit,
            checkpointer,
            index,
            retention,
            sinks,
            traces,
            state,
            tickets,
            revocations,
            public_url: config.public_url.to_string(),
            replicas,
            stores,
            sources,
            signer,
            publisher,
            compiler,
            verifier,
            operators,
            entropy,
        })
    }

    /// The documents of revocations.
    pub(super) fn documents(&self) -> Documents {
        Documents {
            records: Arc::clone(&self.revocations),
            signer: self.signer.clone(),
            publisher: Arc::clone(&self.publisher) as _,
            clock: Arc::new(SystemClock),
            issuer: self.public_url.trim_end_matches('/').to_owned(),
        }
    }

    fn collector(&self) -> Collector {
        Collector {
            records: Arc::clone(&self.revocations),
            parties: self.sources.clone(),
            tickets: Arc::clone(&self.tickets),
            documents: self.documents(),
            clock: Arc::new(SystemClock),
            random: self.entropy.clone(),
        }
    }

    fn house(&self) -> House {
        House {
            gateway: Arc::clone(&self.gateway),
            stores: Arc::clone(&self.stores),
            state: Arc::clone(&self.state),
            tickets: Arc::clone(&self.tickets),
            publisher: Arc::clone(&self.publisher),
        }
    }

    /// Starts the work that goes on beside the calls.
    pub(super) fn background(&self) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![
            tokio::spawn(Arc::clone(&self.audit).run_flusher()),
            tokio::spawn(Arc::clone(&self.checkpointer).run()),
            tokio::spawn(Arc::clone(&self.publisher).follow(FLOOR)),
            tokio::spawn(self.house().keep()),
            tokio::spawn(self.collector().keep()),
            tokio::spawn(house::tend_signing_keys(Arc::clone(&self.signer))),
            tokio::spawn(house::refresh_keys(Arc::clone(&self.verifier), Arc::clone(&self.operators))),
            tokio::spawn(house::refresh_bundles(Arc::clone(&self.verifier))),
        ];
        if let Err(error) = self.index.start() {
            tracing::warn!(%error, "the audit index is not kept; searches read line by line");
        }
        if let Some(retention) = &self.retention {
            tasks.push(tokio::spawn(Arc::clone(retention).run()));
        }
        tasks.extend(self.traces.iter().map(|traces| tokio::spawn(Arc::clone(traces).run())));
        tasks.extend(self.sinks.iter().map(|sink| tokio::spawn(Arc::clone(sink).run())));
        tasks
    }
}

fn tracer(config: &Config, sink: Arc<TraceExporter>) -> Arc<Tracer> {
    let sampling =
        config.telemetry.traces.as_ref().map_or_else(|| Sampling::share(0.0), TracesConfig::sampling);
    Arc::new(Tracer { sink, sampling })
}

/// One file is one gateway's; a database server may have several.
fn replicas(config: &Config, tickets: &Arc<dyn Tickets>, entropy: &SystemEntropy) -> Option<Arc<Replicas>> {
    let StateConfig::Postgres { .. } = &config.state else { return None };
    let limits = &config.limits;
    let lease = limits.staleness_production_seconds.max(limits.staleness_other_seconds);
    Some(Arc::new(Replicas::new(Arc::clone(tickets), entropy, Duration::from_secs(lease))))
}

fn checkpointer(
    config: &Config,
    audit: &Arc<AuditLog>,
    clock: Arc<SystemClock>,
) -> Result<Arc<Checkpointer>, StartError> {
    let path = config.audit.key_path();
    let key = gateway_adapters::audit::Signer::open_or_create(&path)
        .map_err(|error| StartError::machine(path.display().to_string(), error))?;
    let opened = Checkpointer::open(Arc::clone(audit), key, &config.audit, clock);
    opened.map(Arc::new).map_err(|error| StartError::machine("the checkpoints", error))
}

/// The gateway's signing keys, made where there are none yet.
pub(super) fn signer(config: &Config) -> Result<Signer, StartError> {
    Signer::open(&config.signing, SystemClock.now())
        .map_err(|error| StartError::machine("the signing keys", error))
}

/// What the gateway signs to log in at stores.
pub(super) fn assertions(
    config: &Config,
    signer: &Arc<Signer>,
    entropy: &Arc<SystemEntropy>,
) -> Arc<StoreAssertions> {
    let url = config.public_url.as_str();
    Arc::new(StoreAssertions::new(signer.clone(), url, Arc::new(SystemClock), entropy.clone()))
}

fn stores(config: &Config, assertions: &Arc<StoreAssertions>) -> Result<Stores, StartError> {
    let mut entries = Vec::with_capacity(config.stores.len());
    for (name, store) in &config.stores {
        entries.push((name.clone(), store.build_signing(name, Arc::new(SystemClock), Some(assertions))?));
    }
    Ok(Stores::new(entries))
}

/// The verifier of everything that callers present.
pub(super) fn verifier(config: &Config) -> Result<OidcVerifier, Vec<IdentityIssue>> {
    let (issuers, url) = (&config.issuers, &config.public_url);
    OidcVerifier::new(issuers, url)?.with_trust_domains(&config.trust_domains, issuers, url)
}

pub(super) fn identity(issues: &[IdentityIssue]) -> StartError {
    let lines: Vec<String> =
        issues.iter().map(|issue| format!("{}: {}: {}", issue.issuer, issue.field, issue.message)).collect();
    StartError::Identity(lines.join("; "))
}

/// What the data plane is told.
fn settings(config: &Config) -> Settings {
    let limits = &config.limits;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut settings = Settings::new(config.public_url.as_str());
    settings.allowed_hosts.push(config.listen.to_string());
    if config.listen.ip().is_loopback() {
        settings.allowed_hosts.push(format!("localhost:{}", config.listen.port()));
    }
    settings.allowed_origins.clone_from(&config.allowed_origins);
    // Our own first: it takes every client, and clients try the first.
    let own = config.login.as_ref().filter(|login| login.clients.is_some());
    let own = own.map(|_| config.public_url.as_str().trim_end_matches('/').to_owned());
    // Nobody can log in at an issuer that vouches for runtimes.
    let people = config.issuers.iter().filter(|issuer| !issuer.vouches_for_workloads());
    let others = people.map(|issuer| issuer.issuer.clone());
    settings.authorization_servers = own.into_iter().chain(others).collect();
    settings.trusted_proxies.clone_from(&config.trusted_proxies);
    settings.proxy_protocol = config.proxy_protocol;
    settings.request_body_bytes = size(limits.request_body_bytes);
    settings.held_answer_bytes = size(limits.response_bytes);
    settings.header_bytes = size(limits.header_bytes);
    settings.request_body_time = Duration::from_secs(limits.request_body_seconds);
    settings.concurrent_requests = size(limits.concurrent_requests);
    settings.sessions_per_actor = size(limits.sessions_per_actor);
    settings.stream_heartbeat = Duration::from_secs(limits.stream_heartbeat_seconds);
    settings.session_idle = Duration::from_secs(limits.session_idle_seconds);
    settings.session_lifetime = Duration::from_secs(limits.session_lifetime_seconds);
    settings.staleness_production = Duration::from_secs(limits.staleness_production_seconds);
    settings.staleness_other = Duration::from_secs(limits.staleness_other_seconds);
    let stdio = &config.stdio;
    settings.stdio = StdioSettings {
        rules: stdio.rules.clone(),
        users: stdio.users.map(|users| (users.first, users.count)),
        processes: stdio.processes,
        idle: stdio.idle,
        directory: stdio.directory.clone(),
        // This very program, also where its file was replaced meanwhile.
        launcher: vec!["/proc/self/exe".into(), "stdio-child".into()],
    };
    settings.process_durability = config.audit.durability == Durability::Process;
    settings
}

/// Brings the data plane to the state as it is just before it serves. The other replicas know of this one by
/// then: whoever ends something from now on waits for it.
async fn take_over(
    state: &dyn StateWriter,
    publisher: &StatePublisher,
    replicas: Option<&Replicas>,
    gateway: &Gateway,
) -> Result<(), StartError> {
    if let Some(replicas) = replicas {
        replicas.report(|| Epoch(0), Moment::now()).await?;
    }
    let epoch = state.epoch().await?;
    publisher.publish(epoch).await.map_err(|refusal| {
        StartError::machine("the state cannot be taken over", refusal.inside().unwrap_or("refused"))
    })?;
    if let Some(replicas) = replicas {
        replicas.report(|| gateway.world.epoch(), Moment::now()).await?;
    }
    Ok(())
}

/// Closes what a crash left open, and says which configuration serves from now on.
async fn record_start(
    audit: &AuditLog,
    opened: Opened,
    config: &Config,
    epoch: gateway_core::id::Epoch,
) -> Result<(), StartError> {
    if let Some(torn) = opened.torn {
        tracing::warn!(segment = torn.segment, bytes = torn.bytes, "a torn record was cut off the audit log");
    }
    for open in opened.open_intents {
        let mut event = open.event;
        event.kind = EventKind::OutcomeUnknown;
        event.time = SystemClock.now();
        event.decision = None;
        audit.record(event).await?;
    }
    let mut event = Event::new(EventKind::Started, SystemClock.now());
    event.content = Some(config.content);
    event.epoch = Some(epoch);
    audit.record(event).await?;
    Ok(())
}
