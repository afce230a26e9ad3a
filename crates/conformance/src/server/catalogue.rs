//! What the server offers, as data: the suite fixes most of it to the letter.

use std::collections::BTreeMap;

use rmcp::ErrorData;
use rmcp::model::{
    ContentBlock, ElicitationSchema, InputRequest, Prompt, PromptMessage, Resource, ResourceContents,
    ResourceTemplate, Tool,
};
use serde::Deserialize;

/// Everything that the server lists, and every answer that is always the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Catalogue {
    pub(super) tools: Vec<Tool>,
    pub(super) resources: Vec<Resource>,
    pub(super) resource_templates: Vec<ResourceTemplate>,
    pub(super) prompts: Vec<Prompt>,
    /// The content of a tool's result, by the tool's name.
    pub(super) answers: BTreeMap<String, Vec<ContentBlock>>,
    /// The content of a resource, by its URI.
    pub(super) contents: BTreeMap<String, ResourceContents>,
    /// A prompt's messages, by its name; `{argument}` stands for the argument.
    pub(super) messages: BTreeMap<String, Vec<PromptMessage>>,
    /// What the older generation's eliciting tools ask.
    pub(super) forms: BTreeMap<String, Form>,
    /// What may be asked in a round of the newer generation, by the key of the answer.
    pub(super) questions: BTreeMap<String, InputRequest>,
    /// Tools and prompts that need answers first.
    pub(super) dialogues: BTreeMap<String, Dialogue>,
}

/// A form that a tool of the older generation lets the user fill in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Form {
    pub(super) message: String,
    pub(super) requested_schema: ElicitationSchema,
}

/// How often, and for what, a tool or prompt asks before it answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dialogue {
    /// The keys of the questions of each round.
    pub(super) rounds: Vec<Vec<String>>,
    /// Whether the rounds are counted in a sealed `requestState`.
    pub(super) state: bool,
}

impl Catalogue {
    /// The catalogue that is part of this program.
    ///
    /// # Errors
    /// The file does not say what the SDK understands: a fault of this program.
    pub(super) fn built_in() -> serde_json::Result<Self> {
        serde_json::from_str(include_str!("catalogue.json"))
    }

    /// A resource, also one that the template names.
    pub(super) fn resource(&self, uri: &str) -> Result<ResourceContents, ErrorData> {
        if let Some(content) = self.contents.get(uri) {
            return Ok(content.clone());
        }
        if let Some(id) = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data")) {
            let text = serde_json::json!({
                "id": id, "templateTest": true, "data": format!("Data for ID: {id}"),
            });
            return Ok(ResourceContents::text(text.to_string(), uri).with_mime_type("application/json"));
        }
        let place = serde_json::json!({ "uri": uri });
        Err(ErrorData::resource_not_found("Resource not found", Some(place)))
    }

    /// A prompt's messages with its arguments filled in.
    pub(super) fn prompt(
        &self,
        name: &str,
        arguments: &rmcp::model::JsonObject,
    ) -> Result<Vec<PromptMessage>, ErrorData> {
        let Some(messages) = self.messages.get(name) else {
            return Err(ErrorData::invalid_params("no such prompt", None));
        };
        let internal = |error: serde_json::Error| ErrorData::internal_error(error.to_string(), None);
        let mut text = serde_json::to_string(messages).map_err(internal)?;
        for (argument, value) in arguments {
            let Some(value) = value.as_str() else { continue };
            let quoted = serde_json::Value::from(value).to_string();
            let inner = quoted.trim_start_matches('"').trim_end_matches('"');
            text = text.replace(&format!("{{{argument}}}"), inner);
        }
        serde_json::from_str(&text).map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_understood_and_every_dialogue_asks_known_questions() {
        let catalogue = Catalogue::built_in().unwrap();
        assert!(catalogue.tools.len() > 30, "{}", catalogue.tools.len());
        for (name, dialogue) in &catalogue.dialogues {
            assert!(!dialogue.rounds.is_empty(), "{name}");
            for question in dialogue.rounds.iter().flatten() {
                assert!(catalogue.questions.contains_key(question), "{name} asks {question}");
            }
        }
    }

    #[test]
    fn every_tool_has_an_answer_a_form_a_dialogue_or_a_function() {
        let catalogue = Catalogue::built_in().unwrap();
        let functions = super::super::legacy::NAMES.iter().chain(super::super::jobs::NAMES).copied();
        let functions: Vec<&str> = functions.chain(super::super::handler::NAMES.iter().copied()).collect();
        for tool in &catalogue.tools {
            let name = tool.name.as_ref();
            let known = catalogue.answers.contains_key(name)
                || catalogue.forms.contains_key(name)
                || catalogue.dialogues.contains_key(name)
                || functions.contains(&name);
            assert!(known, "{name}");
        }
    }

    #[test]
    fn the_keywords_of_json_schema_survive() {
        let catalogue = Catalogue::built_in().unwrap();
        let tool = catalogue.tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool").unwrap();
        for keyword in ["$schema", "$defs", "allOf", "if", "then", "else", "additionalProperties"] {
            assert!(tool.input_schema.contains_key(keyword), "{keyword}");
        }
    }

    #[test]
    fn arguments_are_put_into_the_prompt() {
        let catalogue = Catalogue::built_in().unwrap();
        let arguments = serde_json::json!({"arg1": "hel\"lo", "arg2": "world"});
        let messages =
            catalogue.prompt("test_prompt_with_arguments", arguments.as_object().unwrap()).unwrap();
        let text = messages[0].content.as_text().unwrap().text.clone();
        assert_eq!(text, "Prompt with arguments: arg1='hel\"lo', arg2='world'");
    }

    #[test]
    fn a_template_is_filled_in_and_an_unknown_resource_is_named_in_the_error() {
        let catalogue = Catalogue::built_in().unwrap();
        assert!(catalogue.resource("test://template/123/data").is_ok());
        let error = catalogue.resource("test://nowhere").unwrap_err();
        assert_eq!(error.data.unwrap()["uri"], "test://nowhere");
    }
}
