//! An operator at the control API, as the command line uses it.

use http::HeaderValue;
use serde_json::{Value, json};

use super::call::{Answer, web};
use super::collected::Collected;
use super::failure::Failure;
use super::key::Key;
use super::manifests::Place;

/// A person with a token.
pub(super) struct Operator {
    web: reqwest::Client,
    base: String,
    bearer: HeaderValue,
    collected: Collected,
}

impl Operator {
    pub(super) fn new(base: &str, token: &str, collected: &Collected) -> Result<Self, Failure> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Failure::new("the operator's token does not fit into a header"))?;
        bearer.set_sensitive(true);
        Ok(Self { web: web()?, base: base.to_owned(), bearer, collected: collected.clone() })
    }

    /// Reads something.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.web.get(format!("{}{path}", self.base));
        accepted(path, self.send(path, request).await?)
    }

    /// Reads a page that is no JSON.
    pub(super) async fn page(&self, path: &str) -> Result<String, Failure> {
        let request = self.web.get(format!("{}{path}", self.base));
        Ok(self.send(path, request).await?.text)
    }

    /// Does something.
    pub(super) async fn post(&self, path: &str, document: &Value) -> Result<Value, Failure> {
        accepted(path, self.try_post(path, document).await?)
    }

    /// Tries something that may be refused.
    pub(super) async fn try_post(&self, path: &str, document: &Value) -> Result<Answer, Failure> {
        let request = self.web.post(format!("{}{path}", self.base)).json(document);
        self.send(path, request).await
    }

    /// Puts a key into a sealed store and returns its version there.
    pub(super) async fn put_secret(&self, place: &Place, key: &Key) -> Result<String, Failure> {
        let document =
            json!({"store": place.store, "path": place.path, "field": place.field, "value": key.text()});
        Ok(word(&self.post("/v1/secrets", &document).await?, "/version"))
    }

    /// Applies manifests; returns what was written.
    pub(super) async fn apply(&self, specs: &Value) -> Result<Vec<Value>, Failure> {
        let answer = self.post("/v1/apply", &json!({"specs": specs})).await?;
        Ok(answer.get("objects").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Issues an agent token.
    pub(super) async fn agent_token(&self, agent: &str, environment: &str) -> Result<String, Failure> {
        let wish = json!({"entries": [{"environment": environment}], "lifetime_seconds": 3600});
        let answer = self.post(&format!("/v1/agents/{agent}/tokens"), &wish).await?;
        // The token is the agent's to have; what is kept for the sweep is only checked for keys.
        match answer.get("token").and_then(Value::as_str) {
            Some(token) => Ok(token.to_owned()),
            None => Err(Failure::new("the answer holds no agent token")),
        }
    }

    async fn send(&self, path: &str, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let response = request.header(http::header::AUTHORIZATION, self.bearer.clone()).send().await?;
        let status = response.status().as_u16();
        let headers = format!("{:?}", response.headers());
        let text = response.text().await?;
        self.collected
            .keep(format!("the control API's answer at {path}"), format!("{status}\n{headers}\n{text}"));
        Ok(Answer { status, text })
    }
}

fn accepted(path: &str, answer: Answer) -> Result<Value, Failure> {
    if !(200..300).contains(&answer.status) {
        let text: String = answer.text.chars().take(400).collect();
        return Err(Failure::new(format!("{path} answered {}: {text}", answer.status)));
    }
    Ok(serde_json::from_str(&answer.text)?)
}

/// A value of an answer as a word; empty where there is none.
pub(super) fn word(answer: &Value, pointer: &str) -> String {
    match answer.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A number of an answer; 0 where there is none.
pub(super) fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}
