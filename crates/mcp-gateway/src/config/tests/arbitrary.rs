//! Whatever the text is: no panic, and no secret in what is said about it.

#![expect(clippy::string_slice, reason = "the examples are ASCII")]

use std::path::Path;

use proptest::prelude::*;

use crate::config::manifest::{Source, parse as parse_manifests};
use crate::config::parse;

const SECRET: &str = "Zx9-Zx9_Qq7vKwPl";

fn told(text: &str) -> String {
    let mut told = String::new();
    if let Err(problems) = parse("f", text, Path::new("/d")) {
        told.push_str(&format!("{problems}{problems:?}"));
    }
    match parse_manifests(&[Source { name: "f".to_owned(), text: text.to_owned() }]) {
        Err(problems) => told.push_str(&format!("{problems}{problems:?}")),
        Ok(manifests) => told.push_str(&format!("{manifests:?}")),
    }
    told
}

/// The good examples with one line replaced, cut or doubled.
fn mangled() -> impl Strategy<Value = String> {
    let examples = prop_oneof![Just(include_str!("gateway.yaml")), Just(include_str!("manifests.yaml")),];
    (examples, any::<prop::sample::Index>(), "[ -~]{0,20}", 0..4_u8).prop_map(|(text, index, junk, how)| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = index.index(lines.len());
        match how {
            0 => lines[at] = junk,
            1 => lines.truncate(at),
            2 => lines[at].push_str(&junk),
            _ => lines.insert(at, junk),
        }
        lines.join("\n")
    })
}

/// The good examples with the value of one field, or its name, replaced by a secret.
fn with_a_secret() -> impl Strategy<Value = String> {
    let examples = prop_oneof![Just(include_str!("gateway.yaml")), Just(include_str!("manifests.yaml")),];
    let shapes = prop_oneof![
        Just(SECRET.to_owned()),
        Just(format!("'{SECRET}'")),
        Just(format!("[{SECRET}]")),
        Just(format!("{{ {SECRET}: {SECRET} }}")),
        Just(format!("{{ token: {SECRET} }}")),
        Just(format!("https://user:{SECRET}@host/")),
        Just(format!("!{SECRET} x")),
        Just(format!("*{SECRET}")),
        Just(format!("&{SECRET} x")),
        Just(format!("\"\\q{SECRET}\"")),
        Just(format!("{SECRET}: x: y")),
        Just(format!("local://{SECRET}/../x")),
        Just(format!("local://x#y?z={SECRET}")),
        Just(format!("%{SECRET}")),
        Just(format!("|\n  -----BEGIN {SECRET} PRIVATE KEY")),
    ];
    (examples, any::<prop::sample::Index>(), shapes, any::<bool>()).prop_map(|(text, index, shape, key)| {
        let places: Vec<usize> = text.match_indices(": ").map(|(at, _)| at).collect();
        let at = places[index.index(places.len())];
        let line_start = text[..at].rfind(['\n', '{', ',']).map_or(0, |at| at + 1);
        let line_end = text[at..].find(['\n', ',', '}']).map_or(text.len(), |end| at + end);
        if key {
            format!("{} {shape}{}", &text[..line_start], &text[at..])
        } else {
            format!("{}: {shape}{}", &text[..at], &text[line_end..])
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        told(&text);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[a-z:\\-\\[\\]{}\",'&*!|>%@`#?~ \n\t0-9]{0,120}") {
        told(&text);
    }

    #[test]
    fn mangled_examples_never_panic(text in mangled()) {
        told(&text);
    }

    #[test]
    fn what_is_said_never_repeats_a_secret(text in with_a_secret()) {
        let told = told(&text).to_lowercase();
        let secret = SECRET.to_lowercase();
        prop_assert!(!told.contains(&secret) && !told.contains("qq7vkwpl"), "{text}\n----\n{told}");
    }
}
