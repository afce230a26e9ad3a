//! The tasks extension (SEP-2663), `io.modelcontextprotocol/tasks`: calls that outlive their request.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult, JsonObject,
};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use serde_json::Value;

use super::catalogue::Catalogue;

/// The tools that this file serves.
pub(super) const NAMES: &[&str] =
    &["slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input"];

/// How often a client may look.
const POLL_MILLIS: u64 = 100;
/// How long a job that fails works before it does.
const SHORT: Duration = Duration::from_millis(300);
/// The longest that a job may take.
const LONGEST_SECONDS: f64 = 120.0;

/// Runs one of the jobs: as a task where the client can follow one, at once where that is possible.
///
/// # Errors
/// The job needs a client that can follow a task, and this one cannot.
pub(super) async fn run(
    (tasks, catalogue): (&TaskManager, &Catalogue),
    name: &str,
    arguments: &JsonObject,
    follows: bool,
) -> Result<CallToolResponse, ErrorData> {
    let seconds =
        arguments.get("seconds").and_then(Value::as_f64).unwrap_or_default().clamp(0.0, LONGEST_SECONDS);
    let work = Duration::from_secs_f64(seconds);
    if !follows {
        if name == "slow_compute" {
            tokio::time::sleep(work).await;
            return Ok(done("computed").into());
        }
        return Err(needs_tasks());
    }
    let keys: &[&'static str] = match name {
        "confirm_delete" => &["confirm_delete"],
        "multi_input" => &["first", "second"],
        _ => &[],
    };
    let questions =
        keys.iter().filter_map(|key| Some((*key, catalogue.questions.get(*key)?.clone()))).collect();
    Ok(start(tasks, |context| match name {
        "slow_compute" => Box::pin(slow(context, work)),
        "failing_job" => Box::pin(fail(false)),
        "protocol_error_job" => Box::pin(fail(true)),
        _ => Box::pin(ask(context, questions)),
    }))
}

/// A task that ends with a text.
pub(super) fn finish_as_task(tasks: &TaskManager, text: String) -> CallToolResponse {
    start(tasks, |_| Box::pin(async move { Ok(done(text)) }))
}

/// The refusal of a client that did not declare the extension.
pub(super) fn needs_tasks() -> ErrorData {
    ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_tasks().build())
}

fn start(tasks: &TaskManager, job: impl FnOnce(TaskContext) -> TaskFuture) -> CallToolResponse {
    CreateTaskResult::new(tasks.spawn(TaskOptions::new().with_poll_interval_ms(POLL_MILLIS), job)).into()
}

fn done(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

async fn slow(context: TaskContext, work: Duration) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = tokio::time::sleep(work) => Ok(done("computed")),
        () = context.cancelled() => Err(TaskExit::Cancelled),
    }
}

async fn fail(as_protocol_error: bool) -> Result<CallToolResult, TaskExit> {
    tokio::time::sleep(SHORT).await;
    if as_protocol_error {
        return Err(ErrorData::internal_error("this job always fails", None).into());
    }
    Ok(CallToolResult::error(vec![ContentBlock::text("this job always fails")]))
}

async fn ask(
    context: TaskContext,
    questions: Vec<(&'static str, rmcp::model::InputRequest)>,
) -> Result<CallToolResult, TaskExit> {
    let asked = questions.into_iter().map(|(key, question)| {
        let context = context.clone();
        async move { context.request_input(key, question).await }
    });
    let mut answers = tokio::task::JoinSet::new();
    for question in asked {
        answers.spawn(question);
    }
    let mut count = 0_usize;
    while let Some(answer) = answers.join_next().await {
        answer.map_err(|_| TaskExit::Cancelled)??;
        count = count.saturating_add(1);
    }
    Ok(done(format!("{count} answers")))
}
