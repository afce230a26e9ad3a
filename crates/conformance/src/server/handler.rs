//! The MCP server itself, by the official SDK: both generations at one endpoint.

#![expect(deprecated, reason = "what SEP-2577 deprecates is still part of the revision")]

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult, Implementation, JsonObject,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, PromptMessage, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, Role, ServerCapabilities, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, RoleServer, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::Value;
use tokio::sync::broadcast;

use super::catalogue::Catalogue;
use super::rounds::{Next, step};
use super::seal::Seal;
use super::{jobs, legacy};

/// The tools that are served here, without a file of their own.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[
    "test_error_handling",
    "test_missing_capability",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "greet",
];

/// What changed, for those who subscribed to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Tools,
    Prompts,
}

/// What all sessions and requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) catalogue: Catalogue,
    pub(super) seal: Seal,
    pub(super) tasks: Tasks,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) sessions: Arc<LocalSessionManager>,
}

/// The SDK's task manager cannot be printed.
pub(super) struct Tasks(pub(super) TaskManager);

impl std::fmt::Debug for Tasks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Tasks")
    }
}

/// One session's, or one request's, view of the server.
#[derive(Debug, Clone)]
pub(super) struct Fixture(pub(super) Arc<Shared>);

impl Fixture {
    async fn run(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Shared { catalogue, tasks, .. } = &*self.0;
        let name = request.name.as_ref();
        let capabilities = context.client_capabilities().unwrap_or_default();
        if let Some(content) = catalogue.answers.get(name) {
            return Ok(CallToolResult::success(content.clone()).into());
        }
        if catalogue.dialogues.contains_key(name) {
            return self.ask(&request, &capabilities);
        }
        let arguments = request.arguments.unwrap_or_default();
        if let Some(form) = catalogue.forms.get(name) {
            return Ok(legacy::elicit(form, &arguments, &context.peer).await.into());
        }
        if jobs::NAMES.contains(&name) {
            return jobs::run((&tasks.0, catalogue), name, &arguments, capabilities.supports_tasks()).await;
        }
        self.run_simple(name, &arguments, &capabilities, &context).await.map(Into::into)
    }

    async fn run_simple(
        &self,
        name: &str,
        arguments: &JsonObject,
        capabilities: &ClientCapabilities,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        match name {
            "test_error_handling" => {
                let text = "This tool intentionally returns an error for testing";
                Ok(CallToolResult::error(vec![ContentBlock::text(text)]))
            }
            "greet" => {
                let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
                Ok(said(format!("Hello, {name}!")))
            }
            "test_missing_capability" => need_sampling(capabilities),
            "test_logging_tool" => {
                if let Some(level) = context.meta.log_level() {
                    legacy::say(&context.peer, level, "the request asked for it").await;
                }
                Ok(said("logged where asked"))
            }
            "test_trigger_tool_change" => Ok(self.tell(Change::Tools)),
            "test_trigger_prompt_change" => Ok(self.tell(Change::Prompts)),
            "test_sampling" => Ok(legacy::sample(arguments, &context.peer).await),
            "test_tool_with_logging" => Ok(legacy::log(&context.peer).await),
            "test_tool_with_progress" => Ok(legacy::progress(context).await),
            "test_reconnection" => legacy::reconnect(context, &self.0.sessions).await,
            _ => Err(ErrorData::invalid_params("unknown tool", None)),
        }
    }

    fn ask(
        &self,
        request: &CallToolRequestParams,
        capabilities: &ClientCapabilities,
    ) -> Result<CallToolResponse, ErrorData> {
        let (responses, state) = (request.input_responses.as_ref(), request.request_state.as_deref());
        let name = request.name.as_ref();
        let as_task = name == "test_tool_with_task";
        if as_task && !capabilities.supports_tasks() {
            return Err(jobs::needs_tasks());
        }
        match self.step(name, capabilities, responses, state)? {
            Next::Ask(result) => Ok(result.into()),
            Next::Done(text) if as_task => Ok(jobs::finish_as_task(&self.0.tasks.0, text)),
            Next::Done(text) => Ok(said(text).into()),
        }
    }

    fn step(
        &self,
        name: &str,
        capabilities: &ClientCapabilities,
        responses: Option<&rmcp::model::InputResponses>,
        state: Option<&str>,
    ) -> Result<Next, ErrorData> {
        let Shared { catalogue, seal, .. } = &*self.0;
        let Some(dialogue) = catalogue.dialogues.get(name) else {
            return Err(ErrorData::invalid_params("unknown dialogue", None));
        };
        step((catalogue, seal), (name, dialogue), capabilities, responses, state)
    }

    fn tell(&self, change: Change) -> CallToolResult {
        // Nobody may be listening.
        drop(self.0.changes.send(change));
        said("told")
    }
}

fn said(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn need_sampling(capabilities: &ClientCapabilities) -> Result<CallToolResult, ErrorData> {
    if capabilities.sampling.is_some() {
        return Ok(said("the client can sample"));
    }
    let needed = ClientCapabilities::builder().enable_sampling().build();
    Err(ErrorData::missing_required_client_capability(needed))
}

type Paging = Option<PaginatedRequestParams>;
type Context = RequestContext<RoleServer>;

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("gateway-conformance-server", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(&self, _: Paging, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.0.catalogue.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.catalogue.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        self.run(request, context).await
    }

    async fn list_resources(&self, _: Paging, _: Context) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(self.0.catalogue.resources.clone()))
    }

    async fn list_resource_templates(
        &self,
        _: Paging,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(self.0.catalogue.resource_templates.clone()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.0.catalogue.resource(&request.uri).map(|content| ReadResourceResult::new(vec![content]).into())
    }

    async fn list_prompts(&self, _: Paging, _: Context) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(self.0.catalogue.prompts.clone()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let name = request.name.as_str();
        if !self.0.catalogue.dialogues.contains_key(name) {
            let arguments = request.arguments.unwrap_or_default();
            return Ok(GetPromptResult::new(self.0.catalogue.prompt(name, &arguments)?).into());
        }
        let capabilities = context.client_capabilities().unwrap_or_default();
        let (responses, state) = (request.input_responses.as_ref(), request.request_state.as_deref());
        Ok(match self.step(name, &capabilities, responses, state)? {
            Next::Ask(result) => result.into(),
            Next::Done(text) => GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).into(),
        })
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let values = vec![format!("{}1", request.argument.value), format!("{}2", request.argument.value)];
        let invalid = |error: String| ErrorData::internal_error(error, None);
        Ok(CompleteResult::new(CompletionInfo::new(values).map_err(invalid)?))
    }

    /// Every level is accepted, and the tools log at `info` whatever it was.
    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.0.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // The sink refuses what the subscriber did not ask for.
            match change {
                Ok(Change::Tools) => drop(context.sink().notify_tool_list_changed().await),
                Ok(Change::Prompts) => drop(context.sink().notify_prompt_list_changed().await),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn get_task(&self, request: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        self.0.tasks.0.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.0.tasks.0.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.0.tasks.0.cancel_task(&request.task_id)
    }
}
