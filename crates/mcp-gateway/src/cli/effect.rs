//! What a pending revision would do to calls that were made of late.

use serde_json::Value;

use super::pick::{list, text, time};
use super::view::{Table, View};

/// The lists of an answer: its field, and what becomes of the calls in it.
const LISTS: [(&str, &str); 3] = [
    ("/gains", "let through from now on"),
    ("/losses", "refused from now on"),
    ("/moves", "under another credential"),
];

/// The calls that would be decided otherwise.
pub(super) fn table(answer: &Value) -> Table {
    let mut table =
        Table::new(&["these calls", "who", "what", "calls", "last", "before", "after", "such as"]);
    for (field, becomes) in LISTS {
        for one in list(answer, field) {
            let who = ["/user", "/agent", "/workload"].map(|part| text(one, part));
            let tool = Some(text(one, "/tool")).filter(|tool| !tool.is_empty());
            let what = tool.unwrap_or_else(|| text(one, "/method"));
            table.row([
                becomes.to_owned(),
                who.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" through "),
                format!("{}/{} {what}", text(one, "/environment"), text(one, "/server")),
                text(one, "/calls"),
                time(&text(one, "/last")),
                text(one, "/before"),
                text(one, "/after"),
                text(one, "/examples/0"),
            ]);
        }
    }
    table
}

/// The effect for people.
pub(super) fn view(answer: &Value) -> View {
    let table = table(answer);
    let nothing = table.is_empty();
    let view = View::default()
        .title(format!("Effect of {} revision {}", text(answer, "/object"), text(answer, "/revision")))
        .fields([
            ("calls looked at", text(answer, "/calls")),
            ("since", time(&text(answer, "/since"))),
            ("decided as before", text(answer, "/unchanged")),
            ("cannot be told", text(answer, "/untold")),
        ])
        .table("", table);
    let view = if nothing { view.text("No call of late would be decided otherwise.") } else { view };
    if text(answer, "/more") == "true" {
        view.text("There are older calls that were not looked at.")
    } else {
        view
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_becomes_of_whose_calls() {
        let one = json!({
            "user": "idp|ann", "agent": "bot", "environment": "production", "server": "github", "tool": "close",
            "method": "tools/call", "calls": 3, "last": "2026-11-26T09:00:00.5Z", "before": null, "after": "bot@2"
        });
        let answer = json!({
            "object": "Binding/production/bot", "revision": 2, "since": "2026-11-25T09:00:00Z", "more": true,
            "calls": 9, "unchanged": 5, "untold": 1, "gains": [one], "losses": [], "moves": []
        });
        insta::assert_snapshot!(view(&answer).plain(), @r"
        Effect of Binding/production/bot revision 2
          calls looked at    9
          since              2026-11-25T09:00:00Z
          decided as before  5
          cannot be told     1
          THESE CALLS              WHO                  WHAT                     CALLS  LAST                  BEFORE  AFTER  SUCH AS
          let through from now on  idp|ann through bot  production/github close  3      2026-11-26T09:00:00Z          bot@2
        There are older calls that were not looked at.
        ");
        let quiet = json!({ "object": "x", "revision": 1, "gains": [], "losses": [], "moves": [] });
        assert!(view(&quiet).plain().contains("No call of late"));
    }
}
