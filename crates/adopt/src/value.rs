//! Values: what is a placeholder, what can be a key, what is random.

use crate::samples::is_sample;

/// Words that say "put yours here". One is enough.
const MARKS: [&str; 28] = [
    "your",
    "yours",
    "yourtoken",
    "yourkey",
    "yourapikey",
    "example",
    "examples",
    "changeme",
    "changethis",
    "placeholder",
    "dummy",
    "sample",
    "insert",
    "replace",
    "replaceme",
    "redacted",
    "masked",
    "hidden",
    "fake",
    "todo",
    "fixme",
    "here",
    "paste",
    "enter",
    "undefined",
    "notset",
    "generate",
    "generated",
];
/// Words that no key is made of. A value of nothing else is none.
const COMMON: [&str; 62] = [
    "my",
    "the",
    "a",
    "an",
    "api",
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "pass",
    "access",
    "auth",
    "bearer",
    "basic",
    "admin",
    "root",
    "user",
    "test",
    "testing",
    "demo",
    "default",
    "none",
    "null",
    "nil",
    "true",
    "false",
    "empty",
    "value",
    "string",
    "postgres",
    "mysql",
    "redis",
    "guest",
    "local",
    "localhost",
    "dev",
    "development",
    "prod",
    "production",
    "staging",
    "change",
    "me",
    "this",
    "client",
    "app",
    "service",
    "personal",
    "private",
    "public",
    "id",
    "name",
    "of",
    "from",
    "env",
    "github",
    "openai",
    "slack",
    "foo",
    "bar",
    "baz",
    "hello",
];

/// Whether the text stands for a value instead of being one.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || refers(text) || is_filler(text) || is_wordy_placeholder(text) || is_sample(text)
}

/// A variable, a template or a reference into a store.
fn refers(text: &str) -> bool {
    const ANYWHERE: [&str; 9] = ["${", "$(", "{{", "}}", "<%", "%s", "#{", "{0}", "[["];
    const BEGIN: [&str; 14] = [
        "process.env",
        "os.environ",
        "os.getenv",
        "env.",
        "env:",
        "ENV[",
        "secrets.",
        "var.",
        "vault:",
        "op://",
        "secret://",
        "ssm://",
        "file://",
        "arn:aws:",
    ];
    let bracketed = |open: char, close: char| text.starts_with(open) && text.ends_with(close);
    let variable = |rest: &str| rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    ANYWHERE.iter().any(|part| text.contains(part))
        || BEGIN.iter().any(|part| text.starts_with(part))
        || bracketed('<', '>')
        || bracketed('{', '}')
        || bracketed('[', ']')
        || bracketed('%', '%')
        || text.strip_prefix('$').is_some_and(|rest| variable(rest) && rest.bytes().all(is_word))
        || is_reference(text)
}

/// `store://path#field`: where the key is, not the key.
fn is_reference(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let plain = scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    plain && !scheme.is_empty() && rest.contains('#') && !rest.contains('@')
}

/// `xxxxxxxx`, `****`, `sk-...`, `1234567890`, `abcdef0123456789`.
fn is_filler(text: &str) -> bool {
    let bytes = text.as_bytes();
    let filler = bytes.iter().filter(|byte| b"xX*._-#?0".contains(byte)).count();
    let other_dots = text.chars().filter(|character| matches!(character, '\u{2022}' | '\u{2026}')).count();
    let repeats = pairs(bytes, |a, b| a == b);
    let steps = pairs(bytes, |a, b| a.checked_add(1) == Some(b) || a == b'9' && b == b'0');
    let most = bytes.len().saturating_mul(6) / 10;
    bytes.len() >= 3 && (filler > most || other_dots > 0 || repeats > most || steps > most)
}

fn pairs(bytes: &[u8], holds: impl Fn(u8, u8) -> bool) -> usize {
    bytes.windows(2).filter(|pair| matches!(pair, [a, b] if holds(*a, *b))).count()
}

