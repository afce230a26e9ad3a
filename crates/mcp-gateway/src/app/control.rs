//! The operators' listener.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use gateway_adapters::audit::Durability;
use gateway_adapters::store::StoreConfig;
use gateway_console::PREFIX;
use gateway_control::{
    ControlContext, Presentation, ReviewKeeper, RevocationFinisher, Revoking, RotationKeeper, RotationParts,
    StoredOperators, control_router,
};
use gateway_core::lifecycle::Facts;
use gateway_login::context::Source;
use gateway_proxy::probe::Prober;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::operators::Operators;
use super::pages::Pages;
use super::parts::Parts;
use super::ports::{Current, Evidence, Minter};
use super::system::SystemClock;
use super::{StartError, console, keys, tls};
use crate::config::Config;

const HEAD_TIME: Duration = Duration::from_secs(10);

/// Binds the listener and serves it until `stopped` says so; looks after the reviews of bindings and
/// after revocations that were left without their document beside it.
pub(super) async fn serve(
    config: &Config,
    parts: &Parts,
    stopped: watch::Receiver<bool>,
) -> Result<(SocketAddr, [JoinHandle<()>; 3]), StartError> {
    let address = config.control.listen;
    let cannot = |error| StartError::machine(format!("listen on {address}"), error);
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let tls = config.control.tls.as_ref().map(tls::server).transpose()?.map(|config| {
        // Operators' clients speak HTTP/1.1 here.
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let context = Arc::new(context(config, parts)?);
    let mut router = control_router(Arc::clone(&context));
    if let Some(section) = &config.operators.console {
        // The console answers below its own paths; what is nowhere stays the API's to say.
        let pages = console::router(section, &context, parts)?;
        router = below(router, pages);
    }
    let reviews = tokio::spawn(ReviewKeeper::new(Arc::clone(&context)).keep());
    let finisher = RevocationFinisher::new(context, parts.replicas.is_none());
    let serving = tokio::spawn(accept(listener, tls, router, stopped));
    Ok((bound, [serving, reviews, tokio::spawn(finisher.keep())]))
}

/// The pages below their paths, the API everywhere else.
fn below(api: Router, pages: Router) -> Router {
    Router::new().fallback(move |request: axum::extract::Request| {
        let path = request.uri().path();
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let chosen = if under(PREFIX) || under("/login") { pages.clone() } else { api.clone() };
        async move { chosen.oneshot(request).await }
    })
}

fn context(config: &Config, parts: &Parts) -> Result<ControlContext, StartError> {
    let key_file = config.audit.directory.join("fingerprint.key");
    let fingerprints = keys::fingerprint_key(&key_file, &*parts.entropy)
        .map_err(|error| StartError::machine(key_file.display().to_string(), error))?;
    let (log, checkpointer) = (parts.audit.clone(), parts.checkpointer.clone());
    Ok(ControlContext {
        state: parts.state.clone(),
        stores: parts.stores.clone(),
        facts: Facts {
            process_durability: config.audit.durability == Durability::Process,
            stdio: config.stdio.rules.clone(),
            sources: sources(config, parts),
            whereabouts: config
                .stores
                .iter()
                .map(|(name, store)| (name.clone(), store.whereabouts().into_iter().collect()))
                .collect(),
        },
        presentation: presentation(config),
        publisher: parts.publisher.clone(),
        live: parts.gateway.clone(),
        grants: Arc::new(parts.sources.grants().clone()),
        sessions: parts.gateway.clone(),
        probe: Arc::new(Prober::new(parts.gateway.clone())),
        audit: parts.audit.clone(),
        audit_reader: Arc::new(Evidence {
            log: log.clone(),
            index: parts.index.clone(),
            checkpointer: checkpointer.clone(),
        }),
        tickets: parts.tickets.clone(),
        documents: parts.documents(),
        revoking: Revoking::default(),
        compiler: parts.compiler.clone(),
        snapshots: Arc::new(Current(parts.gateway.clone())),
        operators: Arc::new(Operators {
            stored: StoredOperators(parts.state.clone()),
            people: parts.operators.clone(),
        }),
        identities: parts.verifier.clone(),
        tokens: Arc::new(Minter(parts.entropy.clone())),
        pages: Arc::new(Pages {
            gateway: parts.gateway.clone(),
            log,
            durability: config.audit.durability,
            sinks: parts.sinks.clone(),
            traces: parts.traces.clone(),
            stores: parts.stores.clone(),
            checkpointer,
            replicas: parts.replicas.clone(),
        }),
        clock: Arc::new(SystemClock),
        random: parts.entropy.clone(),
        fingerprints,
    })
}

fn presentation(config: &Config) -> Presentation {
    let kind =
        |store: &StoreConfig| Some(serde_json::to_value(store).ok()?.get("kind")?.as_str()?.to_owned());
    Presentation {
        masked: config.operators.masked_roles.clone(),
        store_kinds: config
            .stores
            .iter()
            .filter_map(|(name, store)| Some((name.clone(), kind(store)?)))
            .collect(),
    }
}

/// Looks after the secrets of bindings, for ever.
pub(super) fn keep_rotating(parts: &Parts) -> JoinHandle<()> {
    let keeper = RotationKeeper::new(RotationParts {
        state: parts.state.clone(),
        tickets: parts.tickets.clone(),
        stores: parts.stores.clone(),
        publisher: parts.publisher.clone(),
        live: parts.gateway.clone(),
        probe: Arc::new(Prober::new(parts.gateway.clone())),
        snapshots: Arc::new(Current(parts.gateway.clone())),
        clock: Arc::new(SystemClock),
        random: parts.entropy.clone(),
    });
    tokio::spawn(keeper.keep())
}

/// The sources that serve here: nobody can grant anything where there are no pages for it.
fn sources(config: &Config, parts: &Parts) -> BTreeSet<&'static str> {
    let mut words = parts.sources.words();
    if config.login.is_none() {
        words.remove("grant");
    }
    words
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // The pages' login limits what one address may begin.
                let router = router.clone().layer(axum::Extension(Source(peer.ip())));
                drop(tokio::spawn(connection(stream, tls.clone(), router)));
            }
            Err(error) => {
                tracing::warn!(%error, "an operator's connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    match tls {
        None => speak(stream, router).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await {
                speak(stream, router).await;
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A connection that breaks is the client's affair.
    drop(served.await);
}
