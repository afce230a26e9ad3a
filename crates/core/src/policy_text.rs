//! The statements of a Cedar text, and which of them differ between two texts. It only finds where each ends; what
//! they mean, and whether they hold, is for the compiler to say.

use serde::Serialize;

/// One statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
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
    let lacks = |those: &[Statement], one: &Statement| !those.contains(one);
    StatementChanges {
        added: new.iter().filter(|one| lacks(&old, one)).cloned().collect(),
        removed: old.iter().filter(|one| lacks(&new, one)).cloned().collect(),
    }
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
    fn layout_and_order_are_no_difference_and_words_are() {
        let before = "permit (principal, action, resource);\nforbid (principal, action, resource);";
        assert_eq!(
            changes(before, "forbid   (principal, action,\nresource);permit (principal, action, resource);"),
            StatementChanges::default()
        );
        let made = changes(before, "permit (principal, action, resource) when { context.risk == \"read\" };");
        assert_eq!((made.added.len(), made.removed.len()), (1, 2));
    }
}
