//! Refusals: unknown and forbidden look the same from outside.

use serde_json::json;

use crate::demo::agent::{Agent, Generation};
use crate::demo::call;
use crate::demo::failure::Failure;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let from = stage.server.journal().position();
    let web = call::web()?;
    let (stray, triage) = (stage.tokens.stray.as_str(), stage.tokens.triage.as_str());
    let (issues, nothing) = (stage.door("dev", "issues"), stage.door("dev", "no-such-server"));
    act.say("stray-bot may enter `dev`, but no binding names it:");
    let bound = call::read(&web, &issues, stray, "list_issues", &stage.collected).await?;
    let unknown = call::read(&web, &nothing, stray, "list_issues", &stage.collected).await?;
    act.figure("unbound_answer", format!("{} {}", bound.status, bound.code()));
    let text = format!(
        "refused with {} {}, word for word like a server that does not exist",
        bound.status,
        bound.code()
    );
    let same = bound.comparable() == unknown.comparable();
    act.claim("unbound_equals_unknown", &text, same && bound.status == 404);
    let refused = Agent::connect(&issues, stray, Generation::Legacy, &stage.collected).await.is_err();
    act.claim("unbound_handshake_refused", "its handshake is refused too", refused);
    act.say("triage-bot is bound, but its binding leaves out `delete_everything`:");
    let agent = Agent::connect(&issues, triage, Generation::Modern, &stage.collected).await?;
    let shown = agent.tools().await?;
    act.figure("tools_shown", json!(shown));
    let text = format!("the list shows {} tools, and that one is not among them", shown.len());
    let hidden = !shown.iter().any(|name| name == "delete_everything");
    act.claim("forbidden_tool_is_hidden", &text, hidden && shown.len() == 6);
    let forbidden = call::read(&web, &issues, triage, "delete_everything", &stage.collected).await?;
    let absent = call::read(&web, &issues, triage, "no_such_tool", &stage.collected).await?;
    let same = forbidden.comparable().replace("delete_everything", "")
        == absent.comparable().replace("no_such_tool", "");
    act.figure("hidden_tool_answer", format!("{} {}", forbidden.status, forbidden.code()));
    act.claim(
        "hidden_equals_unknown",
        "called all the same, it answers like a tool that does not exist",
        same,
    );
    let nobody = call::read(&web, &issues, "not-a-token", "list_issues", &stage.collected).await?;
    act.claim("stranger_is_refused", "a stranger gets 401 and a challenge", nobody.status == 401);
    let lines = stage.server.journal().since(from);
    let reached = lines.iter().filter(|line| line.method.as_deref() == Some("tools/call")).count();
    act.figure("refused_calls_that_reached_the_server", reached);
    act.claim("nothing_reached_the_server", "the server's log: none of these calls arrived", reached == 0);
    Ok(())
}
