//! Keys in running text: source code, logs, comments, arguments.

mod logins;

use std::ops::Range;

use zeroize::Zeroizing;

use crate::finding::{Rule, Slot};
use crate::formats;
use crate::names::{self, Telling, telling};
use crate::urls;
use crate::value::{
    bits, is_keylike, is_placeholder, is_plausible, is_plausible_password, is_random, is_word,
};

/// A key in a text.
pub(crate) struct Hit {
    pub(crate) range: Range<usize>,
    pub(crate) rule: Rule,
    pub(crate) slot: Slot,
    pub(crate) kind: &'static str,
    /// The value, where it is not what stands there.
    pub(crate) value: Option<Zeroizing<String>>,
}

/// What kind of text it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// Program text: values without quotes are expressions.
    Source,
    /// Logs, shell, notes: values without quotes are values.
    Loose,
    /// Lock files and the like: known formats alone.
    Formats,
}

pub(crate) use logins::netrc;

/// Every key in the text.
pub(crate) fn hits(text: &str, reading: Reading) -> Vec<Hit> {
    let mut hits = Vec::new();
    for range in formats::private_keys(text) {
        hits.push(unnamed(range, Rule::PrivateKey, "private key"));
    }
    for (range, kind) in formats::find(text) {
        hits.push(unnamed(range, Rule::Format, kind));
    }
    if reading == Reading::Formats {
        return hits;
    }
    in_urls(text, &mut hits);
    authorizations(text, &mut hits);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        assignments(line, at, reading, &mut hits);
        hits.extend(logins::in_line(line, at));
        if reading == Reading::Source {
            random_strings(line, at, &mut hits);
        }
        at = at.saturating_add(line.len());
    }
    hits
}

fn unnamed(range: Range<usize>, rule: Rule, kind: &'static str) -> Hit {
    Hit { range, rule, slot: Slot::Unnamed, kind, value: None }
}

fn in_urls(text: &str, hits: &mut Vec<Hit>) {
    for url in urls::find(text) {
        for part in urls::parts(text.get(url.clone()).unwrap_or_default(), false) {
            let kind = formats::kind(&part.value).unwrap_or(match part.rule {
                Rule::UrlUser => "password in a URL",
                _ => "key in a URL",
            });
            let range = shifted(&part.range, url.start);
            hits.push(Hit { range, rule: part.rule, slot: part.slot, kind, value: Some(part.value) });
        }
    }
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// `Bearer …` and `Basic …`, wherever they stand (RFC 9110, section 11.4).
fn authorizations(text: &str, hits: &mut Vec<Hit>) {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    for scheme in ["bearer ", "basic "] {
        for (at, _) in lower.match_indices(scheme) {
            let before = at.checked_sub(1).and_then(|at| lower.as_bytes().get(at).copied());
            let start = at.saturating_add(scheme.len());
            let rest = text.get(start..).unwrap_or_default();
            let value =
                run(rest, |byte| is_word(byte) || b"-._~+/=:".contains(&byte)).trim_end_matches(['.', ':']);
            let boundary = before.is_none_or(|byte| !is_word(byte));
            let digit = value.bytes().any(|byte| byte.is_ascii_digit());
            if boundary && is_plausible(value) && (digit || value.len() >= 20) {
                let slot = Slot::Header {
                    name: "Authorization".to_owned(),
                    before: cut(text, at, start).to_owned(),
                };
                let kind = formats::kind(value).unwrap_or("HTTP credential");
                let range = start..start.saturating_add(value.len());
                hits.push(Hit { range, rule: Rule::Authorization, slot, kind, value: None });
            }
        }
    }
}

fn cut(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

fn run(text: &str, holds: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|byte| holds(*byte)).count();
    text.get(..length).unwrap_or_default()
}

/// The scheme before a credential in a header (`Bearer `), and the credential.
pub(crate) fn split_scheme(value: &str) -> (&str, &str) {
    const SCHEMES: [&str; 10] =
        ["bearer", "basic", "token", "apikey", "api-key", "key", "bot", "ssws", "geniekey", "pat"];
    match value.split_once(' ') {
        Some((scheme, rest)) if SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) => {
            let rest = rest.trim_start();
            (cut(value, 0, value.len().saturating_sub(rest.len())), rest)
        }
        _ => ("", value),
    }
}