fn is_wordy_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut all_common = true;
    for word in lower.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if MARKS.contains(&word) {
            return true;
        }
        let stem = word.trim_end_matches(|character: char| character.is_ascii_digit());
        all_common &= stem.is_empty() || COMMON.contains(&stem);
    }
    let example = lower.ends_with("example") || lower.ends_with("examplekey");
    all_common || example || lower.starts_with("your-") || lower.starts_with("your_")
}

/// Whether a value under a name that tells can be a key.
pub(crate) fn is_plausible(text: &str) -> bool {
    let made =
        text.len() >= 20 || text.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    (8..=8_192).contains(&text.len())
        && made
        && is_one_word(text)
        && !is_placeholder(text)
        && !is_plain_words(text)
}

/// Whether a value under a name that says `password` can be one. People think them up: words count.
pub(crate) fn is_plausible_password(text: &str) -> bool {
    (6..=512).contains(&text.len()) && is_one_word(text) && !is_placeholder(text)
}

/// No white space, no path, no address, no number.
fn is_one_word(text: &str) -> bool {
    let blank = text.contains(|character: char| character.is_whitespace() || character == '\u{1a}');
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || b".,:-".contains(&byte)) && text.len() < 20;
    !blank && !number && !is_path(text) && !is_url(text) && !is_call(text)
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// Code, not a literal: `config.token()`, `settings["x"]`.
fn is_call(text: &str) -> bool {
    text.ends_with("()") || text.contains("](") || text.contains("[\"") || text.contains("['")
}

/// A file's path, by its beginning or its ending.
pub(crate) fn is_path(text: &str) -> bool {
    const ENDINGS: [&str; 16] = [
        ".pem", ".key", ".json", ".txt", ".yaml", ".yml", ".crt", ".toml", ".js", ".ts", ".py", ".sh",
        ".env", ".log", ".db", ".token",
    ];
    let begin = ["/", "./", "../", "~/", "\\", "@/"].iter().any(|begin| text.starts_with(begin));
    let drive = text.get(1..3).is_some_and(|rest| rest == ":\\" || rest == ":/");
    let slashes = text.matches('/').count();
    let package = text.starts_with('@') && slashes == 1;
    let base64 = text.len() > 30 && is_random(text);
    (begin || package) && !base64 || drive || ENDINGS.iter().any(|ending| text.ends_with(ending))
}

/// Letters in words and nothing else: an identifier, a name, a sentence without spaces.
fn is_plain_words(text: &str) -> bool {
    if text.bytes().any(|byte| byte.is_ascii_digit()) || !text.is_ascii() {
        return false;
    }
    let odd = text.bytes().filter(|byte| !byte.is_ascii_alphabetic() && !b"-_.:/".contains(byte)).count();
    let longest =
        text.split(|character: char| !character.is_ascii_alphabetic()).map(str::len).max().unwrap_or(0);
    let vowels = text.bytes().filter(|byte| b"aeiouyAEIOUY".contains(byte)).count();
    let cases = transitions(text).saturating_mul(5) > text.len().saturating_mul(2);
    let few_vowels = vowels.saturating_mul(5) < text.len();
    odd == 0 && !(longest >= 16 && (cases || few_vowels))
}

/// The randomness of a text in bits for each character (Shannon, over its own bytes).
pub(crate) fn bits(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count = count.saturating_add(1);
        }
    }
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

/// How often letters, capitals and digits follow on one another: often in keys, seldom in words.
fn transitions(text: &str) -> usize {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    pairs(text.as_bytes(), |a, b| class(a) != class(b) && class(a) != 0 && class(b) != 0)
}

/// Whether the text is a UUID (RFC 9562).
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| is_hex(part))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As random as a key, by itself: no hexadecimal (digests are), no UUID, no words, no numbers.
pub(crate) fn is_random(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let charset = text.bytes().all(|byte| is_word(byte) || b"-+/=.~".contains(&byte));
    let hex = text.split('-').all(is_hex);
    let changes = transitions(text);
    let mixed = digits >= 2 && changes.saturating_mul(4) >= text.len()
        || text.len() >= 24 && changes.saturating_mul(20) >= text.len().saturating_mul(7);
    (20..=512).contains(&text.len())
        && charset
        && letters >= 4
        && !hex
        && mixed
        && bits(text) >= 3.5
        && !is_ulid(text)
        && !is_camel_case(text)
        && !is_placeholder(text)
}

