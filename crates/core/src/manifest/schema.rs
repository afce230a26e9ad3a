//! What a manifest looks like, for programs: editors that complete, pipelines that check, the document of the API.

use std::sync::LazyLock;

use serde_json::Value;

/// The JSON Schema (2020-12) of one manifest. It says of each field how it is read, no more and no less: a text that it
/// takes can still break a rule about what stands beside it, or about who writes it.
pub const SCHEMA: &str = include_str!("schema.json");

static PARSED: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap_or_default());

/// Where a list stands in a manifest and none belongs: by itself a struct would be read from a list too, its fields by
/// their places, and nobody who reads such a manifest sees what is what. Names fields of the schema alone; for every other
/// key stands `*`.
pub fn misplaced_list(manifest: &Value) -> Option<String> {
    let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
    let schema = PARSED.get("$defs")?.get(format!("{kind}Manifest"))?;
    search(manifest, schema).map(|place| place.join("."))
}

/// The place below, from the outside in.
fn search(value: &Value, schema: &Value) -> Option<Vec<String>> {
    let mut forms = Vec::new();
    gather(schema, &mut forms);
    match value {
        Value::Array(items) => {
            let lists: Vec<&Value> = forms.into_iter().filter_map(|form| form.get("items")).collect();
            if lists.is_empty() {
                return Some(Vec::new());
            }
            items.iter().find_map(|item| unfit(item, &lists))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            let known: Vec<&Value> =
                forms.iter().filter_map(|form| form.get("properties")?.get(name)).collect();
            let name = if known.is_empty() { "*" } else { name.as_str() };
            let others = forms.iter().filter_map(|form| form.get("additionalProperties"));
            let places =
                if known.is_empty() { others.filter(|one| one.is_object()).collect() } else { known };
            unfit(inner, &places).map(|rest| [vec![name.to_owned()], rest].concat())
        }),
        _ => None,
    }
}

/// The place below where none of the schemas fits; whatever fits one of them, or has none, may stand there.
fn unfit(value: &Value, schemas: &[&Value]) -> Option<Vec<String>> {
    let tried: Option<Vec<_>> = schemas.iter().map(|schema| search(value, schema)).collect();
    tried?.into_iter().next()
}

