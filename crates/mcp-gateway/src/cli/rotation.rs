//! How a binding's secret is kept fresh, readable.

use serde_json::Value;

use super::pick::{is_true, list, text, time};
use super::view::{Table, View};

/// The answer of `binding versions` as a view.
pub(super) fn view(answer: &Value) -> View {
    let view = View::default().title(format!("{}: versions of its secret", text(answer, "/binding")));
    if answer.get("rotation").is_none_or(Value::is_null) {
        return view.text("Nobody looks after it: it has never been rotated, and the binding says nothing under `rotation`.");
    }
    view.fields(fields(answer)).table("", versions(answer))
}

/// Version, age and the next rotation, of what holds a `rotation`.
pub(super) fn fields(value: &Value) -> [(&'static str, String); 5] {
    let version = text(value, "/rotation/version");
    let held = is_true(value, "/rotation/held");
    let late = is_true(value, "/rotation/overdue");
    let due = time(&text(value, "/rotation/next_due"));
    [
        (
            "secret version",
            if held { format!("{version}; stays there: the server refused a newer one") } else { version },
        ),
        ("secret age", age(&text(value, "/rotation/age_seconds"))),
        ("active since", time(&text(value, "/rotation/active_since"))),
        ("next rotation", if late { format!("{due}: OVERDUE") } else { due }),
        ("rotation", policy(value)),
    ]
}

/// The versions, of what holds a `rotation`.
pub(super) fn versions(value: &Value) -> Table {
    let mut table = Table::new(&["version", "state", "since", "made", "because"]);
    for version in list(value, "/rotation/versions") {
        table.row([
            text(version, "/version"),
            text(version, "/state"),
            time(&text(version, "/since")),
            time(&text(version, "/created_at")),
            text(version, "/reason"),
        ]);
    }
    table
}

fn policy(value: &Value) -> String {
    let part = |field: &str, words: &str| {
        let said = text(value, &format!("/rotation/policy/{field}"));
        (!said.is_empty()).then(|| format!("{words} {said}"))
    };
    let parts = [
        part("watch", "watched every"),
        part("max_age", "at most"),
        part("every", "due every"),
        part("on_overdue", "when overdue:"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Seconds in the largest unit that says enough.
pub(super) fn age(seconds: &str) -> String {
    let Ok(count) = seconds.parse::<u64>() else { return String::new() };
    match count {
        0..120 => format!("{count} s"),
        120..7_200 => format!("{} min", count / 60),
        7_200..172_800 => format!("{} h", count / 3_600),
        _ => format!("{} d", count / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_read_well() {
        let answer = json!({"binding": "production/bot", "rotation": {
            "policy": {"watch": "30s", "max_age": "90d"}, "version": "7", "created_at": "2026-11-20T09:00:00Z",
            "active_since": "2026-11-21T09:00:00.5Z", "next_due": "2027-02-18T09:00:00Z", "held": true,
            "age_seconds": 604_800, "overdue": true, "versions": [
                {"version": "6", "state": "draining", "since": "2026-11-21T09:00:00.5Z", "created_at": null},
                {"version": "7", "state": "active", "since": "2026-11-21T09:00:00.5Z", "created_at": "2026-11-20T09:00:00Z"},
                {"version": "8", "state": "refused", "since": "2026-11-22T09:00:00Z", "reason": "upstream.unauthorized"}]}});
        let shown = view(&answer).plain();
        for expected in [
            "production/bot: versions of its secret",
            "7; stays there: the server refused a newer one",
            "7 d",
            "2026-11-21T09:00:00Z",
            "2027-02-18T09:00:00Z: OVERDUE",
            "watched every 30s, at most 90d",
            "draining",
            "upstream.unauthorized",
        ] {
            assert!(shown.contains(expected), "{expected} is missing in\n{shown}");
        }
        let nothing = json!({"binding": "dev/bot", "rotation": null});
        assert!(view(&nothing).plain().contains("Nobody looks after it"));
    }
}
