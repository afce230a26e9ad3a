//! The reviews of a binding, readable.

use serde_json::Value;

use super::pick::{text, time};
use super::view::View;

/// The answer of `binding review` as a view.
pub(super) fn signed(binding: &str, answer: &Value) -> View {
    let missing = text(answer, "/missing");
    let complete = missing == "0";
    let what = if complete { "reviewed" } else { "signed; the review waits for others" };
    let (due, missing) =
        if complete { (time(&text(answer, "/due_at")), String::new()) } else { (String::new(), missing) };
    View::default().title(format!("{binding}: {what}")).fields([
        ("revision", text(answer, "/revision")),
        ("missing signatures", missing),
        ("next review", due),
    ])
}

/// What the card says about reviews: the last, the next, who has signed it, and what followed.
pub(super) fn fields(card: &Value) -> [(&'static str, String); 4] {
    let by = text(card, "/review/by");
    let last = time(&text(card, "/review/last_at"));
    let last = if by.is_empty() { last } else { format!("{last}, reviewed by {by}") };
    let off = time(&text(card, "/review/disables_at"));
    let mut due = next(card);
    if !off.is_empty() {
        due.push_str(&format!("; will be switched off at {off}"));
    }
    let since = time(&text(card, "/review/disabled_at"));
    let off = if since.is_empty() { since } else { format!("since {since}, because nobody had reviewed it") };
    [
        ("last looked at", last),
        ("next review", due),
        ("review signed by", text(card, "/review/signed_by")),
        ("switched off", off),
    ]
}

/// The next review in a list: its day, and whether it is near or late.
pub(super) fn column(card: &Value) -> String {
    let day = text(card, "/review/due_at").chars().take("2027-03-01".len()).collect::<String>();
    with_stage(day, card)
}

fn next(card: &Value) -> String {
    with_stage(time(&text(card, "/review/due_at")), card)
}

fn with_stage(due: String, card: &Value) -> String {
    match text(card, "/review/stage").as_str() {
        "due" => format!("{due}: due"),
        "overdue" => format!("{due}: OVERDUE"),
        _ => due,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_review_reads_well() {
        let done =
            json!({"binding": "dev/bot", "revision": 3, "missing": 0, "due_at": "2027-03-02T00:00:00Z"});
        let shown = signed("dev/bot", &done).plain();
        assert!(shown.contains("dev/bot: reviewed") && shown.contains("2027-03-02T00:00:00Z"), "{shown}");
        let half =
            json!({"binding": "dev/bot", "revision": 3, "missing": 1, "due_at": "2027-03-02T00:00:00Z"});
        let shown = signed("dev/bot", &half).plain();
        assert!(shown.contains("waits for others") && !shown.contains("2027"), "{shown}");
        for (stage, expected) in
            [("current", "2027-03-02"), ("due", "2027-03-02: due"), ("overdue", "2027-03-02: OVERDUE")]
        {
            let card = json!({"review": {"due_at": "2027-03-02T00:00:00Z", "stage": stage}});
            assert_eq!(column(&card), expected);
        }
        assert_eq!(column(&json!({"review": null})), "");
    }
}
