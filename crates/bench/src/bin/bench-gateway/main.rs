//! The data plane alone, with the real verifier, policy engine, store and audit log, and a state written
//! by hand: for profiling the path of a call without the control plane around it.

mod outside;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gateway_adapters::audit::{AuditConfig, AuditLog, Durability};
use gateway_adapters::identity::OidcVerifier;
use gateway_adapters::policy::CedarCompiler;
use gateway_adapters::signing::Signer;
use gateway_adapters::source::{SourceParts, Sources};
use gateway_adapters::state::StateConfig;
use gateway_adapters::store::StoreConfig;
use gateway_bench::{Failure, announce, read_line};
use gateway_core::id::StoreName;
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use gateway_core::stores::Stores;
use gateway_core::time::Clock;
use gateway_proxy::gateway::{Gateway, Wiring};
use gateway_proxy::server;
use gateway_proxy::settings::Settings;
use gateway_proxy::world::WorldCell;
use serde_json::json;
use tokio::sync::watch;
use url::Url;

use outside::{Entropy, SystemClock};

/// As in the gateway that ships.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A data plane for profiling.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// `host:port` of the upstream.
    #[arg(long)]
    upstream: SocketAddr,
    /// The issuer's URL.
    #[arg(long)]
    issuer: String,
    /// File with the credential, without its scheme.
    #[arg(long)]
    secret_file: PathBuf,
    /// Empty folder for the store and the audit log.
    #[arg(long)]
    data: PathBuf,
    /// `process` or `fsync`.
    #[arg(long, default_value = "process")]
    durability: String,
    /// Data threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

async fn gateway(arguments: &Arguments, clock: Arc<dyn Clock>) -> Result<Arc<Gateway>, Failure> {
    let public_url = format!("http://{}", arguments.listen);
    let entropy = Arc::new(Entropy::default());
    let durability = if arguments.durability == "fsync" { Durability::Fsync } else { Durability::Process };
    let audit = AuditConfig::new(arguments.data.join("audit"), durability);
    let (audit, _) = AuditLog::open(&audit, &*entropy)?;
    let audit = Arc::new(audit);
    drop(tokio::spawn(Arc::clone(&audit).run_flusher()));
    let issuers = serde_json::from_value::<Vec<_>>(json!([{
        "issuer": arguments.issuer, "audience": format!("{public_url}/mcp/dev/echo"), "groups_claim": "groups"
    }]))?;
    let verifier = OidcVerifier::new(&issuers, &Url::parse(&public_url)?).map_err(|e| format!("{e:?}"))?;
    let name = StoreName::parse("local")?;
    let store: StoreConfig = serde_json::from_value(json!({
        "kind": "sealed", "path": arguments.data.join("sealed.db"),
        "key_file": arguments.data.join("sealed.key"), "environments": ["dev"]
    }))?;
    let entry = store.build(&name, Arc::clone(&clock))?;
    let secret = Secret::new(read_line(&arguments.secret_file)?.into_bytes());
    let writer = entry.writer.as_ref().ok_or("the sealed store has no writer")?;
    writer.put("bench", "token", secret, clock.now()).await?;
    let snapshot = Snapshot::build(&state::state(arguments.upstream)?, &CedarCompiler::new()?, &[])?;
    let stores = Arc::new(Stores::new([(name, entry)]));
    let signer = Arc::new(Signer::ephemeral(clock.now())?);
    let place = StateConfig::Sqlite { path: arguments.data.join("state.db") };
    let database = gateway_adapters::state::open(&place, clock.clone(), entropy.clone()).await?;
    let sources = Sources::new(SourceParts {
        state: database.state,
        tickets: database.tickets,
        revocations: database.revocations,
        signer: signer.clone(),
        public_url: public_url.clone(),
        stores: stores.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        random: entropy.clone(),
    });
    Ok(Gateway::new(Wiring {
        world: WorldCell::new(snapshot, clock.now()),
        verifier: Arc::new(verifier),
        stores,
        issuer: Arc::new(sources),
        keys: signer,
        audit,
        clock,
        random: entropy,
        site: None,
        connect: None,
        settings: Settings::new(&public_url),
        tracer: None,
    }))
}

fn data_thread(
    listener: std::net::TcpListener,
    gateway: Arc<Gateway>,
    stop: watch::Receiver<bool>,
) -> Result<(), std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(server::serve(listener, gateway, None, stop))
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let gateway = gateway(&arguments, Arc::clone(&clock)).await?;
    let (_stop, stopped) = watch::channel(false);
    let queues: Vec<_> =
        (0..arguments.threads).map(|_| server::bind(arguments.listen)).collect::<Result<_, _>>()?;
    for queue in queues {
        let (gateway, stopped) = (Arc::clone(&gateway), stopped.clone());
        drop(
            std::thread::Builder::new()
                .name("data".into())
                .spawn(move || data_thread(queue, gateway, stopped))?,
        );
    }
    announce(&arguments.listen.to_string())?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        gateway.world.confirm(clock.now(), tokio::time::Instant::now());
        gateway.sweep();
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(arguments))
}