/// An identifier of time and chance: 26 characters of Crockford's base32, of which the first is at most 7.
fn is_ulid(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase() && !b"ILOU".contains(&byte);
    text.len() == 26 && text.starts_with(|first| ('0'..='7').contains(&first)) && text.bytes().all(letter)
}

/// Words that begin with capitals, joined: most of it is in words of four letters and more that can be
/// spoken.
fn is_camel_case(text: &str) -> bool {
    let (mut spoken, mut length, mut vowel) = (0_usize, 0_usize, false);
    for byte in text.bytes().chain([b' ']) {
        if byte.is_ascii_lowercase() {
            length = length.saturating_add(1);
            vowel |= b"aeiouy".contains(&byte);
            continue;
        }
        if length >= 3 && vowel {
            spoken = spoken.saturating_add(length);
        }
        length = usize::from(byte.is_ascii_uppercase());
        vowel = b"AEIOUY".contains(&byte);
    }
    spoken.saturating_mul(10) >= text.len().saturating_mul(6)
}

/// Random, or long hexadecimal: enough under a name that may tell.
pub(crate) fn is_keylike(text: &str) -> bool {
    let hex = text.len() >= 24 && is_hex(text) && bits(text) >= 3.0;
    is_random(text) || hex && !is_placeholder(text) || is_uuid(text)
}

/// Whether nobody could guess it, given everything but the value itself.
pub(crate) fn is_strong(text: &str) -> bool {
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    text.len() >= 20 && is_keylike(text) && bits(text) * length >= 72.0
}

/// A byte of a word: letter, digit or `_`.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_keys() {
        for text in [
            "${GITHUB_TOKEN}",
            "$GITHUB_TOKEN",
            "{{TOKEN}}",
            "<your-key>",
            "your-api-key",
            "YOUR_API_KEY_HERE",
            "xxxxxxxxxxxx",
            "sk-xxxxxxxxxxxxxxxx",
            "************",
            "changeme",
            "example-token",
            "my-secret-token",
            "1234567890",
            "abcdefghijklmnop",
            "process.env.TOKEN",
            "%TOKEN%",
            "op://vault/item/field",
            "local://github/bot#token",
            "00000000-0000-0000-0000-000000000000",
            "[redacted]",
            "...",
            "${input:token}",
            "sk-…",
            "generate-with-openssl-rand-hex-32",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn words_paths_numbers_and_addresses_are_no_keys() {
        for text in [
            "disabled",
            "client-credentials",
            "/run/secrets/token",
            "C:\\keys\\token",
            "token.json",
            "http://localhost:8080/x",
            "3600",
            "2026-11-26",
            "config.api.key",
            "X-Api-Key",
            "getToken()",
            "two words of text",
            "urn:ietf:params:oauth",
            "id_rsa.pem",
        ] {
            assert!(!is_plausible(text), "{text}");
        }
    }

    #[test]
    fn identifiers_and_digests_are_not_random() {
        for text in [
            "getUserAuthenticationTokenValue2",
            "d41d8cd98f00b204e9800998ecf8427e",
            "my-server-v2-2024-11-05-release",
            "9f86d081-884c-7d65-9a2f-eaa0c55ad015",
            "application/vnd.example.v2+json",
            "k8s-prod-us-east-1a-node-2",
            "SettingsPage2FATokenInputField7",
            "01JMX5NMYVXCHQHH9FJK53H5GJ",
        ] {
            assert!(!is_random(text), "{text}");
        }
    }

    #[test]
    fn uuids_and_digests_can_be_keys_where_the_name_says_so() {
        assert!(
            is_plausible("9f86d081-884c-4d65-9a2f-eaa0c55ad015")
                && is_keylike("9f86d081-884c-4d65-9a2f-eaa0c55ad015")
        );
        assert!(is_plausible("d41d8cd98f00b204e9800998ecf8427e"));
    }
}
