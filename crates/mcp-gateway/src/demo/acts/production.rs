//! Production: nothing decides before a second person signed, and development has no way in.

use serde_json::{Value, json};
use url::Url;

use super::card::rendered;
use crate::demo::call;
use crate::demo::failure::Failure;
use crate::demo::manifests::{RELEASE, production, specs};
use crate::demo::operator::{number, word};
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    act.say("Alice of the platform team, an administrator, declares production:");
    stage.alice.put_secret(&RELEASE, &stage.keys.release).await?;
    let url = Url::parse(&stage.production.url()).map_err(|error| Failure::at("the server's URL", error))?;
    let text = production(&url);
    std::fs::write(stage.path("production.yaml"), &text)?;
    let written = stage.alice.apply(&specs("production.yaml", &text)?).await?;
    let pending: Vec<_> = written.iter().filter(|one| word(one, "/status") == "pending").collect();
    act.figure("pending_objects", pending.len());
    let said = format!("{} of {} objects wait for a signature", pending.len(), written.len());
    act.claim("production_waits_for_approval", &said, pending.len() == 4);
    own_work(stage, act).await?;
    signatures(stage, act, &pending).await?;
    served(stage, act).await?;
    from_development(stage, act).await?;
    repointed(stage, act, &text).await
}

async fn own_work(stage: &Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let path = "/v1/bindings/production/issues-release/approve";
    let answer = stage.alice.try_post(path, &json!({"revision": 1})).await?;
    act.figure("self_approval", format!("{} {}", answer.status, answer.code()));
    let said = format!("Alice signs her own binding: refused with {}", answer.code());
    act.claim("author_cannot_approve", &said, answer.status == 403 && answer.code() == "approval.own_work");
    Ok(())
}

/// Bob signs everything, what a binding rests on first.
async fn signatures(stage: &Stage, act: &mut Act<'_>, pending: &[&Value]) -> Result<(), Failure> {
    let mut objects: Vec<(String, u64)> =
        pending.iter().map(|one| (word(one, "/object"), number(one, "/revision"))).collect();
    objects.sort_by_key(|(object, _)| object.starts_with("Binding/"));
    for (object, revision) in objects {
        let path = match object.split('/').collect::<Vec<_>>().as_slice() {
            [kind, environment, name] => format!("/v1/objects/{kind}/{environment}/{name}/approve"),
            [kind, name] => format!("/v1/objects/{kind}/-/{name}/approve"),
            _ => return Err(Failure::new(format!("`{object}` names no object"))),
        };
        stage.bob.post(&path, &json!({"revision": revision})).await?;
    }
    let card = stage.bob.get("/v1/bindings/production/issues-release").await?;
    act.say("Bob of security reads the card, with its exceptions, and signs:");
    act.show(&rendered(&card));
    let exceptions = card.get("exceptions").and_then(Value::as_array).map_or(0, Vec::len);
    act.figure("exceptions_on_the_card", exceptions);
    let signed = word(&card, "/status") == "active" && word(&card, "/approvals/0/approver").ends_with("|bob");
    act.claim("other_approver_signs", "signed by another person than its author, it is active", signed);
    act.claim(
        "exceptions_are_on_the_card",
        "both exceptions stand on the card, with reasons",
        exceptions == 2,
    );
    Ok(())
}

async fn served(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    stage.tokens.release = stage.alice.agent_token("release-bot", "production").await?;
    let from = stage.production.journal().position();
    let door = stage.door("production", "issues");
    let answer = call::read(&call::web()?, &door, &stage.tokens.release, "whoami", &stage.collected).await?;
    let lines = stage.production.journal().since(from);
    let right = lines.iter().any(|line| line.credential_sha256.as_ref() == Some(&stage.keys.release.sha256));
    let holds = answer.status == 200 && right && answer.text.contains(stage.keys.release.prefix());
    act.claim(
        "production_agent_is_served",
        "release-bot calls, and the server's log shows production's key",
        holds,
    );
    Ok(())
}

async fn from_development(stage: &Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let from = stage.production.journal().position();
    let door = stage.door("production", "issues");
    let answer = call::read(&call::web()?, &door, &stage.tokens.triage, "whoami", &stage.collected).await?;
    let reached = stage.production.journal().since(from).len();
    act.figure("dev_agent_in_production", format!("{} {}", answer.status, answer.code()));
    let said = format!(
        "triage-bot of `dev` knocks at production: {} {}, and the server's log stays empty",
        answer.status,
        answer.code()
    );
    act.claim("dev_agent_refused", &said, matches!(answer.status, 401 | 403 | 404) && reached == 0);
    Ok(())
}

/// Alice points the approved server at an address of her own.
async fn repointed(stage: &Stage, act: &mut Act<'_>, text: &str) -> Result<(), Failure> {
    let elsewhere = text.replace(&stage.production.url(), &stage.server.url());
    let written = stage.alice.apply(&specs("repointed.yaml", &elsewhere)?).await?;
    let server = written.iter().find(|one| word(one, "/object") == "Server/production/issues");
    let status = server.map(|one| word(one, "/status")).unwrap_or_default();
    let from = stage.server.journal().position();
    let door = stage.door("production", "issues");
    let answer = call::read(&call::web()?, &door, &stage.tokens.release, "whoami", &stage.collected).await?;
    let strayed = stage.server.journal().since(from).len();
    act.figure("repointed_route", status.clone());
    let said = "a changed route waits too: calls go on to the approved address, none to the new one";
    let holds = status == "pending" && answer.status == 200 && strayed == 0;
    act.claim("repointed_route_waits", said, holds);
    Ok(())
}
