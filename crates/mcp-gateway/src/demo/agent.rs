//! The agents of the story: real MCP clients of the official SDK, with a transcript of everything that
//! they were told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, header};
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, JsonObject, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{NotificationContext, Peer, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::Value;

use super::collected::Collected;
use super::failure::Failure;

/// How long anything may take that should be quick; generous, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two generations of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// 2025-11-25: handshake and session.
    Legacy,
    /// 2026-07-28: stateless.
    Modern,
}

impl Generation {
    pub(super) const BOTH: [Self; 2] = [Self::Legacy, Self::Modern];

    /// The revision, as the protocol writes it.
    pub(super) const fn revision(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }

    fn lifecycle(self) -> ClientLifecycleMode {
        match self {
            Self::Legacy => ClientLifecycleMode::Initialize,
            Self::Modern => {
                ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
            }
        }
    }
}

/// Hears what the server says on its own account.
#[derive(Clone, Default)]
pub(super) struct Listener {
    progress: Arc<AtomicU32>,
    collected: Collected,
}

impl ClientHandler for Listener {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.collected.keep("an agent's progress report", serde_json::to_vec(&params).unwrap_or_default());
        self.progress.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connected agent.
pub(super) struct Agent {
    client: RunningService<RoleClient, Listener>,
    listener: Listener,
    collected: Collected,
    from: String,
}

impl Agent {
    /// Connects with a bearer token and makes the handshake of the generation.
    pub(super) async fn connect(
        url: &str,
        bearer: &str,
        generation: Generation,
        collected: &Collected,
    ) -> Result<Self, Failure> {
        let mut value = HeaderValue::try_from(format!("Bearer {bearer}"))
            .map_err(|_| Failure::new("the token does not fit into a header"))?;
        value.set_sensitive(true);
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .custom_headers(HashMap::from([(header::AUTHORIZATION, value)]));
        let listener = Listener { collected: collected.clone(), ..Listener::default() };
        let transport = StreamableHttpClientTransport::from_config(config);
        let served = listener.clone().serve_with_lifecycle(transport, generation.lifecycle());
        let client = within("the handshake", Box::pin(served)).await?;
        let client = client.map_err(|error| {
            collected.keep("an agent's failed handshake", format!("{error:?}"));
            Failure::at("the handshake", error)
        })?;
        let from = format!("the transcript of an agent of {}", generation.revision());
        if let Some(info) = client.peer_info() {
            collected.keep(&from, format!("{info:?}"));
        }
        Ok(Self { client, listener, collected: collected.clone(), from })
    }

    /// The names of the tools it is shown.
    pub(super) async fn tools(&self) -> Result<Vec<String>, Failure> {
        let tools = within("the list of tools", self.client.list_all_tools()).await?;
        let tools = tools.map_err(|error| self.failed("the list of tools", &error))?;
        self.collected.keep(&self.from, serde_json::to_vec(&tools)?);
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Calls a tool and returns the whole answer as JSON text.
    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Result<String, Failure> {
        let outcome = within(tool, call(self.client.peer(), tool, arguments)).await?;
        match outcome {
            Ok(result) => {
                let text = serde_json::to_string(&result)?;
                self.collected.keep(&self.from, text.clone());
                Ok(text)
            }
            Err(error) => Err(self.failed(tool, &error)),
        }
    }

    /// Starts a long call and leaves it running.
    pub(super) fn start(&self, tool: &'static str, arguments: Value) -> tokio::task::JoinHandle<bool> {
        let (peer, collected, from) = (self.client.peer().clone(), self.collected.clone(), self.from.clone());
        tokio::spawn(async move {
            let outcome = call(&peer, tool, arguments).await;
            collected.keep(from, format!("{outcome:?}"));
            outcome.is_ok()
        })
    }

    /// The client itself, for what has no word here.
    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.client.peer()
    }

    /// How many progress reports it has heard.
    pub(super) fn progress(&self) -> u32 {
        self.listener.progress.load(Ordering::SeqCst)
    }

    fn failed(&self, what: &str, error: &impl std::fmt::Debug) -> Failure {
        let text = format!("{error:?}");
        self.collected.keep(&self.from, text.clone());
        Failure::at(what, text.chars().take(300).collect::<String>())
    }
}

async fn call(
    peer: &Peer<RoleClient>,
    tool: &str,
    arguments: Value,
) -> Result<CallToolResult, rmcp::ServiceError> {
    let arguments: JsonObject = arguments.as_object().cloned().unwrap_or_default();
    peer.call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)).await
}

/// Waits, but not for ever.
pub(super) async fn within<T>(what: &str, wanted: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, wanted)
        .await
        .map_err(|_| Failure::new(format!("{what} took longer than {} seconds", PATIENCE.as_secs())))
}

/// Looks again and again until something is so, but not for ever.
pub(super) async fn until(what: &str, mut so: impl FnMut() -> bool) -> Result<(), Failure> {
    let look = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, look).await
}
