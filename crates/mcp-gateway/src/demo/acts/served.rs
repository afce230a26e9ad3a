//! Allowed calls: the server's log proves that it received the credential, the agent's transcript
//! proves that the agent did not.

use serde_json::json;

use crate::demo::agent::{Agent, Generation};
use crate::demo::call;
use crate::demo::failure::Failure;
use crate::demo::search::Search;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    for generation in Generation::BOTH {
        let revision = generation.revision();
        act.say(&format!("A client of {revision} with an agent token of triage-bot and no key:"));
        let from = stage.server.journal().position();
        let told = converse(stage, generation).await?;
        let lines = stage.server.journal().since(from);
        let calls = lines.iter().filter(|line| line.method.as_deref() == Some("tools/call")).count();
        let right = lines.iter().all(|line| {
            line.authorized
                && line.credential_sha256.as_deref() == Some(stage.keys.loose.sha256.as_str())
                && line.binding.as_deref().is_some_and(|binding| binding.starts_with("issues-triage@"))
        });
        let clean = lines.iter().all(|line| !line.foreign_token);
        act.figure(&format!("upstream_requests_{revision}"), lines.len());
        let text = format!(
            "the server's log: {} requests, {calls} of them tool calls, each with the key",
            lines.len()
        );
        act.claim(&format!("server_received_key_{revision}"), &text, right && calls == 4);
        let text = "the server's log: none of them with the agent's own token";
        act.claim(&format!("no_token_passthrough_{revision}"), text, clean && !lines.is_empty());
        let markers = told.matches("[scrubbed:issues-triage]").count();
        let hidden = !Search::new(&stage.keys.all())?.finds(&told);
        act.figure(&format!("markers_{revision}"), markers);
        let text = format!(
            "the agent's transcript: {} bytes and no key; where the server leaked it, {markers} markers",
            told.len()
        );
        act.claim(&format!("agent_never_saw_key_{revision}"), &text, hidden && markers >= 7);
    }
    raw_leak(stage, act).await
}

/// Everything that the agent was told.
async fn converse(stage: &Stage, generation: Generation) -> Result<String, Failure> {
    let door = stage.door("dev", "issues");
    let agent = Agent::connect(&door, &stage.tokens.triage, generation, &stage.collected).await?;
    let mut told = agent.tools().await?.join(" ");
    told.push_str(&agent.call("echo", json!({"text": "hello"})).await?);
    told.push_str(&agent.call("list_issues", json!({})).await?);
    let who = agent.call("whoami", json!({})).await?;
    if !who.contains(stage.keys.loose.prefix()) {
        return Err(Failure::new("the server saw another credential"));
    }
    told.push_str(&who);
    told.push_str(&agent.call("leak", json!({})).await?);
    Ok(told)
}

/// The same leak as bytes on the wire, headers included.
async fn raw_leak(stage: &Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let door = stage.door("dev", "issues");
    let answer = call::read(&call::web()?, &door, &stage.tokens.triage, "leak", &stage.collected).await?;
    let hidden = !Search::new(&stage.keys.all())?.finds(&answer.text);
    let markers = answer.text.matches("[scrubbed:issues-triage]").count();
    let text = "raw, base64, base64url, basic, percent, hex and JSON forms leave the server; none arrives";
    act.claim("leak_is_scrubbed", text, answer.status == 200 && hidden && markers >= 7);
    Ok(())
}
