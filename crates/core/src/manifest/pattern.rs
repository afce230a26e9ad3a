//! Exact texts and globs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text in which `*` stands for any run of characters, none included, that has no `/`, and `**` for any
/// run at all. Without `*` it is exact. There is no escape: no claim that mappings use holds a `*`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether everything, or everything within one segment, matches.
    pub fn matches_all(&self) -> bool {
        self.0.chars().all(|c| c == '*')
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row of the table of which prefixes match: linear in memory, the product of both lengths in time,
/// whatever the pattern.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    if let Some(first) = row.first_mut() {
        *first = true;
    }
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        let deep = byte == b'*' && after.first() == Some(&b'*');
        let mut before = false;
        for (index, cell) in row.iter_mut().enumerate() {
            let last = index.checked_sub(1).and_then(|index| text.get(index));
            let was = *cell;
            *cell = if byte == b'*' {
                was || (before && (deep || last != Some(&b'/')))
            } else {
                before && last == Some(&byte)
            };
            before = if byte == b'*' { *cell } else { was };
        }
        rest = if deep { after.split_first().map_or(after, |(_, after)| after) } else { after };
    }
    row.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn stars_stay_within_a_segment_and_double_stars_do_not() {
        let holds = |pattern: &str, text: &str| Pattern::new(pattern).matches(text);
        assert!(holds("spiffe://td/ns/*/sa/runner", "spiffe://td/ns/billing/sa/runner"));
        assert!(!holds("spiffe://td/ns/*", "spiffe://td/ns/billing/sa/runner"));
        assert!(holds("spiffe://td/**", "spiffe://td/ns/billing/sa/runner"));
        assert!(holds("repo:acme/*:ref:refs/heads/main", "repo:acme/api:ref:refs/heads/main"));
        assert!(!holds("repo:acme/*:ref:refs/heads/main", "repo:acme/api:ref:refs/heads/main2"));
        assert!(!holds("repo:acme/*", "xrepo:acme/api"));
        assert!(holds("", "") && !holds("", "a") && holds("*", "") && holds("a*", "a"));
        assert!(!holds("exact", "Exact") && holds("exact", "exact"));
    }

    #[test]
    fn long_patterns_of_stars_are_cheap() {
        assert!(
            !Pattern::new("a*".repeat(60)).matches(&"a".repeat(3_000).replace("aaaaaaaaaa", "aaaaaaaaab/"))
        );
    }

    #[test]
    fn stars_alone_match_all() {
        assert!(Pattern::new("**").matches_all() && Pattern::new("*").matches_all());
        assert!(!Pattern::new("a*").matches_all());
    }
}
