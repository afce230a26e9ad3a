use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn check(body: &[u8]) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(body)?;
    scanner.skip()?;
    scanner.finish()
}

fn fault(body: &str) -> (JsonFault, usize) {
    let error = check(body.as_bytes()).expect_err(body);
    (error.fault, error.at)
}

#[test]
fn refuses_duplicate_keys_at_any_depth() {
    assert_eq!(fault(r#"{"a":1,"a":2}"#), (JsonFault::DuplicateKey, 7));
    assert_eq!(fault(r#"[{"x":{"b":1,"c":{},"b":2}}]"#), (JsonFault::DuplicateKey, 20));
    check(br#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#).expect("the same key in other objects");
}

#[test]
fn sees_through_escapes_in_duplicate_keys() {
    assert_eq!(fault(r#"{"name":"x","n\u0061me":"y"}"#), (JsonFault::DuplicateKey, 12));
    assert_eq!(fault(r#"{"a/b":1,"a\/b":2}"#), (JsonFault::DuplicateKey, 9));
}

#[test]
fn finds_the_earliest_repeat_among_many_keys() {
    let mut keys: Vec<String> = (0..200).map(|index| format!("\"k{index}\":0")).collect();
    check(format!("{{{}}}", keys.join(",")).as_bytes()).expect("all different");
    keys.push("\"k7\":1".to_owned());
    let body = format!("{{{}}}", keys.join(","));
    assert_eq!(fault(&body), (JsonFault::DuplicateKey, body.rfind("\"k7\"").expect("there")));
}

#[test]
fn allows_128_levels_and_no_more() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    check(nested(128).as_bytes()).expect("128 levels");
    assert_eq!(fault(&nested(129)), (JsonFault::TooDeep, 128));
    assert_eq!(fault(&"[".repeat(1_000_000)), (JsonFault::TooDeep, 128));
    let siblings = format!("[{}]", vec!["[]"; 1000].join(","));
    check(siblings.as_bytes()).expect("siblings do not add up");
}

#[test]
fn says_where_and_why() {
    for (body, expected) in [
        ("", (JsonFault::Truncated, 0)),
        ("  ", (JsonFault::Truncated, 2)),
        ("{}x", (JsonFault::Trailing, 2)),
        ("{} {}", (JsonFault::Trailing, 3)),
        ("[1,]", (JsonFault::Unexpected, 3)),
        ("{\"a\":1,}", (JsonFault::Unexpected, 7)),
        ("{\"a\" 1}", (JsonFault::Unexpected, 5)),
        ("{a:1}", (JsonFault::Unexpected, 1)),
        ("[1 2]", (JsonFault::Unexpected, 3)),
        ("01", (JsonFault::Trailing, 1)),
        ("-", (JsonFault::Truncated, 1)),
        ("1.", (JsonFault::Truncated, 2)),
        ("+1", (JsonFault::Unexpected, 0)),
        (".5", (JsonFault::Unexpected, 0)),
        ("1e", (JsonFault::Truncated, 2)),
        ("NaN", (JsonFault::Unexpected, 0)),
        ("tru", (JsonFault::Truncated, 3)),
        ("trux", (JsonFault::Unexpected, 3)),
        ("\"abc", (JsonFault::Truncated, 4)),
        ("\"a\nb\"", (JsonFault::Unexpected, 2)),
        ("\"0123456789\u{1}\"", (JsonFault::Unexpected, 11)),
        (r#""\x""#, (JsonFault::Unexpected, 2)),
        (r#""\u12g4""#, (JsonFault::Unexpected, 5)),
        (r#""\ud800""#, (JsonFault::Unexpected, 7)),
        (r#""\ud800\u0041""#, (JsonFault::Unexpected, 1)),
        (r#""\udc00""#, (JsonFault::Unexpected, 1)),
        ("\u{feff}{}", (JsonFault::Unexpected, 0)),
    ] {
        assert_eq!(fault(body), expected, "{body}");
    }
    assert_eq!(check(b"\"\xff\""), Err(JsonError { fault: JsonFault::Utf8, at: 1 }));
    let message = check(b"[1,]").expect_err("refused").to_string();
    assert_eq!(message, "unexpected byte at byte 3");
}

#[test]
fn hands_out_values_as_they_were_written() {
    let body = br#" { "a" : [1, 2.50] , "t\u0065xt":"x\ny\ud83d\ude00", "n":null } "#;
    let mut scanner = Scanner::new(body).expect("UTF-8");
    let mut seen = Vec::new();
    scanner
        .object(|scanner, key| {
            seen.push(match scanner.peek()? {
                Kind::String => format!("{key}={}", scanner.text()?.expect("a string")),
                _ => format!("{key}={}", scanner.raw()?),
            });
            Ok::<(), JsonError>(())
        })
        .expect("valid");
    scanner.finish().expect("nothing left");
    assert_eq!(seen, ["a=[1, 2.50]", "text=x\ny\u{1f600}", "n=null"]);
}

#[test]
fn refuses_a_visitor_that_leaves_its_value() {
    let mut scanner = Scanner::new(br#"{"a":1}"#).expect("UTF-8");
    let outcome = scanner.object(|_, _| Ok::<(), JsonError>(()));
    assert_eq!(outcome, Err(JsonError { fault: JsonFault::Unexpected, at: 5 }));
}

/// serde_json keeps the last of two equal keys; so equality after a round trip tells of duplicates.
fn has_duplicates(text: &str) -> bool {
    check(text.as_bytes()).is_err_and(|error| error.fault == JsonFault::DuplicateKey)
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..12)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn accepts_what_serde_json_writes(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.expect("serialises");
        prop_assert_eq!(check(text.as_bytes()), Ok(()), "{}", text);
        let raw = Scanner::new(text.as_bytes()).expect("UTF-8").raw().expect("valid");
        prop_assert_eq!(raw, &text);
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_text(
        value in any_json(), at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let mut bytes = serde_json::to_vec(&value).expect("serialises");
        let at = at.index(bytes.len());
        if cut { bytes.remove(at); } else { bytes[at] = byte; }
        agree(&bytes)?;
    }

    #[test]
    fn agrees_with_serde_json_on_json_like_noise(text in r#"([\[\]{},: \n]|"[a-c]?"|"\\[nu/x]([0-9d]{4})?"|-?[0-9]{1,2}(\.[0-9])?(e[+-]?[0-9])?|true|null){0,14}"#) {
        agree(text.as_bytes())?;
    }

    #[test]
    fn survives_any_bytes(bytes: Vec<u8>) {
        agree(&bytes)?;
    }

    #[test]
    fn finds_the_end_of_plain_text(text in r#"[ -~\u{1}\u{1f}\u{7f}\u{80}\u{20ac}"\\]{0,40}"#) {
        let bytes = text.as_bytes();
        let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(bytes.len());
        prop_assert_eq!(plain_prefix(bytes), expected);
    }
}

/// Accept and reject as serde_json does, duplicates apart. (Its `Value` also refuses numbers that
/// overflow `f64`, which is no matter of grammar: those are left out.)
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<Value>(bytes);
    if theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bytes);
    if theirs.is_ok() && has_duplicates(&text) {
        return Ok(());
    }
    prop_assert_eq!(check(bytes).is_ok(), theirs.is_ok(), "{:?}: {:?} / {:?}", text, check(bytes), theirs);
    Ok(())
}