/// The forms that a schema stands for, its references followed.
fn gather<'a>(schema: &'a Value, forms: &mut Vec<&'a Value>) {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix("#/$defs/"));
    if let Some(inner) = name.and_then(|name| PARSED.get("$defs")?.get(name)) {
        return gather(inner, forms);
    }
    let inner = ["oneOf", "anyOf"].into_iter().filter_map(|form| schema.get(form)?.as_array()).flatten();
    let before = forms.len();
    inner.for_each(|form| gather(form, forms));
    if forms.len() == before {
        forms.push(schema);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::super::*;
    use super::{SCHEMA, misplaced_list};
    use crate::actor::ActorSelector;
    use crate::receipt::ReceiptMode;

    fn definitions() -> Value {
        serde_json::from_str::<Value>(SCHEMA).unwrap()["$defs"].take()
    }

    fn resolved<'a>(all: &'a Value, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => resolved(all, &all[place.trim_start_matches("#/$defs/")]),
            None => schema,
        }
    }

    /// The words that the reader names where it is given one that it does not know.
    fn words_of<T: DeserializeOwned>(unknown: Value) -> BTreeSet<String> {
        let error = serde_json::from_value::<T>(unknown).err().unwrap().to_string();
        let (_, known) = error.split_once("expected").unwrap();
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn fields_of<T: DeserializeOwned>() -> BTreeSet<String> {
        words_of::<T>(json!({"?": 0}))
    }

    /// What a schema, or one of its forms, has a place for: fields, and words that stand alone.
    fn places(all: &Value, schema: &Value) -> BTreeSet<String> {
        let schema = resolved(all, schema);
        let fields = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
        let alone = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
        let alone = alone.filter_map(|word| word.as_str().map(str::to_owned));
        let forms = ["oneOf", "anyOf"].into_iter().filter_map(|form| schema[form].as_array()).flatten();
        let inner = forms.flat_map(|form| places(all, form));
        fields.chain(alone).chain(inner).filter(|name| name != "kind" && name != "etag").collect()
    }

    #[test]
    fn every_field_that_is_read_is_in_the_schema_and_no_other() {
        let all = definitions();
        for (name, fields) in [
            ("EnvironmentManifest", fields_of::<EnvironmentSpec>()),
            ("ServerManifest", fields_of::<ServerSpec>()),
            ("ProviderManifest", fields_of::<ProviderSpec>()),
            ("WorkloadManifest", fields_of::<WorkloadSpec>()),
            ("AgentManifest", fields_of::<AgentSpec>()),
            ("PolicyManifest", fields_of::<PolicySpec>()),
            ("BindingManifest", fields_of::<BindingSpec>()),
            ("ReviewRule", fields_of::<ReviewRule>()),
            ("ProbeCall", fields_of::<ProbeCall>()),
            ("Route", fields_of::<Route>()),
            ("ChildLimits", fields_of::<ChildLimits>()),
            ("ClientCertificate", fields_of::<ClientCertificate>()),
            ("ProviderEndpoints", fields_of::<ProviderEndpoints>()),
            ("ProviderClient", fields_of::<ProviderClient>()),
            ("ClientAuthentication", fields_of::<ClientAuthentication>()),
            ("WorkloadIdentity", fields_of::<WorkloadIdentity>()),
            ("AgentProof", fields_of::<AgentProof>()),
            ("OwnedTools", fields_of::<OwnedTools>()),
            ("ActorSelector", fields_of::<ActorSelector>()),
            ("Injection", fields_of::<Injection>()),
            ("BasicUser", words_of::<Injection>(json!({"basic": {"?": 0}}))),
            ("CredentialSource", fields_of::<CredentialSource>()),
            ("TokenRequest", fields_of::<TokenRequest>()),
            ("ToolScopes", fields_of::<ToolScopes>()),
            ("TokenExchange", fields_of::<TokenExchange>()),
            ("JwtBearer", fields_of::<JwtBearer>()),
            ("IdentityAssertion", fields_of::<IdentityAssertion>()),
            ("MintedToken", fields_of::<MintedToken>()),
            ("LeasedSecret", fields_of::<LeasedSecret>()),
            ("AppInstallation", fields_of::<AppInstallation>()),
            ("RotationRule", fields_of::<RotationSpec>()),
            ("Exception", fields_of::<Exception>()),
            ("Limits", fields_of::<Limits>()),
            ("Mode", words_of::<CredentialMode>(json!("?"))),
            ("Risk", words_of::<Risk>(json!("?"))),
            ("OnOverdue", words_of::<OnOverdue>(json!("?"))),
            ("Generation", words_of::<Spoken>(json!("?"))),
        ] {
            assert_eq!(places(&all, &all[name]), fields, "{name}");
        }
        let within = |name: &str, field: &str| places(&all, &all[name]["properties"][field]);
        assert_eq!(within("EnvironmentManifest", "tier"), words_of::<Tier>(json!("?")));
        assert_eq!(within("ServerManifest", "credential"), words_of::<CredentialNeed>(json!("?")));
        assert_eq!(within("HttpRoute", "receipt"), words_of::<ReceiptMode>(json!("?")));
        assert_eq!(within("ProviderClient", "registration"), words_of::<Registration>(json!("?")));
        assert_eq!(within("JwtBearer", "subject"), words_of::<AssertedSubject>(json!("?")));
        assert_eq!(within("Exception", "rule"), words_of::<ExceptionRule>(json!("?")));
        let scopes = places(&all, &all["Addresses"]["items"]);
        assert_eq!(scopes, words_of::<AddressScope>(json!("?")));
    }

    #[test]
    fn a_list_is_found_wherever_a_struct_would_be_read_from_one_and_nowhere_else() {
        let all = definitions();
        for kind in Kind::ALL {
            let example = &all[format!("{}Manifest", kind.word())]["examples"][0];
            assert_eq!(misplaced_list(example), None, "{example}");
        }
        let binding = |field: &str, value: Value| {
            let mut binding = all["BindingManifest"]["examples"][0].clone();
            binding[field] = value;
            misplaced_list(&binding)
        };
        for (field, value, place) in [
            ("rotation", json!([null, null]), "rotation"),
            ("actor", json!([["bot"]]), "actor"),
            ("limits", json!([1, 2]), "limits"),
            ("exceptions", json!([["local_store", "because"]]), "exceptions"),
            ("inject", json!({"basic": ["user"]}), "inject.basic"),
            ("source", json!({"grant": ["idp"]}), "source.grant"),
            (
                "source",
                json!({"jwt_bearer": {"token": ["idp"], "subject": "user"}}),
                "source.jwt_bearer.token",
            ),
            ("mode", json!(["service_account"]), "mode"),
        ] {
            assert_eq!(binding(field, value).as_deref(), Some(place));
        }
        assert_eq!(binding("tools", json!(["list"])), None);
        assert_eq!(binding("nobody-knows", json!([1])), None, "the reader refuses it by its name");
        let server = |route: Value, probe: Value| {
            misplaced_list(&json!({"kind": "Server", "route": route, "probe": probe}))
        };
        let free = json!({"tool": "list", "arguments": {"ids": [1, [2]]}});
        assert_eq!(server(json!({"command": ["/bin/x"], "environment": {"A": "b"}}), free), None);
        let named =
            server(json!({"command": ["/bin/x"], "environment": {"SECRET-NAME": ["b"]}}), Value::Null);
        assert_eq!(named.as_deref(), Some("route.environment.*"));
        assert_eq!(server(json!(["https://x"]), Value::Null).as_deref(), Some("route"));
        assert_eq!(misplaced_list(&json!({"kind": "Nothing", "a": [1]})), None);
    }

    fn takes_null(all: &Value, schema: &Value) -> bool {
        let schema = resolved(all, schema);
        let typed = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        let listed = schema["enum"].as_array().is_some_and(|words| words.contains(&Value::Null));
        let forms = schema["anyOf"].as_array().into_iter().flatten();
        typed || schema["type"] == "null" || listed || forms.into_iter().any(|form| takes_null(all, form))
    }

    #[test]
    fn each_kinds_example_is_read_without_what_may_be_absent_and_not_without_what_must_be_there() {
        let all = definitions();
        for kind in Kind::ALL {
            let schema = &all[format!("{}Manifest", kind.word())];
            let example = &schema["examples"][0];
            let read = |value: &Value| serde_json::from_value::<Spec>(value.clone()).is_ok();
            assert!(read(example), "{example}");
            let required = schema["required"].as_array().unwrap();
            for (field, place) in schema["properties"].as_object().unwrap() {
                if field == "etag" {
                    continue;
                }
                let (mut without, mut empty) = (example.clone(), example.clone());
                without.as_object_mut().unwrap().remove(field);
                empty[field] = Value::Null;
                let is_required = required.contains(&json!(field));
                assert_eq!(read(&without), !is_required, "{} without {field}", kind.word());
                assert_eq!(read(&empty), takes_null(&all, place), "{} with {field}: null", kind.word());
            }
        }
    }
}
