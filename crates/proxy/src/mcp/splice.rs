//! Replaces single values inside a message and leaves every other byte as it was written.

use bytes::Bytes;

use super::edits::Edits;
use super::json::{JsonError, Kind, Scanner};

/// A value by the keys that lead to it, and the JSON text to put in its place.
pub type Replacement<'a> = (&'a [&'a str], &'a str);

/// Replaces the values that are there; paths that lead nowhere are no error. No path may begin another.
///
/// # Errors
/// The body is not acceptable JSON.
pub fn replace(body: &Bytes, replacements: &[Replacement<'_>]) -> Result<Bytes, JsonError> {
    let mut edits = Edits::default();
    let mut scanner = Scanner::new(body)?;
    if scanner.peek()? == Kind::Object {
        walk(&mut scanner, replacements, &mut edits)?;
    } else {
        scanner.skip()?;
    }
    scanner.finish()?;
    Ok(edits.apply(body))
}

fn walk(scanner: &mut Scanner<'_>, wanted: &[Replacement<'_>], edits: &mut Edits) -> Result<(), JsonError> {
    scanner.object(|scanner, key| {
        let below: Vec<Replacement<'_>> = wanted
            .iter()
            .filter_map(|(path, text)| {
                path.split_first().filter(|(first, _)| **first == key).map(|(_, rest)| (rest, *text))
            })
            .collect();
        let leaf = below.iter().find(|(path, _)| path.is_empty()).map(|(_, text)| *text);
        match leaf {
            Some(text) => {
                scanner.skip_space();
                let start = scanner.offset();
                scanner.raw()?;
                edits.replace(start..scanner.offset(), text.to_owned());
                Ok(())
            }
            None if !below.is_empty() && scanner.peek()? == Kind::Object => walk(scanner, &below, edits),
            None => scanner.skip(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(body: &'static str, replacements: &[Replacement<'_>]) -> String {
        let bytes = replace(&Bytes::from_static(body.as_bytes()), replacements).unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn only_the_named_values_change() {
        let body =
            r#"{ "id" : 7 , "params":{"_meta":{"progressToken":"a","x":1.0},"id":7}, "z":[{"id":7}] }"#;
        let changed = replaced(body, &[(&["id"], "99"), (&["params", "_meta", "progressToken"], "99")]);
        assert_eq!(
            changed,
            r#"{ "id" : 99 , "params":{"_meta":{"progressToken":99,"x":1.0},"id":7}, "z":[{"id":7}] }"#
        );
    }

    #[test]
    fn paths_that_lead_nowhere_change_nothing() {
        let body = r#"{"params":[1],"a":null}"#;
        assert_eq!(replaced(body, &[(&["params", "id"], "1"), (&["a", "b"], "1"), (&["c"], "1")]), body);
        assert_eq!(replaced("[]", &[(&["c"], "1")]), "[]");
        assert!(replace(&Bytes::from_static(b"{"), &[]).is_err());
    }
}
