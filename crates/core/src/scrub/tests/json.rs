use proptest::prelude::*;
use serde_json::{Value, json};

use super::encoders::{self, Choices};
use super::*;

#[test]
fn a_cut_never_splits_an_escape_before_the_value() {
    let needles = needles(&[b"n0123456789abcdef"]);
    let text = r#"{"a":"\n0123456789abcdef","b":"x\\n0123456789abcdef","c":"n0123456789abcdef"}"#;
    let out: Value = serde_json::from_str(&scrub(&needles, text.as_bytes())).unwrap();
    assert_eq!(out["c"], MARK);
    assert_eq!(out["b"], format!("x{MARK}"));
    let unicode = super::needles(&[b"0041bcdefghijklmnop"]);
    let text = r#"{"a":"\u0041bcdefghijklmnop"}"#;
    assert!(serde_json::from_str::<Value>(&scrub(&unicode, text.as_bytes())).is_ok());
}

#[test]
fn a_cut_never_splits_an_escape_after_the_value() {
    let needles = needles(&[b"0123456789abcdef\\"]);
    let text = r#"{"a":"0123456789abcdef\" and","b":"0123456789abcdef\\"}"#;
    let out: Value = serde_json::from_str(&scrub(&needles, text.as_bytes())).unwrap();
    assert_eq!(out, json!({"a": format!("{MARK} and"), "b": MARK}));
}

#[test]
fn json_inside_a_json_string_stays_json_too() {
    let needles = needles(&[b"n0123456789abcdef"]);
    let inner =
        json!({"a": "\n0123456789abcdef", "b": "n0123456789abcdef", "c": "\\n0123456789abcdef"}).to_string();
    let outer = json!({"content": [{"type": "text", "text": inner}]}).to_string();
    let out: Value = serde_json::from_str(&scrub(&needles, outer.as_bytes())).unwrap();
    let inner: Value = serde_json::from_str(out["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(inner["b"], MARK);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Values and surroundings of characters that make escapes, over and over.
    #[test]
    fn documents_still_parse_and_hold_no_value(
        value in "[nu0\\\\\"/a-c]{16,20}",
        around in prop::collection::vec("[nu0\\\\\"/a-c\n\u{e9}]{0,6}", 4),
        seed in any::<u64>(),
        size in 1_usize..40,
    ) {
        let needles = needles(&[value.as_bytes()]);
        let choices = &mut Choices::new(seed);
        let [a, b, c, d] = [0, 1, 2, 3].map(|index| &around[index]);
        let inner = format!("{{\"x\":\"{}\"}}", encoders::json(&format!("{a}{value}{b}"), choices));
        let nested = encoders::json(&inner, choices);
        let once = encoders::json(&format!("{c}{value}{d}"), choices);
        let text = format!("{{\"once\":\"{once}\",\"nested\":\"{nested}\"}}");
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let (out, count) = scrub_chunks(&needles, &chunks);
        prop_assert_eq!(&out, &scrub(&needles, text.as_bytes()));
        prop_assert!(count >= 2);
        let out: Value = serde_json::from_str(&out).unwrap();
        prop_assert!(!out["once"].as_str().unwrap().contains(&value));
        let inner: Value = serde_json::from_str(out["nested"].as_str().unwrap()).unwrap();
        prop_assert!(!inner["x"].as_str().unwrap().contains(&value));
    }
}
