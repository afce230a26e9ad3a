//! The evidence: searched, joined with the server's own log, verified, and a forgery found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gateway_adapters::audit::{Filter, Order, PublicKey, Reader, Signer, VerifyReport, verify_directory};
use gateway_core::audit::EventKind;

use crate::demo::agent::until;
use crate::demo::failure::Failure;
use crate::demo::operator::word;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

/// More than the demo leaves.
const MANY: usize = 1_000_000;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    searched(stage, act).await?;
    let directory = stage.path("audit");
    joined(stage, act, &directory).await?;
    let key = Signer::open(&directory.join("checkpoint-key.pk8"))
        .map_err(|error| Failure::at("the checkpoint key", error))?
        .public_key()
        .clone();
    let report = checkpointed(&directory, &key).await?;
    act.figure("records", report.records);
    act.figure("checkpoints", report.checkpoints);
    let text = format!(
        "{} records follow one another, hash by hash: nothing changed, nothing missing",
        report.records
    );
    act.claim("chain_verifies", &text, report.holds() && report.records > 0);
    let text = format!("{} signed checkpoints vouch for it", report.checkpoints);
    act.claim("checkpoints_vouch", &text, report.checkpoints > 0);
    forged(stage, act, &directory, key).await
}

async fn searched(stage: &Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    act.say("What happened to triage-bot's binding, by the control API:");
    let found = stage.bob.get("/v1/audit?binding=issues-triage&limit=5").await?;
    let records = found.get("records").and_then(serde_json::Value::as_array);
    let records = records.map(Vec::as_slice).unwrap_or_default();
    for record in records {
        act.show(&format!(
            "#{:<7} {:<22} {:<12} {:<18} {}",
            word(record, "/sequence"),
            word(record, "/event/kind"),
            word(record, "/event/agent"),
            word(record, "/event/binding"),
            word(record, "/event/tool"),
        ));
    }
    act.claim("search_finds", "the search answers", !records.is_empty());
    Ok(())
}

/// Every request in the server's log has an intent that was recorded, by its request id.
async fn joined(stage: &Stage, act: &mut Act<'_>, directory: &Path) -> Result<(), Failure> {
    let reader = Reader::new(directory);
    let search = move || {
        let filter = Filter { kind: Some(EventKind::Intent), ..Filter::default() };
        reader.search(&filter, Order::OldestFirst, MANY)
    };
    let found =
        tokio::task::spawn_blocking(search).await.map_err(|error| Failure::at("the search", error))??;
    let intents: BTreeSet<String> = found
        .records
        .iter()
        .filter_map(|stored| stored.event.request_id.as_ref().map(|id| id.as_str().to_owned()))
        .collect();
    let lines = [stage.server.journal().since(0), stage.production.journal().since(0)].concat();
    let ids: Vec<_> = lines.iter().filter_map(|line| line.request_id.as_ref()).collect();
    let missing = ids.iter().filter(|id| !intents.contains(**id)).count();
    act.figure("upstream_requests_by_the_gateway", ids.len());
    act.figure("upstream_requests_without_intent", missing);
    let text =
        format!("{} requests in the servers' own logs, {missing} of them without a record before", ids.len());
    act.claim("every_use_was_recorded_first", &text, missing == 0 && !ids.is_empty());
    Ok(())
}

async fn verified(directory: PathBuf, key: PublicKey) -> Result<VerifyReport, Failure> {
    let verify = move || verify_directory(&directory, &[key], None);
    let report = tokio::task::spawn_blocking(verify).await;
    Ok(report.map_err(|error| Failure::at("the verification", error))??)
}

/// Verifies, once there is a signed checkpoint: the gateway makes one every second here.
async fn checkpointed(directory: &Path, key: &PublicKey) -> Result<VerifyReport, Failure> {
    let signed = directory.join("checkpoints.jsonl");
    until("the first checkpoint", || std::fs::metadata(&signed).is_ok_and(|file| file.len() > 0)).await?;
    verified(directory.to_owned(), key.clone()).await
}

/// Changes one record of a copy.
async fn forged(stage: &Stage, act: &mut Act<'_>, directory: &Path, key: PublicKey) -> Result<(), Failure> {
    let copy = stage.path("audit-copy");
    std::fs::create_dir(&copy)?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        // The signing key and the lock stay where they are.
        if name.to_string_lossy().ends_with(".jsonl") {
            std::fs::copy(entry.path(), copy.join(name))?;
        }
    }
    let victim = tamper(&copy)?;
    let report = verified(copy, key).await?;
    let found = report.first_problem.map_or(0, |problem| problem.sequence.0);
    act.figure("tampered_record", victim);
    act.figure("tampering_found_at", found);
    let kind = report.first_problem.map(|problem| problem.kind.to_string()).unwrap_or_default();
    let text = format!("one word changed in record {victim} of a copy: found at record {found} ({kind})");
    act.claim("tampering_is_found", &text, found == victim && victim > 0);
    Ok(())
}

/// Turns a refusal in the middle of the copy into a permission; says in which record.
fn tamper(copy: &Path) -> Result<u64, Failure> {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(copy)?.flatten().map(|entry| entry.path()).collect();
    segments.sort();
    for segment in segments {
        let text = std::fs::read_to_string(&segment)?;
        let Some(line) = text.lines().find(|line| line.contains(r#""decision":"deny""#)) else { continue };
        let number = line.split_once("\"seq\":").map_or("", |(_, rest)| rest);
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        let victim = digits.parse().map_err(|error| Failure::at("the record's number", error))?;
        let forged = line.replace(r#""decision":"deny""#, r#""decision":"allow""#);
        std::fs::write(&segment, text.replacen(line, &forged, 1))?;
        return Ok(victim);
    }
    Err(Failure::new("no refusal stands in the chain"))
}
