//! `adopt undo`: takes the changes of files back.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use gateway_adopt::reversed;
use gateway_core::secret::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::files;
use super::journal::{Changed, Journal};
use crate::cli::failure::{Exit, Failure};
use crate::cli::session::Session;
use crate::cli::view::{Table, View};

/// The most that is read from standard input, in bytes.
const LARGEST_INPUT: u64 = 4 * 1024 * 1024;

/// Values by the references that stand for them; the longest reference first, for one may begin another.
pub(super) type Values = Vec<(String, Secret)>;

/// How a file was found.
enum Found {
    Restored,
    /// It was never changed, or was restored before.
    Untouched,
    /// Somebody changed it since.
    Foreign,
}

/// Reads the values from standard input: whoever may read the store pipes them in, and no file of ours and no
/// command line ever holds one.
pub(super) fn values() -> Result<Values, Failure> {
    let stdin = io::stdin();
    let hint = "pipe a JSON object: {\"bao://kv/adopted/issues#authorization\": \"…\"}";
    if stdin.is_terminal() {
        return Err(Failure::usage("values are not typed in: they would stay on the screen").hint(hint));
    }
    let mut text = Zeroizing::new(String::new());
    let read = stdin.lock().take(LARGEST_INPUT).read_to_string(&mut text);
    read.map_err(|error| Failure::usage("standard input cannot be read").because(&error))?;
    parse(&text).ok_or_else(|| Failure::usage("standard input is no JSON object of texts").hint(hint))
}

fn parse(text: &str) -> Option<Values> {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return None };
    let mut values = Values::new();
    for (reference, value) in object {
        let Value::String(value) = value else { return None };
        values.push((reference, Secret::new(value.into_bytes())));
    }
    values.sort_by_key(|(reference, _)| std::cmp::Reverse(reference.len()));
    Some(values)
}

/// Takes the changes of files back. A file that somebody changed since is left alone, and said so.
pub(super) fn run(
    session: &mut Session,
    directory: Option<&Path>,
    id: &str,
    values: &Values,
) -> Result<Exit, Failure> {
    let mut journal = Journal::read(directory, id)?;
    if let Some((unknown, _)) = values.iter().find(|(name, _)| !journal.references.contains(name)) {
        return Err(Failure::usage(format!("adoption `{id}` has no reference `{unknown}`")));
    }
    let (mut restored, mut left, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
    for changed in &mut journal.files {
        let shown = changed.path.display().to_string();
        match restore(changed, id, values) {
            Ok(Found::Restored) => restored.push(shown),
            Ok(Found::Untouched) => untouched.push(shown),
            Ok(Found::Foreign) => left.push(format!("{shown}: changed since, left alone")),
            Err(error) => left.push(format!("{shown}: {error}")),
        }
    }
    let answer = json!({
        "id": id, "restored": restored, "untouched": untouched, "left": left,
        "references": journal.references, "objects": journal.objects,
    });
    session.printer.show(&answer, |_| {
        let stands = if values.is_empty() {
            "Where a value stood, its reference stands now"
        } else {
            "Values that came in are back in the files, open to whoever reads them"
        };
        View::default()
            .title(format!("Adoption {id}: undone"))
            .fields([
                ("restored", restored.join(", ")),
                ("never changed", untouched.join(", ")),
                ("left", left.join(", ")),
            ])
            .text(format!("{stands} ({}): the values stay in the store.", journal.references.join(", ")))
            .text(format!("Declared, and left as it is: {}.", journal.objects.join(", ")))
    });
    Ok(if left.is_empty() { Exit::Ok } else { Exit::Refused })
}

fn restore(changed: &Changed, id: &str, values: &Values) -> io::Result<Found> {
    match fs::remove_file(files::beside(&changed.path, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let bytes = Zeroizing::new(fs::read(&changed.path)?);
    if files::sha256(&bytes) != changed.sha256 {
        return Ok(if changed.done { Found::Foreign } else { Found::Untouched });
    }
    let json = changed
        .path
        .extension()
        .is_none_or(|ending| !matches!(ending.to_str(), Some("toml" | "yaml" | "yml")));
    let stands = |text: &str| put_back(text, values, json);
    let Some(before) = reversed(&bytes, &changed.back, stands) else { return Ok(Found::Foreign) };
    let done = files::exchange(&changed.path, &changed.sha256, &before, id)?;
    Ok(if done { Found::Restored } else { Found::Foreign })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the value that its owner pipes in goes back to where it stood in the owner's file"
)]
fn put_back(text: &str, values: &Values, json: bool) -> Zeroizing<String> {
    let mut made = Zeroizing::new(text.to_owned());
    for (reference, value) in values {
        let Ok(value) = std::str::from_utf8(value.expose()) else { continue };
        let escaped = Zeroizing::new(serde_json::to_string(value).unwrap_or_default());
        let inner = escaped.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        made = Zeroizing::new(made.replace(reference.as_str(), if json { inner } else { value }));
    }
    made
}

/// Every adoption that is kept.
pub(super) fn list(session: &mut Session, directory: Option<&Path>) -> Result<Exit, Failure> {
    let journals = Journal::all(directory)?;
    let shown: Vec<Value> = journals
        .iter()
        .map(|one| {
            let files: Vec<String> = one.files.iter().map(|file| file.path.display().to_string()).collect();
            let whole = one.files.iter().all(|file| file.done);
            json!({"id": one.id, "files": files, "references": one.references, "complete": whole})
        })
        .collect();
    session.printer.show(&json!({"adoptions": shown}), |_| {
        let mut table = Table::new(&["id", "file", "changed"]);
        for one in &journals {
            for file in &one.files {
                let state = if file.done { "yes" } else { "perhaps: --write was ended" };
                table.row([one.id.clone(), file.path.display().to_string(), state.to_owned()]);
            }
        }
        let view = View::default().table("Adoptions", table);
        if journals.is_empty() {
            view.text("Nothing was adopted from here.")
        } else {
            view.text("Undo one with: mcp-gateway adopt undo ID")
        }
    });
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_back_as_their_file_writes_them() {
        let text = r#"{"bao://kv/a#k": "va\"lue", "bao://kv/a#k-2": "other"}"#;
        let values = parse(text).unwrap();
        let back = |json| put_back("x bao://kv/a#k-2 y bao://kv/a#k", &values, json).to_string();
        assert_eq!(back(true), r#"x other y va\"lue"#);
        assert_eq!(back(false), r#"x other y va"lue"#);
        assert!(!format!("{values:?}").contains("lue"));
    }

    #[test]
    fn what_is_no_object_of_texts_is_refused() {
        for text in ["", "[]", "{\"a\": 1}", "{\"a\": {}}", "\"a\""] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(parse("{}").unwrap().is_empty());
    }
}