/// What a value under a name is, where it is a key.
pub(crate) fn judged(name: &str, value: &str) -> Option<&'static str> {
    let format = formats::kind(value);
    let holds = match telling(name) {
        Telling::Password => is_plausible_password(value),
        Telling::Yes => is_plausible(value),
        Telling::Maybe => is_keylike(value),
        Telling::No => false,
    };
    (holds || format.is_some()).then(|| format.unwrap_or_else(|| names::kind(name)))
}

/// `NAME = "value"` in any language: a name that tells, signs that assign, a literal.
fn assignments(line: &str, offset: usize, reading: Reading, hits: &mut Vec<Hit>) {
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let word = run(rest, |byte| is_word(byte) || matches!(byte, b'-' | b'.'));
        if word.is_empty() {
            let step = rest.chars().next().map_or(1, char::len_utf8);
            at = at.saturating_add(step);
            continue;
        }
        at = at.saturating_add(word.len());
        let name = word.rsplit('.').find(|part| !part.is_empty()).unwrap_or_default();
        if telling(name) == Telling::No {
            continue;
        }
        let Some((range, quoted)) = value_after(line, at) else { continue };
        let (_, value) = split_scheme(cut(line, range.start, range.end));
        let range = range.end.saturating_sub(value.len())..range.end;
        let sure = quoted || is_keylike(value) || formats::kind(value).is_some();
        let loose = reading == Reading::Loose && is_mixed(value);
        let code = quoted && value.contains('{') && value.contains('}');
        if let Some(kind) = judged(name, value).filter(|_| (sure || loose) && !code) {
            let slot = Slot::Named(name.trim_matches('-').to_owned());
            hits.push(Hit {
                range: shifted(&range, offset),
                rule: Rule::NamedValue,
                slot,
                kind,
                value: None,
            });
        }
    }
}

/// Letters and digits, and nothing that makes it an expression.
fn is_mixed(value: &str) -> bool {
    let digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    digit && letter && !value.contains(['(', ')', '['])
}

/// The literal behind a name that ends at `behind`, and whether it is in quotes.
fn value_after(line: &str, behind: usize) -> Option<(Range<usize>, bool)> {
    const LONGEST_GAP: usize = 48;
    let mut at = behind;
    let closes = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`' | b']' | b')' | b'\\');
    while line.as_bytes().get(at).is_some_and(closes) {
        at = at.saturating_add(1);
    }
    let rest = line.get(at..)?;
    // `<password>…</password>`; where a quote ends the name, it was an attribute.
    if let Some(inner) = rest.strip_prefix('>').filter(|_| at == behind) {
        let start = at.saturating_add(1);
        return inner.find("</").map(|length| (start..start.saturating_add(length), true));
    }
    if let Some(length) = rest.find(['"', '\'', '`']).filter(|length| *length <= LONGEST_GAP)
        && is_gap(rest.get(..length)?)
    {
        let quote = rest.get(length..)?.chars().next()?;
        let start = at.saturating_add(length).saturating_add(1);
        let inner = line.get(start..)?;
        // Within another text the quotes themselves are escaped.
        let length = if rest.get(..length)?.ends_with('\\') {
            inner.find(['\\', '"', '\''])?
        } else {
            closing(inner, quote)?
        };
        let end = start.saturating_add(length);
        return Some((start..end, true));
    }
    let value = unquoted(rest)?;
    let start = at.saturating_add(rest.len().saturating_sub(value.len()));
    let value = run(value, |byte| byte > b' ' && !b"\"'`,;&|()<>{}[]\\".contains(&byte));
    let word = value.to_ascii_lowercase();
    if matches!(word.as_str(), "token" | "bearer" | "basic" | "apikey" | "key" | "bot") {
        let behind = start.saturating_add(value.len()).saturating_add(1);
        let next = run(line.get(behind..)?, |byte| byte > b' ' && !b"\"'`,;".contains(&byte));
        return Some((behind..behind.saturating_add(next.len()), false));
    }
    Some((start..start.saturating_add(value.len()), false))
}

