//! Rotation: a new key at the provider, a new version in the store, no failed call.

use serde_json::json;

use crate::demo::agent::until;
use crate::demo::call;
use crate::demo::failure::Failure;
use crate::demo::manifests::ADOPTED;
use crate::demo::operator::word;
use crate::demo::stage::Stage;
use crate::demo::story::Act;
use crate::demo::traffic::{Errand, Traffic};

/// Callers at the same time.
const CALLERS: usize = 8;
/// Calls before, and again after.
const CALLS: u64 = 1_000;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let (old, new) = (&stage.keys.loose, &stage.keys.rotated);
    let errand = Errand {
        url: stage.door("dev", "issues"),
        bearer: stage.tokens.triage.clone(),
        expected: vec![old.prefix().to_owned(), new.prefix().to_owned()],
    };
    let journal = stage.server.journal();
    let from = journal.position();
    act.say(&format!("{CALLERS} callers call without pause …"));
    let traffic = Traffic::start(CALLERS, &errand, &stage.collected)?;
    until("traffic before the rotation", || traffic.calls() >= CALLS).await?;
    act.say("The provider issues a second key, and both are good for a while. Into the store it goes,");
    act.say("and both bindings are rotated: probed with the new key first, then switched.");
    stage.server.accept_list().accept(new.sha256.clone());
    let version = stage.alice.put_secret(&ADOPTED, new).await?;
    for binding in ["issues-triage", "issues-report"] {
        let answer = stage.alice.post(&format!("/v1/bindings/dev/{binding}/rotate"), &json!({})).await?;
        act.figure(&format!("step_{binding}"), word(&answer, "/outcome"));
    }
    act.figure("secret_version", version);
    // The overlap ends once every call that began before has ended.
    let marks = traffic.marks();
    until("the calls that began before the rotation", || traffic.is_past(&marks)).await?;
    stage.server.accept_list().reject(&old.sha256);
    let ended = traffic.calls();
    act.say("The overlap ends: the provider takes the old key back.");
    until("traffic after the overlap", || traffic.calls() >= ended.saturating_add(CALLS)).await?;
    let figures = traffic.stop().await;
    let lines = journal.since(from);
    let of =
        |sha256: &str| lines.iter().filter(|line| line.credential_sha256.as_deref() == Some(sha256)).count();
    let (with_old, with_new) = (of(&old.sha256), of(&new.sha256));
    act.figure("calls", figures.calls);
    act.figure("failed_calls", figures.failures);
    act.figure("calls_per_second", figures.rate());
    act.figure("upstream_requests_with_old_key", with_old);
    act.figure("upstream_requests_with_new_key", with_new);
    if let Some(first) = &figures.first_failure {
        act.figure("first_failure", first.clone());
    }
    let text = format!(
        "{} calls at {} a second, every answer checked: {} failed",
        figures.calls,
        figures.rate(),
        figures.failures
    );
    act.claim("no_failed_call", &text, figures.failures == 0 && figures.calls >= 2 * CALLS);
    let text =
        format!("the server's log: {with_old} requests with the old key, then {with_new} with the new one");
    act.claim("both_keys_were_used", &text, with_old > 0 && with_new > 0);
    let answer =
        call::read(&call::web()?, &stage.server.url(), &old.text(), "whoami", &stage.collected).await?;
    let text = format!("the old key at the server itself: {}", answer.status);
    act.claim("old_key_is_dead", &text, answer.status == 401);
    Ok(())
}
