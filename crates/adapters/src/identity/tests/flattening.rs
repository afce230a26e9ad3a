//! Claims by their path.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::attest::flatten;

fn flat(claims: Value) -> Vec<(String, String)> {
    flatten(claims.as_object().unwrap()).into_iter().collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn texts_numbers_and_flags_are_kept_by_their_path_and_dots_stay() {
    let claims = json!({
        "kubernetes.io": {"serviceaccount": {"name": "runner"}, "namespace": "billing"},
        "count": 7, "part": 0.5, "flag": true, "off": false, "nothing": null, "list": ["a"], "empty": {}
    });
    let expected = [
        ("count", "7"),
        ("flag", "true"),
        ("kubernetes.io/namespace", "billing"),
        ("kubernetes.io/serviceaccount/name", "runner"),
        ("off", "false"),
        ("part", "0.5"),
    ];
    assert_eq!(flat(claims), pairs(&expected));
}

#[test]
fn two_claims_of_one_path_are_both_left_out() {
    for claims in [
        json!({"a/b": "forged", "a": {"b": "true one"}, "c": "d"}),
        json!({"a": {"b": "true one"}, "a/b": "forged", "c": "d"}),
        json!({"a/": {"b": "x"}, "a": {"b": "y"}, "c": "d"}),
    ] {
        assert_eq!(flat(claims), pairs(&[("c", "d")]));
    }
}

#[test]
fn what_is_long_deep_or_full_of_control_characters_is_left_out() {
    assert_eq!(flat(json!({"a": "x".repeat(512)})).len(), 1);
    assert_eq!(flat(json!({"a": "x".repeat(513), "b".repeat(513): "x", "c": "x\ny", "d\n": "x"})), []);
    let deep = (0..10).fold(json!("x"), |inner, _| json!({"a": inner}));
    assert_eq!(flat(deep), []);
}

/// Objects of texts, numbers, flags, lists and objects, with names that collide.
fn claims() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\n/]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 200, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c./]{0,3}", inner, 0..20)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every way to read the path as a chain of names.
fn readings(claims: &Map<String, Value>, path: &str, above: &str) -> Vec<String> {
    let joint = if above.is_empty() || above.ends_with('/') { "" } else { "/" };
    let mut found = Vec::new();
    for (name, value) in claims {
        let here = format!("{above}{joint}{name}");
        match value {
            Value::Object(inner) => found.extend(readings(inner, path, &here)),
            Value::String(text) if here == path => found.push(text.clone()),
            Value::Number(number) if here == path => found.push(number.to_string()),
            Value::Bool(flag) if here == path => found.push(flag.to_string()),
            _ => {}
        }
    }
    found
}

proptest! {
    #[test]
    fn whatever_is_kept_is_the_only_reading_of_its_path_and_within_bounds(value in claims()) {
        let Value::Object(claims) = value else { return Ok(()) };
        let flat = flatten(&claims);
        prop_assert!(flat.len() <= 64);
        for (path, text) in &flat {
            prop_assert!(path.len() <= 512 && text.len() <= 512);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(readings(&claims, path, ""), vec![text.clone()]);
        }
    }

    #[test]
    fn the_order_of_claims_changes_nothing(value in claims()) {
        let Value::Object(claims) = value else { return Ok(()) };
        let reversed: Map<String, Value> = claims.clone().into_iter().rev().collect();
        prop_assert_eq!(flatten(&claims), flatten(&reversed));
    }
}
