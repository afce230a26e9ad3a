//! One visit to a server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, header};
use rmcp::model::{
    CallToolRequestParams, GetPromptRequestParams, JsonObject, ProtocolVersion, ReadResourceRequestParams,
    Tool,
};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::Value;

use super::answering::Answering;
use super::arguments::invent;
use super::noticing::{Listening, Noticing};

/// Longer than any scenario needs, shorter than the suite waits.
const PATIENCE: Duration = Duration::from_secs(25);

/// Whatever goes wrong ends the visit.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a visit is made. The suite says by the environment what it wants, and puts the URL last.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// The revision to speak.
    #[arg(long, env = "MCP_CONFORMANCE_PROTOCOL_VERSION", default_value = "2026-07-28")]
    revision: String,
    /// What the scenario adds, as JSON.
    #[arg(long, env = "MCP_CONFORMANCE_CONTEXT", default_value = "{}", hide_env_values = true)]
    context: String,
    /// The scenario; the visit is the same for all, the name is for messages.
    #[arg(long, env = "MCP_CONFORMANCE_SCENARIO", default_value = "none")]
    scenario: String,
    /// The file with the bearer token to come with; without one where absent.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The server's endpoint.
    url: String,
}

/// Connects, lists, and uses everything that is listed.
///
/// # Errors
/// Where the server could not be spoken to, or refused what it had listed.
pub async fn visit(options: Options) -> Result<(), Failure> {
    let scenario = options.scenario.clone();
    let visited = tokio::time::timeout(PATIENCE, Box::pin(connected(options))).await;
    let outcome = visited.map_err(|_| Failure::from("not done in time")).and_then(|outcome| outcome);
    outcome.map_err(|error| format!("{scenario}: {error}").into())
}

async fn connected(options: Options) -> Result<(), Failure> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(options.url.as_str());
    if let Some(file) = &options.token_file {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", std::fs::read_to_string(file)?.trim()))?;
        bearer.set_sensitive(true);
        config = config.custom_headers(HashMap::from([(header::AUTHORIZATION, bearer)]));
    }
    let modern = options.revision == ProtocolVersion::V_2026_07_28.as_str();
    let lifecycle = if modern {
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
    } else {
        ClientLifecycleMode::Initialize
    };
    let (http, mut listening) = Noticing::new();
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let client = Answering.serve_with_lifecycle(transport, lifecycle).await?;
    if !modern {
        listening.wait_for(|state| *state != Listening::Opening).await?;
    }
    let context: Value = serde_json::from_str(&options.context)?;
    let used = use_everything(&client, &context).await;
    drop(client.cancel().await);
    used
}

/// The running service, not its bare peer: it answers what a result asks for, and calls again.
async fn use_everything(
    peer: &RunningService<RoleClient, Answering>,
    context: &Value,
) -> Result<(), Failure> {
    let tools = peer.list_all_tools().await?;
    for (name, arguments) in calls(&tools, context) {
        peer.call_tool(CallToolRequestParams::new(name).with_arguments(arguments)).await?;
    }
    let capabilities = peer.peer_info().map(|info| info.capabilities.clone()).unwrap_or_default();
    if capabilities.resources.is_some() {
        for resource in peer.list_all_resources().await? {
            peer.read_resource(ReadResourceRequestParams::new(resource.uri)).await?;
        }
    }
    if capabilities.prompts.is_some() {
        for prompt in peer.list_all_prompts().await? {
            peer.get_prompt(GetPromptRequestParams::new(prompt.name)).await?;
        }
    }
    Ok(())
}

/// The calls that the scenario asks for; else one of every tool.
fn calls(tools: &[Tool], context: &Value) -> Vec<(String, JsonObject)> {
    let Some(wanted) = context.get("toolCalls").and_then(Value::as_array) else {
        return tools.iter().map(|tool| (tool.name.to_string(), invent(tool, tools))).collect();
    };
    let call = |wanted: &Value| {
        let arguments = wanted.get("arguments").and_then(Value::as_object).cloned();
        Some((wanted.get("name")?.as_str()?.to_owned(), arguments.unwrap_or_default()))
    };
    wanted.iter().filter_map(call).collect()
}