/// What stands behind the sign that assigns, where there is one.
fn unquoted(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches([' ', '\t']);
    let (sign, after) =
        [":=", "=>", "=", ":"].iter().find_map(|sign| Some((*sign, rest.strip_prefix(sign)?)))?;
    // `==` compares, `::` leads on, `://` is an address; but base64 may begin with a slash.
    if after.starts_with(['=', ':']) || sign == ":" && after.starts_with('/') {
        return None;
    }
    Some(after.trim_start_matches([' ', '\t'])).filter(|value| !value.is_empty())
}

/// Whether what stands between a name and a quote assigns: signs, types, wrappers.
fn is_gap(gap: &str) -> bool {
    const WORDS: [&str; 26] = [
        "str",
        "string",
        "text",
        "static",
        "const",
        "char",
        "optional",
        "any",
        "bytes",
        "byte",
        "secretstr",
        "new",
        "f",
        "r",
        "b",
        "u",
        "l",
        "to",
        "from",
        "secret",
        "option",
        "some",
        "nsstring",
        "final",
        "wstring",
        // `key="ApiToken" value="…"`, and lists of `{name: …, value: …}`.
        "value",
    ];
    let signs =
        gap.bytes().all(|byte| byte.is_ascii_alphabetic() || b" \t=:>&,([]!?*|<.@$#-\\".contains(&byte));
    let mut words =
        gap.split(|character: char| !character.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    // `getenv("KEY", "…")`, and what stands in for a missing one.
    let falls_back = matches!(gap.trim(), "," | "??" | "||" | "or");
    let assigns = gap.contains(['=', ':']);
    falls_back || signs && assigns && words.all(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()))
}

