//! Revocation: when it answers, no new call starts and nothing flows any more.

use rmcp::model::SubscriptionFilter;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::demo::agent::{Agent, Generation, until, within};
use crate::demo::call;
use crate::demo::failure::Failure;
use crate::demo::operator::number;
use crate::demo::stage::Stage;
use crate::demo::story::Act;
use crate::demo::traffic::{Errand, Traffic};

/// Calls that are under way when the revocation comes.
const IN_FLIGHT: usize = 16;
/// Attempts after it.
const ATTEMPTS: usize = 50;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let door = stage.door("dev", "issues");
    let legacy = Agent::connect(&door, &stage.tokens.triage, Generation::Legacy, &stage.collected).await?;
    let modern = Agent::connect(&door, &stage.tokens.triage, Generation::Modern, &stage.collected).await?;
    let stream = legacy.start("slow", json!({"millis": 100_000, "progress": 2_000}));
    until("the first progress reports", || legacy.progress() >= 3).await?;
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let subscription = within("the subscription", modern.peer().listen(filter)).await?;
    let mut subscription = subscription.map_err(|error| Failure::at("the subscription", error))?;
    let running = under_way(stage, &modern).await?;
    let report = Errand {
        url: door.clone(),
        bearer: stage.tokens.report.clone(),
        expected: vec![stage.keys.rotated.prefix().to_owned()],
    };
    let others = Traffic::start(2, &report, &stage.collected)?;
    until("the other binding's traffic", || others.calls() >= 20).await?;
    act.say(&format!(
        "triage-bot streams progress, listens to a subscription and has {IN_FLIGHT} calls under way; report-bot"
    ));
    act.say("calls by another binding of the same server. Then Alice revokes issues-triage:");
    let alive = !stream.is_finished() && subscription.end().is_none();
    let flying = running.iter().filter(|call| !call.is_finished()).count();
    act.figure("calls_under_way", flying);
    let text = format!("until then both streams live, and {flying} calls are under way");
    act.claim("alive_before", &text, alive && flying == IN_FLIGHT);
    let began = Instant::now();
    let evidence = stage.alice.post("/v1/bindings/dev/issues-triage/revoke", &json!({})).await?;
    let took = began.elapsed();
    let at = stage.server.journal().position();
    let calls_then = others.calls();
    act.show(&serde_json::to_string_pretty(&evidence)?);
    noted(act, &evidence, took.as_millis());
    let streamed = within("the end of the progress stream", stream).await?;
    let cut = matches!(streamed, Ok(false) | Err(_));
    act.claim("legacy_stream_ended", "the live stream of 2025-11-25 was cut", cut);
    let ended =
        within("the end of the subscription", async { while let Ok(Some(_)) = subscription.next().await {} });
    act.claim("modern_stream_ended", "the live subscription of 2026-07-28 was cut", ended.await.is_ok());
    let mut survived = 0_usize;
    for call in running {
        survived += usize::from(matches!(within("a running call", call).await?, Ok(true)));
    }
    act.claim(
        "calls_in_flight_ended",
        &format!("of {IN_FLIGHT} calls under way, {survived} got an answer"),
        survived == 0,
    );
    afterwards(stage, act, &door, at).await?;
    until("the other binding's traffic goes on", || others.calls() >= calls_then.saturating_add(50)).await?;
    let figures = others.stop().await;
    act.figure("other_binding_calls", figures.calls);
    act.figure("other_binding_failures", figures.failures);
    let text = format!("report-bot noticed nothing: {} calls, {} failed", figures.calls, figures.failures);
    act.claim("other_binding_flows", &text, figures.failures == 0);
    Ok(())
}

async fn under_way(stage: &Stage, agent: &Agent) -> Result<Vec<tokio::task::JoinHandle<bool>>, Failure> {
    let journal = stage.server.journal();
    let from = journal.position();
    let running = (0..IN_FLIGHT).map(|_| agent.start("slow", json!({"millis": 60_000}))).collect();
    until("the calls under way", || {
        journal.since(from).iter().filter(|line| line.name.as_deref() == Some("slow")).count() >= IN_FLIGHT
    })
    .await?;
    Ok(running)
}

fn noted(act: &mut Act<'_>, evidence: &Value, millis: u128) {
    act.figure("acknowledged_after_ms", u64::try_from(millis).unwrap_or(u64::MAX));
    for name in ["calls", "streams", "sessions", "cached_values"] {
        act.figure(&format!("ended_{name}"), number(evidence, &format!("/ended/{name}")));
    }
    for name in ["revoked", "completed"] {
        act.figure(&format!("audit_sequence_{name}"), number(evidence, &format!("/audit/{name}")));
    }
    let streams = number(evidence, "/ended/streams");
    let sessions = number(evidence, "/ended/sessions");
    let text = format!(
        "acknowledged after {millis} ms, with evidence: {streams} streams and {sessions} sessions ended"
    );
    let recorded = number(evidence, "/audit/revoked") > 0 && number(evidence, "/audit/completed") > 0;
    let holds = streams >= 2 && sessions >= 1 && recorded;
    act.claim("evidence_names_what_ended", &text, holds);
}

async fn afterwards(stage: &Stage, act: &mut Act<'_>, door: &str, at: usize) -> Result<(), Failure> {
    let web = call::web()?;
    let mut refused = 0_usize;
    for _ in 0..ATTEMPTS {
        let answer = call::read(&web, door, &stage.tokens.triage, "whoami", &stage.collected).await?;
        refused += usize::from(answer.status == 404);
    }
    act.claim(
        "next_calls_refused",
        &format!("{refused} of {ATTEMPTS} further calls refused"),
        refused == ATTEMPTS,
    );
    let lines = stage.server.journal().since(at);
    let late = lines
        .iter()
        .filter(|line| line.binding.as_deref().is_some_and(|binding| binding.starts_with("issues-triage@")))
        .count();
    act.figure("upstream_requests_after_acknowledgement", late);
    let text = format!("the server's log: {late} requests by that binding after the acknowledgement");
    act.claim("nothing_after_acknowledgement", &text, late == 0);
    Ok(())
}
