//! Arguments for a tool that is only known by its schema.

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

/// The tool whose schema `json-schema-2020-12-preservation` wants to see again.
const FOCAL: &str = "json_schema_2020_12_tool";

/// Arguments with a value for each required property, of the type that it wants.
pub(super) fn invent(tool: &Tool, all: &[Tool]) -> JsonObject {
    let schema = Value::Object((*tool.input_schema).clone());
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (name.to_owned(), value(name, properties.and_then(|all| all.get(name)), all))).collect()
}

fn value(name: &str, property: Option<&Value>, all: &[Tool]) -> Value {
    if name == "schema" {
        // To be echoed as it was received.
        let focal = all.iter().find(|tool| tool.name == FOCAL);
        return focal.map(|tool| Value::Object((*tool.input_schema).clone())).unwrap_or_default();
    }
    match property.and_then(|property| property.get("type")).and_then(Value::as_str) {
        Some("number" | "integer") => json!(5),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("conformance"),
    }
}

/// What an accepting user would leave as it was filled in: every property that has a default.
pub(super) fn defaults(form: &Value) -> Value {
    let properties = form.get("properties").and_then(Value::as_object);
    let filled = properties.into_iter().flatten().filter_map(|(name, property)| {
        let value = property.get("default").cloned().or_else(|| match property.get("type")?.as_str()? {
            "boolean" => Some(json!(true)),
            _ => None,
        })?;
        Some((name.clone(), value))
    });
    Value::Object(filled.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn tool(name: &'static str, schema: &Value) -> Tool {
        Tool::new(name, "", Arc::new(schema.as_object().unwrap().clone()))
    }

    #[test]
    fn required_properties_get_a_value_of_their_type() {
        let adds = tool("add", &json!({"properties": {"a": {"type": "number"}, "b": {}}, "required": ["a"]}));
        assert_eq!(Value::Object(invent(&adds, &[])), json!({"a": 5}));
    }

    #[test]
    fn the_schema_of_the_focal_tool_is_echoed() {
        let focal = tool(FOCAL, &json!({"$schema": "x", "if": {}}));
        let echo =
            tool("echo", &json!({"properties": {"schema": {"type": "object"}}, "required": ["schema"]}));
        let invented = Value::Object(invent(&echo, &[focal]));
        assert_eq!(invented, json!({"schema": {"$schema": "x", "if": {}}}));
    }

    #[test]
    fn an_accepting_user_leaves_the_defaults() {
        let form =
            json!({"properties": {"name": {"type": "string", "default": "John"}, "ok": {"type": "boolean"}}});
        assert_eq!(defaults(&form), json!({"name": "John", "ok": true}));
    }
}