/// How many bytes stand before the closing quote, on the same line.
fn closing(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return None,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Quoted strings that are as random as a key, on lines that speak of nothing harmless.
fn random_strings(line: &str, offset: usize, hits: &mut Vec<Hit>) {
    const HARMLESS: [&str; 14] = [
        "integrity",
        "sha1",
        "sha256",
        "sha384",
        "sha512",
        "checksum",
        "hash",
        "commit",
        "digest",
        "data:",
        "etag",
        "fingerprint",
        "uuid",
        "public",
    ];
    if line.len() > 20_000 {
        return;
    }
    let lower = Zeroizing::new(line.to_ascii_lowercase());
    if HARMLESS.iter().any(|word| lower.contains(word)) {
        return;
    }
    let mut at = 0;
    while let Some(start) = line.get(at..).and_then(|rest| rest.find(['"', '\'', '`'])) {
        let start = at.saturating_add(start);
        let quote = line.get(start..).and_then(|rest| rest.chars().next()).unwrap_or('"');
        let start = start.saturating_add(1);
        let Some(length) = line.get(start..).and_then(|rest| closing(rest, quote)) else { return };
        let end = start.saturating_add(length);
        if is_entropic(cut(line, start, end)) {
            hits.push(unnamed(shifted(&(start..end), offset), Rule::Entropy, "random string"));
        }
        at = end.saturating_add(1);
    }
}

/// As random as a key with no word that says so.
pub(crate) fn is_entropic(value: &str) -> bool {
    (24..=256).contains(&value.len()) && is_random(value) && bits(value) >= 4.0 && !is_placeholder(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";

    fn found(text: &str, reading: Reading) -> Vec<String> {
        let mut hits = hits(text, reading);
        hits.sort_by_key(|hit| (hit.range.start, hit.rule));
        hits.dedup_by_key(|hit| hit.range.clone());
        hits.iter().map(|hit| text.get(hit.range.clone()).unwrap().to_owned()).collect()
    }

    #[test]
    fn assignments_of_every_language_are_found() {
        for line in [
            "API_KEY = \"@\"",
            "const apiKey: string = '@';",
            "apiKey := \"@\"",
            "String token = \"@\";",
            "token: '@'",
            "client = Client(api_key=\"@\")",
            "os.environ[\"API_KEY\"] = \"@\"",
            "define('API_KEY', '@');",
            "const TOKEN: &str = \"@\";",
            "headers[\"X-Api-Key\"] = \"@\"",
            "\"apiKey\": \"@\"",
            ":token => \"@\"",
            "static const char *api_key = \"@\";",
            "curl -H \"Authorization: Bearer @\" https://h",
            "curl -H 'X-Api-Key: @' https://h",
            "private final String secret = \"@\";",
            "export API_KEY=@",
            "ENV API_KEY=@",
            "var token = []byte(\"@\")",
            "{\\\"api_key\\\": \\\"@\\\"}",
            "password=SecretStr('@')",
            "fetch(`https://h/x?api_key=@`)",
            "--api-key @ --api-key=@",
            "curl -u anna:@ https://h",
            "curl --user 'anna:@' https://h",
            "<config><apiKey>@</apiKey></config>",
            "<add key=\"ApiToken\" value=\"@\" />",
        ] {
            let text = line.replace('@', KEY);
            let found = found(&text, Reading::Source);
            assert!(found.iter().any(|value| value == KEY), "{line}: {found:?}");
        }
    }

    #[test]
    fn logs_have_values_without_quotes() {
        for line in [
            "login password=hunt3r2you user=a",
            "Authorization: token hunt3r2you",
            "\"token\":\"hunt3r2you\"",
        ] {
            assert_eq!(found(line, Reading::Loose), ["hunt3r2you"], "{line}");
        }
    }

    #[test]
    fn base64_that_begins_with_a_slash_is_no_path() {
        let key = "/YcIwL+YPK0ZuOvHBgtHDRbuSYlZFXXV7/dSHGssycMXF1BOagr906/HmGGB==";
        let text = format!("AccountName=a;AccountKey={key};EndpointSuffix=h");
        assert_eq!(found(&text, Reading::Loose), [key]);
    }

    #[test]
    fn code_that_handles_keys_holds_none() {
        for line in [
            "api_key = os.environ[\"API_KEY\"]",
            "token = get_token()",
            "const token = process.env.TOKEN;",
            "if token == nil {",
            "headers = {\"Authorization\": f\"Bearer {token}\"}",
            "headers: { Authorization: `Bearer ${token}` }",
            "token := base64Token2",
            "password: str = Field(..., description=\"The password\")",
            "TOKEN_URL = \"https://h/token\"",
            "secretKeyRef: { name: a, key: token }",
            "let secret = Secret::new(bytes);",
            "api_key: <your-api-key>",
            "raise ValueError(\"API_KEY is not set: export API_KEY first\")",
            "the bearer token is checked, then basic authentication",
            "token_type = \"access_token\"",
            "max_tokens=4096",
            "<password></password><token>${TOKEN}</token>",
            "const token => token.length",
            "<label for=\"password\">Password2026</label>",
            "Promise<Token> value",
        ] {
            assert_eq!(found(line, Reading::Source), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn random_strings_count_in_quotes_only_and_not_beside_digests() {
        let line = format!("x(\"{KEY}\")");
        assert_eq!(found(&line, Reading::Source), [KEY]);
        assert!(found(&format!("x({KEY})"), Reading::Source).is_empty());
        assert!(found(&format!("integrity: \"{KEY}\""), Reading::Source).is_empty());
        assert!(found(&line, Reading::Formats).is_empty());
    }
}
