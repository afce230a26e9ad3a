//! The sweep: every listed encoding of every key, in everything that the demo left or heard.

use std::path::{Path, PathBuf};

use crate::demo::failure::Failure;
use crate::demo::search::Search;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let search = Search::new(&stage.keys.all())?;
    act.figure("forms_searched", search.forms());
    act.say("Three keys, each in raw, base64, base64url, basic, percent, hex and JSON forms, looked for in:");
    control(stage, act, &search).await?;
    files(stage, act, &search)?;
    let arguments = std::fs::read("/proc/self/cmdline")?;
    act.claim("arguments_are_clean", "the process's arguments", !search.finds(&arguments));
    let metrics =
        format!("{}{}", stage.bob.page("/metrics").await?, stage.running.gateway.figures().into_text());
    let text = format!("the metrics, {} bytes", metrics.len());
    act.claim("metrics_are_clean", &text, !search.finds(&metrics) && metrics.len() > 100);
    wires(stage, act, &search);
    let told = act.told();
    act.claim("story_is_clean", "the story that you have just read", !search.finds(&told));
    Ok(())
}

/// The search itself must be able to find something: the leak at its source.
async fn control(stage: &Stage, act: &mut Act<'_>, search: &Search) -> Result<(), Failure> {
    let web = crate::demo::call::web()?;
    let key = &stage.keys.rotated;
    // Asked directly, past the gateway; the answer is looked at and not kept.
    let response = crate::demo::call::tool(&web, &stage.server.url(), &key.text(), "leak").await?;
    let text = response.text().await?;
    let planted = search.finds(&text);
    act.claim(
        "sweep_can_find",
        "first the proof that the search works: the leak at its source is found",
        planted,
    );
    Ok(())
}

fn files(stage: &Stage, act: &mut Act<'_>, search: &Search) -> Result<(), Failure> {
    let (mut found, mut bytes, mut logged) = (Vec::new(), 0_usize, 0_usize);
    let paths = below(stage.root())?;
    for path in &paths {
        let content = std::fs::read(path)?;
        bytes = bytes.saturating_add(content.len());
        if path.ends_with("gateway.log") {
            logged = content.len();
        }
        if search.finds(&content) {
            found.push(path.strip_prefix(stage.root()).unwrap_or(path).display().to_string());
        }
    }
    act.figure("files_searched", paths.len());
    act.figure("file_bytes_searched", bytes);
    act.figure("log_bytes_searched", logged);
    act.figure("files_with_a_key", found.clone());
    let text = format!(
        "{} files, {bytes} bytes: state, audit, configurations, sealed stores, and the log at level trace",
        paths.len()
    );
    act.claim("files_are_clean", &text, found.is_empty() && logged > 0);
    Ok(())
}

fn below(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

fn wires(stage: &Stage, act: &mut Act<'_>, search: &Search) {
    let pieces = stage.collected.pieces();
    let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let found = pieces.iter().filter(|piece| search.finds(&piece.bytes));
    let dirty: Vec<String> = found.map(|piece| piece.from.clone()).collect();
    act.figure("answers_searched", pieces.len());
    act.figure("answer_bytes_searched", bytes);
    act.figure("answers_with_a_key", dirty.clone());
    let text = format!(
        "{} answers to agents and operators, headers and errors included, {bytes} bytes",
        pieces.len()
    );
    act.claim("answers_are_clean", &text, dirty.is_empty() && !pieces.is_empty());
}
