//! Cutting and inserting members of JSON objects.

use std::ops::Range;

use bytes::Bytes;

pub use crate::mcp::edits::Edits;
use crate::mcp::json::{JsonError, Kind, Scanner};

/// The members of one object on the way through it: each owns the bytes from the comma (or brace) before
/// it to the one after it, and one comma goes with each member that is cut.
#[derive(Debug)]
pub struct Members {
    open: usize,
    from: usize,
    kept: bool,
    cuts: Vec<Range<usize>>,
}

impl Members {
    /// Begins at an object, which must come next.
    pub fn begin(scanner: &mut Scanner<'_>) -> Self {
        scanner.skip_space();
        let open = scanner.offset() + 1;
        Self { open, from: open, kept: false, cuts: Vec::new() }
    }

    /// After a member's value has been read: keeps it, or cuts it.
    pub fn passed(&mut self, scanner: &mut Scanner<'_>, keep: bool) {
        scanner.skip_space();
        // The comma or brace after the member.
        let end = scanner.offset();
        if !keep {
            let start = if self.kept { self.from.saturating_sub(1) } else { self.from };
            self.cuts.push(start..end);
        } else if !self.kept {
            self.kept = true;
            // All members so far were cut, but the commas between them and this one were not.
            if let Some(first) = self.cuts.first().map(|cut| cut.start) {
                self.cuts.clear();
                self.cuts.push(first..self.from);
            }
        }
        self.from = end + 1;
    }

    /// Ends the object, with `added` (members, comma-separated, or nothing) at its start.
    pub fn end(mut self, added: &str, edits: &mut Edits) {
        if !self.kept
            && let (Some(first), Some(last)) = (self.cuts.first(), self.cuts.last())
        {
            let all = first.start..last.end;
            self.cuts.clear();
            self.cuts.push(all);
        }
        if !added.is_empty() {
            let comma = if self.kept { "," } else { "" };
            edits.replace(self.open..self.open, format!("{added}{comma}"));
        }
        for cut in self.cuts {
            edits.replace(cut, "");
        }
    }
}

/// A member by the keys that lead to it; `*` is any key.
pub type Path = &'static [&'static str];

/// The text of an object without the members that these paths lead to. Anything but an object stays.
///
/// # Errors
/// The text is not acceptable JSON.
pub fn without(text: &str, paths: &[Path]) -> Result<String, JsonError> {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let mut edits = Edits::default();
    let mut scanner = Scanner::new(&body)?;
    walk(&mut scanner, paths, &mut edits)?;
    scanner.finish()?;
    Ok(String::from_utf8_lossy(&edits.apply(&body)).into_owned())
}

fn walk(scanner: &mut Scanner<'_>, paths: &[Path], edits: &mut Edits) -> Result<(), JsonError> {
    if scanner.peek()? != Kind::Object {
        return scanner.skip();
    }
    let mut members = Members::begin(scanner);
    scanner.object(|scanner, key| {
        let below: Vec<Path> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == "*" || **first == key)
            .map(|(_, rest)| rest)
            .collect();
        let cut = below.iter().any(|path| path.is_empty());
        if cut || below.is_empty() {
            scanner.skip()?;
        } else {
            walk(scanner, &below, edits)?;
        }
        members.passed(scanner, !cut);
        Ok::<(), JsonError>(())
    })?;
    members.end("", edits);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_cut_with_one_comma_each_wherever_they_stand() {
        let cut = |text, paths: &[Path]| without(text, paths).unwrap();
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["a"]]), r#"{"b":2,"c":3}"#);
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["b"]]), r#"{"a":1,"c":3}"#);
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["c"]]), r#"{"a":1,"b":2}"#);
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["a"], &["b"]]), r#"{"c":3}"#);
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["a"], &["c"]]), r#"{"b":2}"#);
        assert_eq!(cut(r#"{"a":1,"b":2,"c":3}"#, &[&["a"], &["b"], &["c"]]), "{}");
        assert_eq!(cut(r#"{ "a" : 1 , "b" : 2 }"#, &[&["b"]]), r#"{ "a" : 1 }"#);
        assert_eq!(
            cut(r#"{"a":{"x":1,"y":[]},"b":{"x":2},"x":3}"#, &[&["*", "x"]]),
            r#"{"a":{"y":[]},"b":{},"x":3}"#
        );
        assert_eq!(cut("[1]", &[&["a"]]), "[1]");
    }

    #[test]
    fn members_are_added_before_what_is_kept_and_what_is_cut() {
        let body = Bytes::from_static(br#"{"a":1,"b":2}"#);
        for (keep, expected) in [
            ((true, true), r#"{"n":0,"a":1,"b":2}"#),
            ((false, true), r#"{"n":0,"b":2}"#),
            ((false, false), r#"{"n":0}"#),
        ] {
            let mut scanner = Scanner::new(&body).unwrap();
            let mut members = Members::begin(&mut scanner);
            scanner
                .object(|scanner, key| {
                    scanner.skip()?;
                    members.passed(scanner, if key == "a" { keep.0 } else { keep.1 });
                    Ok::<(), JsonError>(())
                })
                .unwrap();
            let mut edits = Edits::default();
            members.end(r#""n":0"#, &mut edits);
            assert_eq!(edits.apply(&body), expected);
        }
    }
}
