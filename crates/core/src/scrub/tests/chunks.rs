use proptest::prelude::*;

use super::encoders::{Choices, KINDS, encode};
use super::*;

/// Cuts `bytes` into chunks of one to eleven bytes, now and then a long one.
fn cut<'a>(bytes: &'a [u8], choices: &mut Choices) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let longest = if choices.below(8) == 0 { 200 } else { 11 };
        let size = (1 + choices.below(longest) as usize).min(rest.len());
        let (chunk, next) = rest.split_at(size);
        chunks.push(chunk);
        rest = next;
    }
    chunks
}

fn pieces(value: &str, kinds: &[(usize, usize)], choices: &mut Choices) -> String {
    let mut text = String::new();
    for (kind, keep) in kinds {
        let piece = encode(*kind, value, choices);
        let whole = *keep >= 40;
        text.extend(piece.chars().take(if whole { usize::MAX } else { *keep }));
        text.push_str(["", " ", "\\", "%", "+", "\\u00", "\"", "=", "\n"][choices.below(9) as usize]);
    }
    text
}

/// What surrounds a value; the empty one stands for the value's first characters.
const FILLERS: [&str; 16] = [
    "\\\"",
    "\\n",
    "\\\\",
    "\\/",
    "\\u00e9",
    "\\u0041",
    "\\ud83d\\udd11",
    "%20",
    "%22",
    "%2F",
    "%",
    "+",
    " ",
    "word",
    "\\x",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whole forms between plain borders: exactly the form goes, however the bytes arrive.
    #[test]
    fn any_encoding_in_any_chunking_is_replaced(
        value in "[ -~\u{e9}\n]{16,40}",
        kind in 0..KINDS,
        seed in any::<u64>(),
    ) {
        let choices = &mut Choices::new(seed);
        let needles = needles(&[value.as_bytes()]);
        let text = format!("{{\u{1}{}\u{1}}}", encode(kind, &value, choices));
        let (out, count) = scrub_chunks(&needles, &cut(text.as_bytes(), choices));
        prop_assert_eq!(out, format!("{{\u{1}{MARK}\u{1}}}"));
        prop_assert_eq!(count, 1);
    }

    /// Broken and whole forms, run together: chunking decides nothing, nothing is left, and where
    /// nothing hits nothing changes.
    #[test]
    fn chunking_never_changes_the_outcome(
        value in "[a-b%+/ \\\\\"n]{4,20}",
        other in "[a-b%+/ \\\\\"n]{4,20}",
        kinds in prop::collection::vec((0..KINDS, 0_usize..48), 1..12),
        seed in any::<u64>(),
    ) {
        let choices = &mut Choices::new(seed);
        let needles = needles(&[value.as_bytes(), other.as_bytes()]);
        let text = pieces(&value, &kinds, choices);
        let (whole, count) = scrub_chunks(&needles, &[text.as_bytes()]);
        let chunked = scrub_chunks(&needles, &cut(text.as_bytes(), choices));
        prop_assert_eq!(&chunked, &(whole.clone(), count));
        prop_assert!(!whole.contains(&value) && !whole.contains(&other));
        prop_assert_eq!(count > 0, needles.contains(text.as_bytes()));
        if count == 0 {
            prop_assert_eq!(whole, text);
        }
    }

    /// Text without the value, full of escapes and of the value's beginnings, is passed byte by byte.
    #[test]
    fn text_without_the_value_is_untouched(
        text in "[0-9a-f\\\\%u+/\"=ghp_]{0,300}",
        seed in any::<u64>(),
    ) {
        let needles = needles(&[b"ghp_0123456789abcdef\x02"]);
        let chunks = cut(text.as_bytes(), &mut Choices::new(seed));
        prop_assert_eq!(scrub_chunks(&needles, &chunks), (text.clone(), 0));
    }

    /// Stretches of harmless escapes are skipped without decoding; a value after them is not.
    #[test]
    fn harmless_escapes_hide_nothing(
        value in "[A-Ya-z0-9_/+]{16,24}Z",
        kind in 0..KINDS,
        before in prop::collection::vec(0..FILLERS.len(), 0..60),
        after in prop::collection::vec(0..FILLERS.len(), 0..60),
        seed in any::<u64>(),
    ) {
        let choices = &mut Choices::new(seed);
        let needles = needles(&[value.as_bytes()]);
        let mut fill = |tokens: &[usize]| -> String {
            tokens.iter().map(|token| match FILLERS[*token] {
                "" => encode(0, &value, choices).chars().take(choices.below(16) as usize).collect(),
                token => token.to_owned(),
            }).collect()
        };
        let (before, after) = (fill(&before), fill(&after));
        let text = format!("{before} {} {after}", encode(kind, &value, choices));
        let expected = (format!("{before} {MARK} {after}"), 1);
        prop_assert_eq!(scrub_chunks(&needles, &[text.as_bytes()]), expected.clone());
        prop_assert_eq!(scrub_chunks(&needles, &cut(text.as_bytes(), choices)), expected);
    }

    /// Any bytes at all: no panic, and cutting changes nothing.
    #[test]
    fn arbitrary_bytes_pass(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        value in prop::collection::vec(any::<u8>(), 1..24),
        seed in any::<u64>(),
    ) {
        prop_assume!(!MARK.as_bytes().windows(value.len()).any(|window| window == value));
        let needles = needles(&[&value]);
        let chunks = cut(&bytes, &mut Choices::new(seed));
        prop_assert_eq!(scrub_chunks(&needles, &chunks), scrub_chunks(&needles, &[&bytes]));
    }
}
