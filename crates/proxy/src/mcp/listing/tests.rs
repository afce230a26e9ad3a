use proptest::prelude::*;

use super::*;

fn run(body: &str, listing: Listing, keep: &[&str]) -> (String, usize, usize) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let filtered = filter(&body, listing, |name| keep.contains(&name)).expect("a list");
    (String::from_utf8(filtered.body.to_vec()).expect("UTF-8"), filtered.kept, filtered.removed)
}

#[test]
fn cuts_entries_and_keeps_every_other_byte() {
    let body = r#"{ "result" : {"x":1.50, "tools": [ {"name":"a", "z":{"name":"b"}} , {"name":"b"},
      {"y": [1,2] ,"name":"\u0063"}], "nextCursor":"n" }, "id":"7","jsonrpc":"2.0"}"#;
    for (keep, tools, kept) in [
        (vec!["a", "b"], r#"[ {"name":"a", "z":{"name":"b"}} , {"name":"b"}]"#, 2),
        (
            vec!["a", "c"],
            "[ {\"name\":\"a\", \"z\":{\"name\":\"b\"}} ,\n      {\"y\": [1,2] ,\"name\":\"\\u0063\"}]",
            2,
        ),
        (vec!["b", "c"], "[ {\"name\":\"b\"},\n      {\"y\": [1,2] ,\"name\":\"\\u0063\"}]", 2),
        (vec!["b"], r#"[ {"name":"b"}]"#, 1),
        (vec!["c"], "[\n      {\"y\": [1,2] ,\"name\":\"\\u0063\"}]", 1),
        (vec![], "[]", 0),
    ] {
        let expected = format!(
            r#"{{ "result" : {{"x":1.50, "tools": {tools}, "nextCursor":"n" }}, "id":"7","jsonrpc":"2.0"}}"#
        );
        assert_eq!(run(body, Listing::Tools, &keep), (expected, kept, 3 - kept), "{keep:?}");
    }
}

#[test]
fn names_entries_by_the_key_of_their_list() {
    for (listing, member, key) in [
        (Listing::Prompts, "prompts", "name"),
        (Listing::Resources, "resources", "uri"),
        (Listing::ResourceTemplates, "resourceTemplates", "uriTemplate"),
    ] {
        let body = format!(r#"{{"result":{{"{member}":[{{"{key}":"a"}},{{"{key}":"b","title":"a"}}]}}}}"#);
        let expected = format!(r#"{{"result":{{"{member}":[{{"{key}":"a"}}]}}}}"#);
        assert_eq!(run(&body, listing, &["a"]), (expected, 1, 1));
    }
}

#[test]
fn returns_the_same_bytes_where_nothing_changes() {
    for body in [
        r#"{"result":{"tools":[{"name":"a"}],"cacheScope":"private"}}"#,
        r#"{"result":{"tools":[]}}"#,
        r#"{"id":1,"error":{"code":1,"message":"x","data":{"tools":[{"name":"b"}]}}}"#,
        r#"{"result":{"resultType":"input_required","requestState":"s"}}"#,
        r#"{"method":"notifications/progress","params":{"tools":[{"name":"b"}]}}"#,
    ] {
        let body = Bytes::from_static(body.as_bytes());
        let filtered = filter(&body, Listing::Tools, |name| name == "a").expect("passes");
        assert_eq!(filtered.body.as_ptr(), body.as_ptr(), "the very same buffer");
        assert_eq!(filtered.removed, 0);
    }
}

#[test]
fn makes_public_lists_private() {
    let before = r#"{"result":{"cacheScope": "public" ,"tools":[{"name":"b"},{"name":"a"}],"ttlMs":5}}"#;
    let after = r#"{"result":{"cacheScope": "private" ,"tools":[{"name":"a"}],"ttlMs":5}}"#;
    assert_eq!(run(before, Listing::Tools, &["a"]), (after.to_owned(), 1, 1));
    let body = Bytes::from_static(br#"{"result":{"contents":[],"cacheScope":7}}"#);
    assert_eq!(
        privatize(&body).expect("valid"),
        br#"{"result":{"contents":[],"cacheScope":"private"}}"#.as_slice()
    );
}

#[test]
fn cuts_entries_that_cannot_be_decided() {
    let body = r#"{"result":{"tools":[7,{"name":7},{"title":"a"},{"name":"a"},null]}}"#;
    assert_eq!(
        run(body, Listing::Tools, &["a"]),
        (r#"{"result":{"tools":[{"name":"a"}]}}"#.to_owned(), 1, 4)
    );
}

#[test]
fn refuses_what_clients_may_read_otherwise() {
    let refuse = |body: &'static str| {
        filter(&Bytes::from_static(body.as_bytes()), Listing::Tools, |_| true).expect_err(body)
    };
    let twice = r#"{"result":{"tools":[]},"result":{"tools":[{"name":"hidden"}]}}"#;
    assert!(matches!(refuse(twice), ListingError::Json(_)));
    assert!(matches!(refuse(r#"{"result":{"tools":[]}"#), ListingError::Json(_)));
    assert_eq!(refuse(r#"[{"result":{"tools":[]}}]"#), ListingError::NotObject);
    assert_eq!(refuse(r#"{"result":{"tools":{"name":"a"}}}"#), ListingError::NotArray("tools"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn equals_filtering_the_parsed_list(
        names in prop::collection::vec("[a-d]", 0..8), keep in "[a-d]{0,3}", pretty: bool,
    ) {
        let tools: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name, "q": "],{"})).collect();
        let value = serde_json::json!({"id": 1, "result": {"tools": tools, "after": true}});
        let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
        let filtered = filter(&Bytes::from(body.expect("serialises")), Listing::Tools, |name| keep.contains(name))
            .expect("a list");
        let mut expected = value;
        let list = expected["result"]["tools"].as_array_mut().expect("a list");
        list.retain(|tool| keep.contains(tool["name"].as_str().expect("a name")));
        prop_assert_eq!(filtered.kept, list.len());
        prop_assert_eq!(filtered.kept + filtered.removed, names.len());
        let seen: serde_json::Value = serde_json::from_slice(&filtered.body).expect("valid JSON");
        prop_assert_eq!(seen, expected);
    }
}
