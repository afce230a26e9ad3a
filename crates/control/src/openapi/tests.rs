use std::collections::BTreeSet;

use super::*;
use crate::openapi_document;

/// Every value of the document with its place.
fn walk<'a>(place: String, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    found.push((place.clone(), value));
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| walk(format!("{place}/{name}"), inner, found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, inner)| walk(format!("{place}/{at}"), inner, found))
        }
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, one)| (format!("{} {path}", method.to_uppercase()), one))
        })
        .collect()
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openapi_document();
    let mut values = Vec::new();
    walk(String::new(), &document, &mut values);
    let references: Vec<_> =
        values.iter().filter_map(|(place, value)| Some((place, value.get("$ref")?.as_str()?))).collect();
    assert!(references.len() > 300, "{}", references.len());
    for (place, reference) in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{place}: {reference}");
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_says_what_it_answers() {
    let document = openapi_document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name} shares its id");
        let responses = operation["responses"].as_object().unwrap();
        let good: Vec<_> = responses.iter().filter(|(status, _)| status.starts_with('2')).collect();
        assert!(!good.is_empty(), "{name}");
        if !name.contains(" /v1/") {
            continue;
        }
        for (status, answer) in good.into_iter().filter(|(status, _)| *status != "204") {
            let schema = &answer["content"]["application/json"]["schema"]["$ref"];
            assert!(schema.is_string(), "{name} {status} has an answer of no shape: answers.json");
        }
        for status in ["401", "503"] {
            assert!(responses.contains_key(status), "{name} does not say {status}");
        }
    }
}

#[test]
fn every_answer_in_the_table_is_of_an_operation() {
    let document = openapi_document();
    let known: BTreeSet<String> = operations(&document).into_iter().map(|(name, _)| name).collect();
    for name in parsed(ANSWERS).keys() {
        assert!(known.contains(name), "{name}");
    }
    assert!(!parsed(SCHEMAS).is_empty(), "schemas.json is not JSON");
}

#[test]
fn enumerations_are_listed_as_they_are() {
    assert_eq!(words::<ReviewStage>()["enum"], json!(["current", "due", "overdue"]));
    assert_eq!(words::<AuditOrder>()["enum"], json!(["newest_first", "oldest_first"]));
    assert!(words::<EventKind>()["enum"].as_array().unwrap().contains(&json!("binding_revoked")));
}

#[test]
fn acts_take_a_precondition_and_a_key() {
    let document = openapi_document();
    let takes = |name: &str| -> Vec<String> {
        let has = |operation: &Value| {
            operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name))
        };
        operations(&document).into_iter().filter(|(_, one)| has(one)).map(|(name, _)| name).collect()
    };
    let conditional = takes("If-Match");
    for act in ["approve", "disable", "enable", "revoke", "rotate", "review"] {
        assert!(conditional.contains(&format!("POST /v1/bindings/{{environment}}/{{name}}/{act}")), "{act}");
    }
    let keyed = takes("Idempotency-Key");
    for act in
        ["POST /v1/apply", "POST /v1/locks", "POST /v1/agents/{name}/tokens", "POST /v1/grants/{id}/revoke"]
    {
        assert!(keyed.contains(&act.to_owned()), "{act}");
    }
    assert!(!keyed.contains(&"POST /v1/secrets".to_owned()));
}

#[test]
fn every_refusal_shows_an_answer_of_its_status() {
    let document = openapi_document();
    for (status, _) in REFUSALS {
        let content = &document["components"]["responses"][format!("Refused{status}")]["content"];
        let example = &content["application/problem+json"]["example"];
        assert_eq!(example["status"], status, "{example}");
        for field in ["type", "title", "code", "detail", "hint", "fixer"] {
            assert!(example[field].as_str().is_some_and(|text| !text.is_empty()), "{status}: {field}");
        }
    }
}

#[test]
fn every_link_leads_to_an_operation_and_names_its_parameters() {
    let document = openapi_document();
    let all = operations(&document);
    let mut found = 0;
    for (name, operation) in &all {
        let responses = operation["responses"].as_object().unwrap().values();
        for (title, link) in responses.filter_map(|answer| answer["links"].as_object()).flatten() {
            let target = all.iter().find(|(_, one)| one["operationId"] == link["operationId"]);
            let (_, target) = target.unwrap_or_else(|| panic!("{name}: {title} leads nowhere"));
            let takes: BTreeSet<&str> = target["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            for parameter in link["parameters"].as_object().unwrap().keys() {
                assert!(takes.contains(parameter.as_str()), "{name}: {title} gives {parameter}");
            }
            assert!(
                link.get("requestBody").is_none() || target.get("requestBody").is_some(),
                "{name}: {title}"
            );
            found += 1;
        }
    }
    assert!(found >= 40, "{found}");
    for name in parsed(LINKS).keys() {
        assert!(
            all.iter().any(|(known, one)| known == name && one["responses"].to_string().contains("links")),
            "{name}"
        );
    }
}
