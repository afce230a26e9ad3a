//! Problem documents (RFC 9457) of the control API as failures.

use serde_json::Value;

use super::failure::{Detail, Exit, Failure};
use super::pick::{first, list, text};

/// Turns an answer of 4xx or 5xx into a failure, keeping everything that it says.
pub(super) fn failure(status: u16, problem: &Value) -> Failure {
    let code = text(problem, "/code");
    // A 502 is also an upstream's refusal, which is an answer.
    let silent =
        matches!(status, 503 | 504) || matches!(code.as_str(), "" | "upstream.unreachable") && status == 502;
    let exit = if silent { Exit::NoAnswer } else { Exit::Refused };
    let details: Vec<Detail> = list(problem, "/findings").iter().map(detail).collect();
    // The findings stand above the message, each with its own words.
    let message = match (details.len(), first(problem, &["/detail", "/title"])) {
        (0, said) if said.is_empty() => format!("the gateway answered {status}"),
        (0, said) => said,
        (1, _) => "refused".to_owned(),
        (count, _) => format!("refused: {count} findings"),
    };
    let code = Some(code).filter(|code| !code.is_empty()).map(String::into_boxed_str);
    Failure { exit, code, message, causes: Vec::new(), hint: hint(status, problem, &details), details }
}

/// One finding of the gateway's.
pub(super) fn detail(finding: &Value) -> Detail {
    let hint = text(finding, "/hint");
    Detail {
        place: text(finding, "/object"),
        code: text(finding, "/code"),
        message: text(finding, "/message"),
        hint: (!hint.is_empty()).then_some(hint),
    }
}

fn hint(status: u16, problem: &Value, details: &[Detail]) -> Option<String> {
    let advice = text(problem, "/hint");
    // The API speaks of headers; here the way in is a login.
    if status == 401 && (advice.is_empty() || text(problem, "/code") == "operator.unauthenticated") {
        return Some(
            "log in with `mcp-gateway login`, or name a valid token file with `--token-file`".to_owned(),
        );
    }
    // What stands beside each finding need not be said again.
    if advice.is_empty() || details.iter().any(|detail| detail.hint.as_ref() == Some(&advice)) {
        return None;
    }
    let fixer = text(problem, "/fixer");
    Some(if fixer.is_empty() { advice } else { format!("{advice} (who can: {fixer})") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_code_hint_and_every_finding() {
        let problem = json!({"title": "Unprocessable", "status": 422, "detail": "2 findings", "code": "manifest.refused",
            "hint": "mend them all", "fixer": "the author", "findings": [
                {"code": "server.undeclared", "hint": "declare it", "fixer": "the author",
                 "object": "Binding/dev/triage", "message": "no server `x`"},
                {"code": "production.any_actor", "hint": "name agents", "fixer": "the author", "message": "any"}]});
        let failure = failure(422, &problem);
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.code.as_deref(), Some("manifest.refused"));
        assert_eq!(failure.hint.as_deref(), Some("mend them all (who can: the author)"));
        assert_eq!(failure.message, "refused: 2 findings");
        assert_eq!(failure.details.len(), 2);
        assert_eq!(failure.details[0].place, "Binding/dev/triage");
    }

    #[test]
    fn a_part_that_does_not_answer_is_told_from_a_refusal() {
        assert_eq!(failure(503, &json!({"code": "store.unavailable"})).exit, Exit::NoAnswer);
        assert_eq!(failure(502, &json!({"code": "upstream.unreachable"})).exit, Exit::NoAnswer);
        assert_eq!(failure(502, &json!({"code": "upstream.unauthorized"})).exit, Exit::Refused);
        assert_eq!(failure(403, &json!({"code": "operator.forbidden"})).exit, Exit::Refused);
        assert_eq!(failure(418, &json!({})).message, "the gateway answered 418");
        let unauthenticated =
            json!({"code": "operator.unauthenticated", "hint": "send `Authorization: Bearer …`"});
        assert!(failure(401, &unauthenticated).hint.unwrap().contains("login"));
        let used =
            json!({"code": "login.refused", "hint": "the bootstrap token is wrong, used up or expired"});
        assert!(failure(401, &used).hint.unwrap().contains("used up"));
    }
}
