//! Starting the server.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use rmcp::task_manager::TaskManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use super::catalogue::Catalogue;
use super::door::{Door, enter};
use super::handler::{Fixture, Shared, Tasks};
use super::seal::Seal;

/// How many changes a slow subscriber may fall behind.
const CHANGES: usize = 64;

/// How the server is started.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// Where it listens; a port of 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The SHA-256, in hexadecimal, of the bearer credential that it demands; none is demanded without it.
    #[arg(long, value_name = "HEX")]
    accept_sha256: Option<String>,
    /// The file that gets one line of JSON for each request.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Serves until the process is ended; `ready` gets the endpoint's URL once it listens.
///
/// # Errors
/// The address cannot be listened on, or the log cannot be written.
pub async fn serve(options: Options, ready: impl FnOnce(&str)) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let sessions = Arc::new(LocalSessionManager::default());
    let shared = Arc::new(Shared {
        catalogue: Catalogue::built_in()?,
        seal: Seal::fresh().map_err(|_| io::Error::other("no random numbers"))?,
        tasks: Tasks(TaskManager::new()),
        changes: broadcast::Sender::new(CHANGES),
        sessions: Arc::clone(&sessions),
    });
    let service = StreamableHttpService::new(
        move || Ok(Fixture(Arc::clone(&shared))),
        sessions,
        StreamableHttpServerConfig::default(),
    );
    let log = options.log.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
    let door = Door { accept: options.accept_sha256, log: log.map(Mutex::new), service };
    let router = Router::new().route("/mcp", axum::routing::any(enter)).with_state(Arc::new(door));
    ready(&format!("http://{}/mcp", listener.local_addr()?));
    axum::serve(listener, router).await
}
