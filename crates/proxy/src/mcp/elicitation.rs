//! URL elicitation: how either generation asks a person, through the client, to open an address, and what the
//! client says of it (2025-11-25 and 2026-07-28, "Elicitation"; 2026-07-28, "Multi Round-Trip Requests").

use serde_json::{Value, json};
use url::Url;

use super::json::{JsonError, Kind, Scanner};

/// The code of `URLElicitationRequiredError` (2025-11-25; 2026-07-28 must not use it).
pub const REQUIRED: i64 = -32042;

/// Which of a result's input requests is the gateway's own. A server's keys are its own affair; this one is
/// taken out of what the client answers before the server sees it.
pub const KEY: &str = "mcp-gateway/connect";

/// What came of the gateway's own question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The person was willing to open the address; whether anything came of it is not said.
    Accepted,
    /// The person declined or dismissed it, or the answer is none that the protocol knows.
    Refused,
}

/// What a retry answers (`inputResponses`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// The answer to the gateway's own question.
    pub own: Option<Answer>,
    /// Whether questions of others are answered, which are the server's.
    pub others: bool,
}

impl Answers {
    /// Reads the value that comes next.
    ///
    /// # Errors
    /// It is not acceptable JSON.
    pub(super) fn read(scanner: &mut Scanner<'_>) -> Result<Self, JsonError> {
        let mut answers = Self::default();
        let kind = scanner.peek()?;
        if kind != Kind::Object {
            // Some clients write `null` for "none"; anything else is the server's to refuse.
            answers.others = kind != Kind::Null;
            scanner.skip()?;
            return Ok(answers);
        }
        scanner.object(|scanner, key| {
            if key == KEY {
                answers.own = Some(Answer::read(scanner)?);
                return Ok(());
            }
            answers.others = true;
            scanner.skip()
        })?;
        Ok(answers)
    }
}

impl Answer {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, JsonError> {
        let mut answer = Self::Refused;
        if scanner.peek()? != Kind::Object {
            scanner.skip()?;
            return Ok(answer);
        }
        scanner.object(|scanner, key| {
            if key != "action" {
                return scanner.skip();
            }
            if scanner.text()?.as_deref() == Some("accept") {
                answer = Self::Accepted;
            }
            Ok(())
        })?;
        Ok(answer)
    }
}

/// Reads capabilities of a client: whether it shows people addresses. An empty `elicitation` means forms only.
///
/// # Errors
/// The value that comes next is not acceptable JSON.
pub(super) fn shows_addresses(scanner: &mut Scanner<'_>) -> Result<bool, JsonError> {
    let mut shows = false;
    if scanner.peek()? != Kind::Object {
        scanner.skip()?;
        return Ok(false);
    }
    scanner.object(|scanner, key| {
        if key != "elicitation" || scanner.peek()? != Kind::Object {
            return scanner.skip();
        }
        scanner.object(|scanner, key| {
            shows |= key == "url" && scanner.peek()? == Kind::Object;
            scanner.skip()
        })
    })?;
    Ok(shows)
}

/// `data.elicitations` of the error of 2025-11-25.
#[must_use]
pub fn required(id: &str, address: &Url, message: &str) -> Value {
    json!([{ "mode": "url", "elicitationId": id, "url": address, "message": message }])
}

/// The result by which a server of 2026-07-28 asks. Nothing has to be remembered until the retry, so there is
/// no `requestState`; the elicitation has no id in this version.
#[must_use]
pub fn input_required(address: &Url, message: &str) -> Value {
    let question = json!({ "mode": "url", "message": message, "url": address });
    json!({
        "resultType": "input_required",
        "inputRequests": { KEY: { "method": "elicitation/create", "params": question } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Answers {
        Answers::read(&mut Scanner::new(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn only_accept_is_a_yes_and_everything_else_a_no() {
        let own = |answer: &str| answers(&format!(r#"{{"{KEY}":{answer}}}"#));
        assert_eq!(own(r#"{"action":"accept"}"#), Answers { own: Some(Answer::Accepted), others: false });
        assert_eq!(own(r#"{"content":{"action":"decline"},"action":"accept"}"#).own, Some(Answer::Accepted));
        for no in [
            r#"{"action":"decline"}"#,
            r#"{"action":"cancel"}"#,
            r#"{"action":"ACCEPT"}"#,
            r#"{"action":true}"#,
            r#"{"content":{"action":"accept"}}"#,
            "{}",
            "null",
            r#""accept""#,
        ] {
            assert_eq!(own(no).own, Some(Answer::Refused), "{no}");
        }
    }

    #[test]
    fn answers_to_others_are_told_apart() {
        assert_eq!(answers("{}"), Answers::default());
        assert_eq!(answers("null"), Answers::default());
        assert_eq!(answers(r#"{"x":{"action":"accept"}}"#), Answers { own: None, others: true });
        let both = format!(r#"{{"x":1,"{KEY}":{{"action":"accept"}}}}"#);
        assert_eq!(answers(&both), Answers { own: Some(Answer::Accepted), others: true });
        assert_eq!(answers("[1]"), Answers { own: None, others: true });
        assert_eq!(
            answers(r#"{"mcp-gateway\/connect":{}}"#).own,
            Some(Answer::Refused),
            "escapes hide nothing"
        );
    }

    #[test]
    fn only_the_url_mode_itself_is_the_capability() {
        let shows = |text: &str| shows_addresses(&mut Scanner::new(text.as_bytes()).unwrap()).unwrap();
        assert!(shows(r#"{"roots":{},"elicitation":{"form":{},"url":{}}}"#));
        for without in [
            "{}",
            "null",
            r#"{"url":{}}"#,
            r#"{"elicitation":{}}"#,
            r#"{"elicitation":{"form":{"url":{}}}}"#,
            r#"{"elicitation":{"url":null}}"#,
            r#"{"elicitation":{"url":true}}"#,
            r#"{"elicitation":["url"]}"#,
            r#"{"experimental":{"elicitation":{"url":{}}}}"#,
        ] {
            assert!(!shows(without), "{without}");
        }
    }

    #[test]
    fn each_generation_gets_the_shape_of_its_own_schema() {
        let address = Url::parse("https://gw.example/connect?ticket=t").unwrap();
        assert_eq!(
            required("r1", &address, "why"),
            json!([{"mode": "url", "elicitationId": "r1", "url": "https://gw.example/connect?ticket=t", "message": "why"}])
        );
        assert_eq!(
            input_required(&address, "why"),
            json!({"resultType": "input_required", "inputRequests": {"mcp-gateway/connect": {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": "why", "url": "https://gw.example/connect?ticket=t"}}}})
        );
    }
}
