//! The client of the matrix runs: lists and calls once, and prints everything it was given.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderValue, header};
use rmcp::model::{CallToolRequestParams, JsonObject, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

/// Whatever goes wrong ends the run.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Which generation the client asks for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Era {
    /// 2025-11-25 and older.
    Legacy,
    /// What the server speaks.
    Auto,
    /// 2026-07-28.
    Modern,
}

/// The options of every client of the matrix.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// The server's endpoint.
    #[arg(long)]
    url: String,
    /// The variable with the bearer token: arguments are world-readable.
    #[arg(long)]
    token_env: Option<String>,
    /// The generation.
    #[arg(long, value_enum, default_value = "legacy")]
    era: Era,
    /// List tools.
    #[arg(long)]
    list: bool,
    /// Report everything about a tool instead of its name.
    #[arg(long)]
    whole: bool,
    /// The tool to call.
    #[arg(long)]
    call: Option<String>,
    /// Its arguments, as JSON.
    #[arg(long, default_value = "{}")]
    args: String,
    /// Seconds until the run is given up.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

/// What a run came to, as every client of the matrix prints it.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Whether everything asked for worked.
    pub ok: bool,
    era: Option<String>,
    tools: Option<Value>,
    result: Option<Value>,
    error: Option<Complaint>,
    /// Whether the server sent the caller's own token back.
    caller_token_echoed: bool,
}

#[derive(Debug, Serialize)]
struct Complaint {
    message: String,
    code: Option<i32>,
    status: Option<u16>,
}

/// Connects, lists and calls.
#[expect(clippy::disallowed_methods, reason = "a command line may read what it was told to read")]
pub async fn run(options: Options) -> Outcome {
    let mut outcome = Outcome::default();
    let token = options.token_env.as_ref().and_then(|name| std::env::var(name).ok());
    let limit = Duration::from_secs(options.timeout);
    let acted = tokio::time::timeout(limit, Box::pin(act(&options, token.as_deref(), &mut outcome))).await;
    let message = match acted {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("not done in time".to_owned()),
    };
    outcome.error = message.map(|message| Complaint { message, code: None, status: None });
    let refused = outcome.result.as_ref().and_then(|result| result.get("isError")?.as_bool());
    outcome.ok = outcome.error.is_none() && refused != Some(true);
    let printed = serde_json::to_string(&outcome).unwrap_or_default();
    if token.is_some_and(|token| printed.contains(&token)) {
        // The outcome says that the token came back, never the token.
        return Outcome { caller_token_echoed: true, ..Outcome::default() };
    }
    outcome
}

async fn act(options: &Options, token: Option<&str>, outcome: &mut Outcome) -> Result<(), Failure> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(options.url.as_str());
    if let Some(token) = token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        config = config.custom_headers(HashMap::from([(header::AUTHORIZATION, bearer)]));
    }
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match options.era {
        Era::Legacy => ClientLifecycleMode::Initialize,
        Era::Auto => ClientLifecycleMode::Auto { preferred_versions, legacy_version: None },
        Era::Modern => ClientLifecycleMode::Discover { preferred_versions },
    };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let client = ().serve_with_lifecycle(transport, lifecycle).await?;
    outcome.era = client.peer_info().map(|info| info.protocol_version.to_string());
    if options.list {
        let tools = client.list_all_tools().await?;
        let name = |tool: &rmcp::model::Tool| json!(tool.name);
        outcome.tools = Some(if options.whole { json!(tools) } else { tools.iter().map(name).collect() });
    }
    if let Some(tool) = &options.call {
        let arguments: JsonObject = serde_json::from_str(&options.args)?;
        let call = CallToolRequestParams::new(tool.clone()).with_arguments(arguments);
        outcome.result = Some(json!(client.call_tool(call).await?));
    }
    client.cancel().await?;
    Ok(())
}
