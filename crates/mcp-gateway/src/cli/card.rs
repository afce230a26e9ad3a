//! The binding card, readable: whom it serves, with what, where to, under which policy, and who signed.

use serde_json::Value;

use super::pick::{first, is_true, list, short, text, time};
use super::view::{Table, View};

/// The card as a view.
pub(super) fn view(card: &Value) -> View {
    let name = format!("Binding {}/{}", text(card, "/environment"), text(card, "/name"));
    let revision = text(card, "/revision");
    let [version, age, since, due, rotation] = super::rotation::fields(card);
    let [reviewed, due_for_review, signed_reviews, switched_off] = super::review::fields(card);
    let shown = View::default()
        .title(format!("{name} · revision {revision} · {}", text(card, "/status")))
        .fields([
            ("serves", first(card, &["/who", "/actor"])),
            ("server", text(card, "/server")),
            ("goes only to", text(card, "/destination")),
            ("tools", or(text(card, "/tools"), "all")),
            ("methods", text(card, "/methods")),
            ("risk up to", text(card, "/risk")),
            ("mode", text(card, "/mode")),
            ("secret", text(card, "/reference")),
            version,
            age,
            since,
            due,
            rotation,
            ("source", source(card)),
            ("store", store(card)),
            ("path owners", text(card, "/path_owners")),
            ("injected as", first(card, &["/how", "/inject"])),
            ("policy", policy(card)),
            ("owner", text(card, "/owner")),
            ("limits", limits(card)),
            ("review by", text(card, "/review_by")),
            reviewed,
            due_for_review,
            signed_reviews,
            switched_off,
            ("expires", time(&text(card, "/expires_at"))),
            ("written by", format!("{} at {}", text(card, "/author"), time(&text(card, "/created_at")))),
            ("takes over from", text(card, "/shadows")),
        ])
        .table("Locks that stop calls", locks(card))
        .table("Versions of the secret", super::rotation::versions(card))
        .table("Exceptions from production rules", exceptions(card))
        .table("Signatures", signatures(card, "/approvals"));
    let shown = pending(shown, card);
    shown.table("History", history(card))
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn store(card: &Value) -> String {
    match text(card, "/store").as_str() {
        "local" => "local to the gateway's machine".to_owned(),
        "external" => "the enterprise's own".to_owned(),
        other => other.to_owned(),
    }
}

fn policy(card: &Value) -> String {
    let pinned = text(card, "/policy/revision");
    let current = text(card, "/policy/current");
    let mut words = text(card, "/policy/name");
    if !pinned.is_empty() {
        words.push_str(&format!("@{pinned} ({})", short(&text(card, "/policy/hash"))));
    }
    if !current.is_empty() && current != pinned {
        words.push_str(&format!("; revision {current} is in force and must permit as well"));
    }
    words
}

/// The word of the source, and whom it asks.
fn source(card: &Value) -> String {
    let Some((word, content)) =
        card.pointer("/source").and_then(Value::as_object).and_then(|s| s.iter().next())
    else {
        return String::new();
    };
    let provider = [content.pointer("/provider"), content.pointer("/token/provider")];
    match provider.into_iter().flatten().find_map(Value::as_str) {
        Some(provider) => format!("{word} of {provider}"),
        None => word.clone(),
    }
}

fn limits(card: &Value) -> String {
    let parts = [("calls_per_minute", "calls a minute"), ("concurrent_calls", "calls at a time")];
    let said = parts.iter().filter_map(|(field, words)| {
        let limit = text(card, &format!("/limits/{field}"));
        (!limit.is_empty()).then(|| format!("{limit} {words}"))
    });
    said.collect::<Vec<_>>().join(", ")
}

fn locks(card: &Value) -> Table {
    let mut table = Table::new(&["lock", "stops", "until"]);
    for lock in list(card, "/locks") {
        table.row([text(lock, "/id"), text(lock, "/stops"), time(&text(lock, "/until"))]);
    }
    table
}

fn exceptions(card: &Value) -> Table {
    let mut table = Table::new(&["rule", "reason"]);
    for exception in list(card, "/exceptions") {
        table.row([text(exception, "/rule"), text(exception, "/reason")]);
    }
    table
}

fn signatures(value: &Value, pointer: &str) -> Table {
    let mut table = Table::new(&["approver", "signs for", "at"]);
    for approval in list(value, pointer) {
        let signed_for = capacities(list(approval, "/capacities"));
        table.row([text(approval, "/approver"), signed_for, time(&text(approval, "/at"))]);
    }
    table
}

/// In which capacities somebody signed, in words.
pub(super) fn capacities(capacities: &[Value]) -> String {
    capacities.iter().map(capacity).collect::<Vec<_>>().join(", ")
}

/// `"environment"`, `{"path": "team"}` or `{"server": "team"}`.
fn capacity(capacity: &Value) -> String {
    match (text(capacity, "/path"), text(capacity, "/server")) {
        (team, _) if !team.is_empty() => format!("path of {team}"),
        (_, team) if !team.is_empty() => format!("server of {team}"),
        _ => text(capacity, ""),
    }
}

/// The signatures missing, in words.
pub(super) fn missing(requirements: &[Value]) -> String {
    let words = requirements.iter().map(|requirement| {
        let any: Vec<String> = list(requirement, "/any_of").iter().map(capacity).collect();
        let count = text(requirement, "/count");
        let any = any.join(" or ");
        if count.is_empty() || count == "1" { any } else { format!("{count} × {any}") }
    });
    words.collect::<Vec<_>>().join("; ")
}

/// What fields change, in words.
pub(super) fn changes(fields: &[Value]) -> Table {
    let mut table = Table::new(&["field", "before", "after", "effect"]);
    for change in fields {
        let side = |pointer: &str| or(text(change, pointer), "-");
        table.row([text(change, "/field"), side("/before"), side("/after"), text(change, "/effect")]);
    }
    table
}

fn pending(view: View, card: &Value) -> View {
    let Some(waiting) = card.get("pending").filter(|waiting| waiting.is_object()) else { return view };
    let revision = text(waiting, "/revision");
    let target = format!("{}/{}", text(card, "/environment"), text(card, "/name"));
    view.title(format!("Revision {revision} waits for approval"))
        .fields([
            (
                "written by",
                format!("{} at {}", text(waiting, "/author"), time(&text(waiting, "/created_at"))),
            ),
            ("missing", missing(list(waiting, "/missing"))),
            ("pins server", text(waiting, "/server_revision")),
            ("pins policy", text(waiting, "/policy_revision")),
            ("sign it with", format!("mcp-gateway binding approve {target} --revision {revision}")),
        ])
        .table("What it changes", changes(list(waiting, "/changes")))
        .table("Signatures so far", signatures(waiting, "/approvals"))
}

fn history(card: &Value) -> Table {
    let mut table = Table::new(&["revision", "status", "since", "author", "signed by", "reference"]);
    for line in list(card, "/history") {
        let signed: Vec<String> =
            list(line, "/approvals").iter().map(|approval| text(approval, "/approver")).collect();
        table.row([
            text(line, "/revision"),
            text(line, "/status"),
            time(&text(line, "/changed_at")),
            text(line, "/author"),
            signed.join(", "),
            text(line, "/reference"),
        ]);
    }
    table
}

/// Why a call would be let through or not, step by step.
pub(super) fn explanation(story: &Value) -> View {
    let mut candidates = Table::new(&["", "binding", "mode", "because", "to change"]);
    for candidate in list(story, "/candidates") {
        let mark = match (is_true(candidate, "/wins"), is_true(candidate, "/matches")) {
            (true, _) => "decides",
            (false, true) => "matches",
            (false, false) => "no match",
        };
        let mode = match text(candidate, "/source") {
            none if none.is_empty() => text(candidate, "/mode"),
            source => format!("{} by {source}", text(candidate, "/mode")),
        };
        candidates.row([
            mark.to_owned(),
            text(candidate, "/binding"),
            mode,
            text(candidate, "/because"),
            text(candidate, "/change"),
        ]);
    }
    let mut reasons = Table::new(&["the policies say"]);
    for reason in list(story, "/verdict/reasons") {
        reasons.row([text(reason, "")]);
    }
    let allowed = if is_true(story, "/allowed") { "Allowed" } else { "Refused" };
    View::default()
        .title(format!("{allowed}: {}", text(story, "/because")))
        .fields([
            ("to change", text(story, "/change")),
            ("refusal", text(story, "/refusal")),
            ("binding", text(story, "/winner")),
            ("mode", text(story, "/mode")),
            ("risk", text(story, "/risk")),
            ("policies", text(story, "/verdict/policies")),
            ("policy version", short(&text(story, "/verdict/version"))),
            ("epoch", text(story, "/epoch")),
        ])
        .table("Bindings of the server", candidates)
        .table("Policies", reasons)
}

#[cfg(test)]
mod tests;
