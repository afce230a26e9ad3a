//! Multi round-trip requests of 2026-07-28: a question instead of a result, until every answer is there.

use rmcp::ErrorData;
use rmcp::model::{ClientCapabilities, InputRequest, InputRequests, InputRequiredResult, InputResponses};
use serde_json::Value;

use super::catalogue::{Catalogue, Dialogue};
use super::seal::Seal;

/// How a dialogue goes on.
#[derive(Debug)]
pub(super) enum Next {
    /// Something is still to be asked.
    Ask(InputRequiredResult),
    /// Every answer is there; the text says what they were.
    Done(String),
}

/// Takes a dialogue one step further.
///
/// # Errors
/// The state was not sealed here, or the client can answer none of the questions.
pub(super) fn step(
    (catalogue, seal): (&Catalogue, &Seal),
    (name, dialogue): (&str, &Dialogue),
    capabilities: &ClientCapabilities,
    responses: Option<&InputResponses>,
    state: Option<&str>,
) -> Result<Next, ErrorData> {
    let round = match state {
        Some(state) if dialogue.state => seal.open(name, state)?,
        _ => 0,
    };
    let questions = questions(catalogue, dialogue, round, capabilities)?;
    let answered = |responses: &InputResponses| {
        questions.iter().all(|(key, question)| responses.get(key).is_some_and(|it| answers(question, it)))
    };
    let Some(responses) = responses.filter(|responses| answered(responses)) else {
        return Ok(Next::Ask(ask(seal, name, dialogue, round, questions)));
    };
    let next = round.saturating_add(1);
    if next < dialogue.rounds.len() {
        let questions = self::questions(catalogue, dialogue, next, capabilities)?;
        return Ok(Next::Ask(ask(seal, name, dialogue, next, questions)));
    }
    Ok(Next::Done(said(dialogue, responses)))
}

fn ask(
    seal: &Seal,
    name: &str,
    dialogue: &Dialogue,
    round: usize,
    questions: InputRequests,
) -> InputRequiredResult {
    let state = dialogue.state.then(|| seal.close(name, round));
    InputRequiredResult::new(Some(questions), state)
}

/// The questions of a round that this client can answer.
fn questions(
    catalogue: &Catalogue,
    dialogue: &Dialogue,
    round: usize,
    capabilities: &ClientCapabilities,
) -> Result<InputRequests, ErrorData> {
    let asked = dialogue.rounds.get(round).into_iter().flatten();
    let asked = asked.filter_map(|key| Some((key, catalogue.questions.get(key)?)));
    let mut missing = None;
    let mut possible = InputRequests::new();
    for (key, question) in asked {
        match needed(question, capabilities) {
            None => drop(possible.insert(key.clone(), question.clone())),
            Some(lacking) => missing = Some(lacking),
        }
    }
    match missing {
        Some(lacking) if possible.is_empty() => Err(ErrorData::missing_required_client_capability(lacking)),
        _ => Ok(possible),
    }
}

/// The capability that a question needs, where the client did not declare it.
#[expect(deprecated, reason = "what SEP-2577 deprecates is still part of the revision")]
fn needed(question: &InputRequest, capabilities: &ClientCapabilities) -> Option<ClientCapabilities> {
    let builder = ClientCapabilities::builder();
    match question {
        InputRequest::CreateMessage(_) if capabilities.sampling.is_none() => {
            Some(builder.enable_sampling().build())
        }
        InputRequest::Elicitation(_) if capabilities.elicitation.is_none() => {
            Some(builder.enable_elicitation().build())
        }
        InputRequest::ListRoots(_) if capabilities.roots.is_none() => Some(builder.enable_roots().build()),
        _ => None,
    }
}

/// Whether a value can be the answer to a question.
fn answers(question: &InputRequest, value: &Value) -> bool {
    match question {
        InputRequest::CreateMessage(_) => value.get("content").is_some(),
        InputRequest::Elicitation(_) => value.get("action").is_some_and(Value::is_string),
        InputRequest::ListRoots(_) => value.get("roots").is_some_and(Value::is_array),
        _ => false,
    }
}

fn said(dialogue: &Dialogue, responses: &InputResponses) -> String {
    let prefix = if dialogue.state { "state-ok " } else { "" };
    let name =
        responses.get("user_name").and_then(|answer| answer.pointer("/content/name")).and_then(Value::as_str);
    let text = match name {
        Some(name) if dialogue.rounds.len() == 1 => format!("Hello, {name}!"),
        _ => serde_json::to_string(responses).unwrap_or_default(),
    };
    format!("{prefix}{text}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(
        name: &str,
        capabilities: Value,
        responses: Option<Value>,
        state: Option<&str>,
        seal: &Seal,
    ) -> Result<Next, ErrorData> {
        let catalogue = Catalogue::built_in().unwrap();
        let capabilities = serde_json::from_value(capabilities).unwrap();
        let responses: Option<InputResponses> = responses.map(|it| serde_json::from_value(it).unwrap());
        step((&catalogue, seal), (name, &catalogue.dialogues[name]), &capabilities, responses.as_ref(), state)
    }

    fn state_of(next: Next) -> String {
        match next {
            Next::Ask(result) => result.request_state.unwrap(),
            Next::Done(text) => panic!("done: {text}"),
        }
    }

    #[test]
    fn two_rounds_are_asked_one_after_the_other() {
        let (seal, name) = (Seal::fresh().unwrap(), "test_input_required_result_multi_round");
        let can = || json!({"elicitation": {}});
        let answer = |key: &str| Some(json!({key: {"action": "accept", "content": {}}}));
        let first = state_of(run(name, can(), None, None, &seal).unwrap());
        let second = state_of(run(name, can(), answer("step1"), Some(&first), &seal).unwrap());
        assert_ne!(first, second);
        let done = run(name, can(), answer("step2"), Some(&second), &seal).unwrap();
        assert!(matches!(done, Next::Done(text) if text.starts_with("state-ok")));
    }

    #[test]
    fn only_what_the_client_can_answer_is_asked() {
        let (seal, name) = (Seal::fresh().unwrap(), "test_input_required_result_capabilities");
        let Next::Ask(asked) = run(name, json!({"sampling": {}}), None, None, &seal).unwrap() else {
            panic!()
        };
        let keys: Vec<_> = asked.input_requests.unwrap().into_keys().collect();
        assert_eq!(keys, ["capital_question"]);
        assert_eq!(run(name, json!({}), None, None, &seal).unwrap_err().code.0, -32021);
    }

    #[test]
    fn an_answer_of_the_wrong_shape_is_asked_for_again() {
        let (seal, name) = (Seal::fresh().unwrap(), "test_input_required_result_elicitation");
        let next =
            run(name, json!({"elicitation": {}}), Some(json!({"user_name": 12345})), None, &seal).unwrap();
        assert!(matches!(next, Next::Ask(_)));
    }
}
