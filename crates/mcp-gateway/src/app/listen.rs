//! The data threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_adapters::identity::{OidcVerifier, SvidClients};
use gateway_proxy::gateway::Gateway;
use gateway_proxy::server;
use tokio::sync::watch;

use super::{StartError, tls};
use crate::config::{ClientCertificates, Config};

/// How often a stopping thread looks whether its calls have ended.
const LOOK: Duration = Duration::from_millis(20);

/// Starts one thread a core, each with its own accept queue on the same address.
///
/// # Errors
/// The address cannot be bound, or the certificate cannot be read.
pub(super) fn data(
    config: &Config,
    gateway: &Arc<Gateway>,
    verifier: &Arc<OidcVerifier>,
    stopped: &watch::Receiver<bool>,
) -> Result<(SocketAddr, Vec<JoinHandle<()>>), StartError> {
    let tls = config.tls.as_ref().map(|files| match &config.clients {
        None => tls::server(files),
        Some(ClientCertificates { trust_domains, required }) => {
            let clients = SvidClients::new(Arc::clone(verifier), trust_domains.clone(), *required);
            tls::with_clients(files, Arc::new(clients))
        }
    });
    let tls = tls.transpose()?;
    let cannot = |error| StartError::machine(format!("listen on {}", config.listen), error);
    let first = server::bind(config.listen).map_err(cannot)?;
    let address = first.local_addr().map_err(cannot)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut queues = vec![first];
    for _ in 1..cores {
        queues.push(server::bind(address).map_err(cannot)?);
    }
    let drain = Duration::from_secs(config.limits.drain_seconds);
    let start = |(number, queue)| {
        let (gateway, tls, stopped) = (Arc::clone(gateway), tls.clone(), stopped.clone());
        std::thread::Builder::new().name(format!("data-{number}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    if let Err(error) = server::serve(queue, Arc::clone(&gateway), tls, stopped).await {
                        tracing::error!(%error, "an accept queue failed");
                    }
                    let quiet = async {
                        while gateway.is_busy() {
                            tokio::time::sleep(LOOK).await;
                        }
                        // The last bytes of an answer may still be on their way out.
                        tokio::time::sleep(LOOK).await;
                    };
                    drop(tokio::time::timeout(drain, quiet).await);
                }),
                Err(error) => tracing::error!(%error, "a data thread has no runtime"),
            }
        })
    };
    let threads = queues.into_iter().enumerate().map(start).collect::<Result<Vec<_>, _>>();
    Ok((address, threads.map_err(|error| StartError::machine("a data thread", error))?))
}
