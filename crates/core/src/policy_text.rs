//! The statements of a Cedar text, and which of them differ between two texts. It only finds where each ends; what
//! they mean, and whether they hold, is for the compiler to say.

use std::collections::HashSet;

use serde::Serialize;

/// One statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Statement {
    /// `permit` or `forbid`; absent where the text is neither, which no compiler takes.
    pub effect: Option<&'static str>,
    /// The text, its annotations included, without comments and with single spaces.
    pub text: String,
}

/// The statements of two texts that are not in both.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StatementChanges {
    /// Only in the new one.
    pub added: Vec<Statement>,
    /// Only in the old one.
    pub removed: Vec<Statement>,
}

/// Compares two texts, statement by statement; order and layout do not matter.
pub fn changes(before: &str, after: &str) -> StatementChanges {
    let (old, new) = (statements(before), statements(after));
    let only = |here: &[Statement], there: &[Statement]| {
        // A text may hold some hundred thousand statements: each is looked up, not compared with all others.
        let there: HashSet<&Statement> = there.iter().collect();
        here.iter().filter(|one| !there.contains(one)).cloned().collect()
    };
    StatementChanges { added: only(&new, &old), removed: only(&old, &new) }
}

/// The statements in which a string says this word: as the id of an entity, as a value, or but for `*` at its ends. What
/// is written in escapes is not found.
pub fn naming(text: &str, word: &str) -> Vec<Statement> {
    let says = |one: &Statement| strings(&one.text).any(|string| string.trim_matches('*') == word);
    statements(text).into_iter().filter(says).collect()
}

/// What stands between quotation marks.
fn strings(text: &str) -> impl Iterator<Item = &str> {
    let (mut begun, mut escaped) = (None, false);
    let ends = text.char_indices().filter_map(move |(place, character)| {
        if escaped {
            escaped = false;
            return None;
        }
        match (character, begun) {
            ('\\', Some(_)) => escaped = true,
            ('"', None) => begun = Some(place + 1),
            ('"', Some(from)) => {
                begun = None;
                return Some((from, place));
            }
            _ => {}
        }
        None
    });
    ends.filter_map(|(from, to)| text.get(from..to))
}

/// Takes a text apart.
pub fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let (mut current, mut quoted) = (String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' if quoted => {
                current.push(character);
                current.extend(rest.next());
            }
            '"' => {
                quoted = !quoted;
                current.push(character);
            }
            '/' if !quoted && rest.peek() == Some(&'/') => {
                for skipped in rest.by_ref() {
                    if skipped == '\n' {
                        break;
                    }
                }
                space(&mut current);
            }
            ';' if !quoted => {
                current.push(character);
                found.extend(statement(&current));
                current.clear();
            }
            other if other.is_whitespace() && !quoted => space(&mut current),
            other => current.push(other),
        }
    }
    found.extend(statement(&current));
    found
}

fn space(current: &mut String) {
    if !current.is_empty() && !current.ends_with(' ') {
        current.push(' ');
    }
}

fn statement(text: &str) -> Option<Statement> {
    let text = text.trim().to_owned();
    (!text.is_empty()).then(|| Statement { effect: effect(&text), text })
}

/// The first word after the annotations.
fn effect(text: &str) -> Option<&'static str> {
    let mut rest = text.trim_start();
    while let Some(annotation) = rest.strip_prefix('@') {
        rest = after_annotation(annotation).trim_start();
    }
    ["permit", "forbid"]
        .into_iter()
        .find(|word| rest.strip_prefix(word).is_some_and(|tail| tail.trim_start().starts_with('(')))
}

/// What follows `name("value")`, or `name` alone.
fn after_annotation(text: &str) -> &str {
    let name = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let rest = text.get(name..).unwrap_or_default();
    let Some(value) = rest.trim_start().strip_prefix('(') else { return rest };
    let (mut quoted, mut escaped) = (false, false);
    for (place, character) in value.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ')' if !quoted => return value.get(place + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_statements_apart_whatever_strings_and_comments_hold() {
        let text = "// a; comment\n@id(\"a;)\\\"b\") permit (principal, action,\n  resource)\n  when { context.risk == \"x;//y\" }; // end\nforbid(principal, action, resource);";
        let found = statements(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0].text,
            "@id(\"a;)\\\"b\") permit (principal, action, resource) when { context.risk == \"x;//y\" };"
        );
        assert_eq!(found.iter().map(|one| one.effect).collect::<Vec<_>>(), [Some("permit"), Some("forbid")]);
        assert_eq!(statements(" \n// nothing\n"), []);
        assert_eq!(statements("permitted (x);")[0].effect, None);
    }

    #[test]
    fn finds_the_statements_that_say_a_word_in_a_string() {
        let text = "permit (principal, action, resource) when { context.environment == \"dev\" };\n\
            forbid (principal in Environment::\"dev\", action, resource);\n\
            forbid (principal, action, resource) when { context.name like \"dev*\" };\n\
            permit (principal, action, resource) when { dev || context.x == \"a \\\" dev\" }; // \"dev\"\n\
            permit (principal, action, resource) when { context.x == \"develop\" };";
        let found = naming(text, "dev");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|one| !one.text.contains("develop") && !one.text.contains("dev ||")));
        assert!(naming(text, "production").is_empty());
    }

    #[test]
    fn layout_and_order_are_no_difference_and_words_are() {
        let before = "permit (principal, action, resource);\nforbid (principal, action, resource);";
        assert_eq!(
            changes(before, "forbid   (principal, action,\nresource);permit (principal, action, resource);"),
            StatementChanges::default()
        );
        let made = changes(before, "permit (principal, action, resource) when { context.risk == \"read\" };");
        assert_eq!((made.added.len(), made.removed.len()), (1, 2));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    fn long_texts_are_compared_in_time_that_grows_with_their_length() {
        let text = |from: usize| -> String {
            (from..from + 40_000)
                .map(|n| format!("permit (principal == User::\"{n:08}\", action, resource);"))
                .collect()
        };
        let begun = std::time::Instant::now();
        let made = changes(&text(0), &text(20_000));
        assert_eq!((made.added.len(), made.removed.len()), (20_000, 20_000));
        assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    }
}
