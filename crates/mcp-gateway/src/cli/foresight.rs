//! What manifests would do once they were in force, for people: who gains and loses what, and recorded calls.

use serde_json::Value;

use super::effect;
use super::pick::{is_true, list, text, time};
use super::reach::tools;
use super::view::{Table, View};

/// The lists of access changes: the field, and what becomes of those in it.
const LISTS: [(&str, &str); 3] = [
    ("/access/gains", "gains"),
    ("/access/losses", "loses"),
    ("/access/moves", "moves to another credential"),
];

/// Adds what would come in one environment.
pub(super) fn add(view: View, ahead: &Value) -> View {
    let environment = text(ahead, "/environment");
    let mut access = Table::new(&["who", "", "what", "before", "after"]);
    for (field, becomes) in LISTS {
        for one in list(ahead, field) {
            let cell = |pointer: &str| text(one, pointer);
            access.row([cell("/who"), becomes.to_owned(), tools(one), cell("/before"), cell("/after")]);
        }
    }
    let nothing = access.is_empty();
    let mut view = view.table("Who can reach what", access);
    if nothing {
        view = view.text(format!("No declared caller gains or loses anything in {environment}."));
    }
    if is_true(ahead, "/access/more") {
        view = view.text("There are more declared callers than were looked at.");
    }
    view = recorded(view, ahead);
    let mut left = Table::new(&["stays as it is", "because"]);
    for one in list(ahead, "/left") {
        left.row([text(one, "/object"), text(one, "/message")]);
    }
    view.table("Bindings that would go on pinning what they pin", left)
}

/// The recorded calls, decided anew.
fn recorded(view: View, ahead: &Value) -> View {
    let withheld = text(ahead, "/withheld");
    if !withheld.is_empty() {
        return view.text(withheld);
    }
    let Some(replay) = ahead.pointer("/replay") else { return view };
    let calls = effect::table(replay);
    let nothing = calls.is_empty();
    let mut unknown = Table::new(&["calls", "nothing is claimed, because", "such as"]);
    for one in list(replay, "/unknown") {
        unknown.row([text(one, "/calls"), text(one, "/because"), text(one, "/examples")]);
    }
    let mut view = view.table("Recorded calls, decided anew", calls).fields([
        ("calls looked at", text(replay, "/calls")),
        ("since", time(&text(replay, "/since"))),
        ("decided as before", text(replay, "/unchanged")),
        ("cannot be told", text(replay, "/untold")),
    ]);
    if nothing {
        view = view.text("No recorded call would be decided otherwise.");
    }
    if is_true(replay, "/more") {
        view = view.text("There are older calls that were not looked at.");
    }
    view.table("Cannot be told", unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_who_gains_and_loses_and_of_which_calls_nothing_is_claimed() {
        let ahead = json!({
            "environment": "dev",
            "access": { "gains": [], "moves": [], "losses": [{ "who": "agent bot by agent token", "server": "issues",
                "tools": ["close"], "every_other": false, "before": "bot", "after": null }] },
            "replay": { "calls": 3, "unchanged": 1, "untold": 1, "gains": [], "moves": [],
                "losses": [{ "agent": "bot", "environment": "dev", "server": "issues", "tool": "close", "calls": 1,
                    "last": "2026-11-26T09:00:00Z", "before": "bot@1", "after": null, "examples": ["r1"] }],
                "unknown": [{ "calls": 1, "because": "groups are not evidence", "examples": ["r2"] }] },
        });
        let shown = add(View::default(), &ahead).plain();
        for told in [
            "agent bot by agent token",
            "loses",
            "issues: close",
            "refused from now on",
            "r1",
            "groups are not evidence",
            "r2",
        ] {
            assert!(shown.contains(told), "{told} in:\n{shown}");
        }
        let quiet = json!({ "environment": "dev", "access": {}, "withheld": "told to auditors" });
        let shown = add(View::default(), &quiet).plain();
        assert!(shown.contains("No declared caller gains") && shown.contains("told to auditors"), "{shown}");
    }
}
