//! URLs, and the parts of them that hold keys.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::finding::{Rule, Slot};
use crate::formats;
use crate::names::{Telling, telling};
use crate::value::{is_keylike, is_placeholder, is_plausible, is_random, is_uuid};

/// A part of a URL that holds a key.
pub(crate) struct Part {
    pub(crate) range: Range<usize>,
    pub(crate) rule: Rule,
    pub(crate) slot: Slot,
    /// The value, percent-decoded.
    pub(crate) value: Zeroizing<String>,
}

/// The URLs in running text.
pub(crate) fn find(text: &str) -> Vec<Range<usize>> {
    let scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let ends = |character: char| {
        character.is_whitespace()
            || matches!(character, '"' | '\'' | '`' | '<' | '>' | '\\' | '|' | '^' | '\u{1a}')
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let before = text.get(..at).unwrap_or_default();
        let length = before.bytes().rev().take_while(|byte| scheme(byte)).count();
        let after = at.saturating_add(3);
        let rest = text.get(after..).unwrap_or_default();
        let end = after.saturating_add(rest.find(ends).unwrap_or(rest.len()));
        if length >= 2 && end > after {
            found.push(at.saturating_sub(length)..end);
        }
    }
    found
}

/// The parts of `url` that hold keys. The path of a server's own URL may be one.
pub(crate) fn parts(url: &str, of_server: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let Some(scheme) = url.find("://").map(|at| at.saturating_add(3)) else { return parts };
    let rest = url.get(scheme..).unwrap_or_default();
    let authority = scheme.saturating_add(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    user_part(url, scheme..authority, &mut parts);
    let tail = url.get(authority..).unwrap_or_default();
    let query = authority.saturating_add(tail.find(['?', '#']).unwrap_or(tail.len()));
    if of_server {
        path_parts(url, authority..query, &mut parts);
    }
    query_parts(url, query, &mut parts);
    parts
}

fn user_part(url: &str, authority: Range<usize>, parts: &mut Vec<Part>) {
    let text = url.get(authority.clone()).unwrap_or_default();
    let Some(end) = text.rfind('@') else { return };
    let user = text.get(..end).unwrap_or_default();
    let colon = user.find(':').unwrap_or(user.len());
    let password = user.get(colon.saturating_add(1)..).unwrap_or_default();
    let name = user.get(..colon).unwrap_or_default();
    let mut add = |from: usize, text: &str| {
        let start = authority.start.saturating_add(from);
        parts.push(Part {
            range: start..start.saturating_add(text.len()),
            rule: Rule::UrlUser,
            slot: Slot::UrlPassword,
            value: decoded(text),
        });
    };
    let is_code = |text: &str| text.contains(['$', '{', '}', '%']) && is_placeholder(text);
    if is_keylike(name) || formats::kind(name).is_some() {
        add(0, name);
    }
    if password.len() >= 4 && !is_placeholder(password) && !is_code(password) {
        add(colon.saturating_add(1), password);
    }
}

fn path_parts(url: &str, path: Range<usize>, parts: &mut Vec<Part>) {
    let mut at = path.start;
    for segment in url.get(path).unwrap_or_default().split('/') {
        let hex = segment.len() >= 32 && is_keylike(segment) && !is_uuid(segment);
        if is_random(segment) || hex || formats::kind(segment).is_some() {
            let range = at..at.saturating_add(segment.len());
            parts.push(Part { range, rule: Rule::UrlPath, slot: Slot::UrlPath, value: decoded(segment) });
        }
        at = at.saturating_add(segment.len()).saturating_add(1);
    }
}

fn query_parts(url: &str, query: usize, parts: &mut Vec<Part>) {
    let mut at = query;
    for pair in url.get(query..).unwrap_or_default().split_inclusive(['?', '#', '&', ';']) {
        let text = pair.trim_end_matches(['?', '#', '&', ';', ')', ',', '.', ']']);
        if let Some((name, value)) = text.split_once('=') {
            let known = formats::kind(value).is_some();
            let holds = match telling(name) {
                Telling::Yes | Telling::Password => is_plausible(value),
                Telling::Maybe => is_keylike(value),
                Telling::No => matches!(name, "key" | "k" | "code") && is_keylike(value),
            };
            if known || holds {
                let start = at.saturating_add(name.len()).saturating_add(1);
                parts.push(Part {
                    range: start..start.saturating_add(value.len()),
                    rule: Rule::UrlQuery,
                    slot: Slot::Query(name.to_owned()),
                    value: decoded(value),
                });
            }
        }
        at = at.saturating_add(pair.len());
    }
}

/// Percent-decoded (RFC 3986, section 2.1); as it is where that is no text.
fn decoded(text: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit =
            |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut ahead = rest.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high.saturating_mul(16).saturating_add(low));
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    Zeroizing::new(std::str::from_utf8(&bytes).unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(url: &str, of_server: bool) -> Vec<String> {
        let parts = parts(url, of_server);
        parts
            .iter()
            .map(|part| format!("{} {}", part.rule.id(), url.get(part.range.clone()).unwrap()))
            .collect()
    }

    #[test]
    fn passwords_and_parameters_are_cut_out_exactly() {
        assert_eq!(
            values("postgres://app:s3cr3t%21pw@db:5432/x?sslmode=require", false),
            ["place/url-user s3cr3t%21pw"]
        );
        assert_eq!(parts("https://u:a%21bcd@h/", false)[0].value.as_str(), "a!bcd");
        let url = "https://h/mcp?workspace=a&api_key=q7Zk29fLmP0x&x=1#access_token=Zt81kq0PLm22";
        assert_eq!(values(url, true), ["place/url-query q7Zk29fLmP0x", "place/url-query Zt81kq0PLm22"]);
    }

    #[test]
    fn a_key_in_the_path_counts_for_servers_only() {
        let key = "q7Zk29fLmP0xW4tR8vN1bC5y";
        let url = format!("https://h/s/{key}/mcp");
        assert_eq!(values(&url, true), [format!("place/url-path {key}")]);
        assert!(values(&url, false).is_empty());
    }

    #[test]
    fn addresses_without_keys_are_left_alone() {
        for url in [
            "https://h/mcp",
            "postgres://app@db/x",
            "postgres://app:${PASSWORD}@db/x",
            "https://user:password@h/",
            "https://h/?token=$TOKEN&page_token=a",
            "redis://:<password>@h",
            "https://h/v2/9f86d081-884c-4d65-9a2f-eaa0c55ad015/mcp",
            "git+ssh://git@github.com/o/r.git",
            "https://h/?api_key=YOUR_API_KEY",
        ] {
            assert!(values(url, true).is_empty(), "{url}: {:?}", values(url, true));
        }
    }

    #[test]
    fn urls_are_found_in_text() {
        let text = "see <https://a/b> or 'x+y://c@d', not :// or a://";
        let found: Vec<&str> = find(text).into_iter().map(|span| text.get(span).unwrap()).collect();
        assert_eq!(found, ["https://a/b", "x+y://c@d"]);
    }
}
