//! The loose key: in use in a client's configuration, then adopted.

use std::path::Path;

use serde_json::{Value, json};

use crate::demo::adopt::{self, LooseKey};
use crate::demo::agent::{Agent, Generation};
use crate::demo::failure::Failure;
use crate::demo::manifests::{ADOPTED, development, specs};
use crate::demo::operator::word;
use crate::demo::search::Search;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let folder = stage.path("client");
    std::fs::create_dir(&folder)?;
    let file = folder.join("mcp.json");
    adopt::write(&file, &pasted(stage))?;
    let text = std::fs::read_to_string(&file)?;
    let document: Value = serde_json::from_str(&text)?;
    let found = adopt::find("client/mcp.json", &text);
    let [key] = found.as_slice() else {
        return Err(Failure::new(format!("{} loose keys were found, not one", found.len())));
    };
    act.say("Somebody pasted a key into the configuration of an MCP client (client/mcp.json):");
    let shown = serde_json::to_string_pretty(&adopt::backup(&document, key, ""))?;
    act.show(&shown.replace("moved to ", "<the key, in the clear>"));
    let before = files_with_keys(stage, &folder)?;
    in_use(stage, act).await?;
    act.say(&format!("Adopting it: into the sealed store, behind the reference {ADOPTED} …"));
    let version = stage.alice.put_secret(&ADOPTED, &stage.keys.loose).await?;
    act.figure("secret_version", version);
    declare(stage, act, key).await?;
    let door = stage.door("dev", "issues");
    adopt::write(
        &folder.join("mcp.json.before-adoption"),
        &adopt::backup(&document, key, &ADOPTED.to_string()),
    )?;
    let mut rewritten = document.clone();
    adopt::rewrite(&mut rewritten, &key.server, &door);
    adopt::write(&file, &rewritten)?;
    act.say("The client's configuration now points at the gateway:");
    act.show(&serde_json::to_string_pretty(&rewritten)?);
    let after = files_with_keys(stage, &folder)?;
    act.figure("files_with_the_key_before", before);
    act.figure("files_with_the_key_after", after);
    let text =
        format!("files of the client that hold the key: {before} before, {after} after, backup included");
    act.claim("key_gone_from_client", &text, before == 1 && after == 0);
    hand_out_tokens(stage).await
}

/// The configuration as a client writes it.
fn pasted(stage: &Stage) -> Value {
    let header = format!("Bearer {}", stage.keys.loose.text());
    json!({"mcpServers": {"issues": {
        "type": "http", "url": stage.server.url(), "headers": {"Authorization": header},
    }}})
}

fn files_with_keys(stage: &Stage, folder: &Path) -> Result<u64, Failure> {
    let search = Search::new(&stage.keys.all())?;
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        count += u64::from(search.finds(std::fs::read(entry?.path())?));
    }
    Ok(count)
}

/// The key opens the server for whoever holds it.
async fn in_use(stage: &Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let url = stage.server.url();
    let bearer = stage.keys.loose.text();
    let agent = Agent::connect(&url, &bearer, Generation::Legacy, &stage.collected).await?;
    let told = agent.call("whoami", json!({})).await?;
    let text = "with the pasted key anybody opens the server, past every rule";
    act.claim("key_was_in_use", text, told.contains(stage.keys.loose.prefix()));
    Ok(())
}

async fn declare(stage: &Stage, act: &mut Act<'_>, key: &LooseKey) -> Result<(), Failure> {
    let text = development(&key.url, &key.header, &key.format);
    std::fs::write(stage.path("adopted.yaml"), &text)?;
    let written = stage.alice.apply(&specs("adopted.yaml", &text)?).await?;
    let active = written.iter().filter(|one| word(one, "/status") == "active").count();
    act.figure("objects_declared", written.len());
    let said = format!(
        "{active} objects declared in adopted.yaml and active in `dev`: server, agents, policy, bindings"
    );
    act.claim("manifests_applied", &said, active == written.len() && active > 0);
    Ok(())
}

async fn hand_out_tokens(stage: &mut Stage) -> Result<(), Failure> {
    stage.tokens.triage = stage.alice.agent_token("triage-bot", "dev").await?;
    stage.tokens.report = stage.alice.agent_token("report-bot", "dev").await?;
    stage.tokens.stray = stage.alice.agent_token("stray-bot", "dev").await?;
    Ok(())
}
