//! One operation of the document, completed.

use serde_json::{Map, Value, json};

use super::REFUSALS;

/// The id of an operation.
pub(super) fn id(method: &str, path: &str) -> String {
    let words = path.trim_start_matches("/v1").split(['/', '.', '-', '{', '}']);
    let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
    [method.to_lowercase()].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

/// An operation, under its method and path.
pub(super) struct Operation<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) fields: &'a mut Map<String, Value>,
}

impl Operation<'_> {
    /// Gives it an id of its own: many routes have handlers of the same name.
    pub(super) fn name(&mut self) {
        self.fields.insert("operationId".to_owned(), json!(id(self.method, self.path)));
    }

    /// Completes the schemas of its parameters.
    pub(super) fn parameters(&mut self, known: impl Fn(&str, &str, &str) -> Option<Value>) {
        for parameter in self.fields.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let said =
                |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let schema = known(self.path, &said("in"), &said("name"));
            if let (Some(schema), Some(fields)) = (schema, parameter.as_object_mut()) {
                fields.insert("schema".to_owned(), schema);
            }
        }
    }

    /// Adds a header that it takes.
    pub(super) fn header(&mut self, name: &str, schema: Value, about: &str) {
        let parameters = self.fields.entry("parameters").or_insert(json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(
                json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema}),
            );
        }
    }

    /// Adds the refusals that it can answer with.
    pub(super) fn refusals(&mut self, if_match: bool, if_none_match: bool, key: bool) {
        let path = self.path;
        let parameters = self.fields.get("parameters").and_then(Value::as_array);
        let takes = |place: &str| {
            parameters
                .is_some_and(|all| all.iter().any(|one| one.get("in").and_then(Value::as_str) == Some(place)))
        };
        let (body, acts) = (self.fields.contains_key("requestBody"), self.method != "GET");
        let open = !self.fields.contains_key("security");
        let outside = path.ends_with("/rotate") || path == "/v1/secrets";
        let can = |status: u16| match status {
            400 => body || takes("query") || takes("header"),
            401 | 503 => true,
            403 => !open,
            404 => takes("path") || path == "/v1/secrets",
            409 => acts || path.ends_with("/effect"),
            412 => if_match || path == "/v1/apply",
            413 => body || key,
            415 => body,
            422 => acts || takes("query"),
            429 => key,
            500 => true,
            502 | 504 => outside,
            _ => false,
        };
        let refusals: Vec<u16> =
            REFUSALS.iter().map(|(status, _)| *status).filter(|status| can(*status)).collect();
        let responses = self.fields.entry("responses").or_insert(json!({}));
        let Some(responses) = responses.as_object_mut() else { return };
        for status in refusals {
            let refusal = json!({"$ref": format!("#/components/responses/Refused{status}")});
            responses.insert(status.to_string(), refusal);
        }
        if if_none_match {
            responses.insert("304".to_owned(), json!({"description": "It is as it was read"}));
        }
    }

    /// Gives its good answers their shapes, their headers, and what one may go on with.
    pub(super) fn answers(&mut self, shapes: Option<&Value>, links: Option<&Value>) {
        let parameters = self.fields.get("parameters").and_then(Value::as_array);
        let named = |name: &str| {
            parameters.is_some_and(|all| {
                all.iter().any(|one| one.get("name").and_then(Value::as_str) == Some(name))
            })
        };
        let headers = [
            ("X-Request-Id", true),
            ("Link", named("cursor")),
            ("ETag", named("If-None-Match")),
            ("Idempotency-Replayed", named("Idempotency-Key")),
        ];
        let headers: Map<String, Value> = headers
            .into_iter()
            .filter(|(_, sent)| *sent)
            .map(|(name, _)| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
            .collect();
        let mut links: Map<String, Value> = links
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, link)| (name.clone(), linked(link)))
            .collect();
        if named("cursor") {
            let next = json!({"to": format!("{} {}", self.method, self.path), "with": {"cursor": "$response.body#/next"}});
            links.insert("next".to_owned(), linked(&next));
        }
        let Some(responses) = self.fields.get_mut("responses").and_then(Value::as_object_mut) else { return };
        for (status, answer) in responses.iter_mut().filter(|(_, answer)| answer.get("$ref").is_none()) {
            let Some(answer) = answer.as_object_mut() else { continue };
            answer.insert("headers".to_owned(), Value::Object(headers.clone()));
            if let Some(shape) = shapes.and_then(|shapes| shapes.get(status)).and_then(Value::as_str) {
                let schema = json!({"$ref": format!("#/components/schemas/{shape}")});
                answer.insert("content".to_owned(), json!({"application/json": {"schema": schema}}));
            }
            if status.starts_with('2') && !links.is_empty() {
                answer.insert("links".to_owned(), Value::Object(links.clone()));
            }
        }
    }
}

/// A link of the table, as OpenAPI writes it: which operation (`to`), its parameters (`with`) and its body.
fn linked(link: &Value) -> Value {
    let to = link.get("to").and_then(Value::as_str).unwrap_or_default();
    let (method, path) = to.split_once(' ').unwrap_or_default();
    let mut linked = json!({"operationId": id(method, path), "parameters": link.get("with")});
    if let (Some(body), Some(fields)) = (link.get("body"), linked.as_object_mut()) {
        fields.insert("requestBody".to_owned(), body.clone());
    }
    linked
}
