//! The binding card.

use serde_json::Value;

use crate::demo::failure::Failure;
use crate::demo::operator::{number, word};
use crate::demo::search::Search;
use crate::demo::stage::Stage;
use crate::demo::story::Act;

pub(super) async fn play(stage: &mut Stage, act: &mut Act<'_>) -> Result<(), Failure> {
    let card = stage.bob.get("/v1/bindings/dev/issues-triage").await?;
    act.say("Bob of security reads the card of the binding that the adoption made:");
    act.show(&rendered(&card));
    act.figure("revision", number(&card, "/revision"));
    act.figure("mode", word(&card, "/mode"));
    act.figure("reference", word(&card, "/reference"));
    act.figure("destination", word(&card, "/destination"));
    let complete = word(&card, "/status") == "active"
        && word(&card, "/destination") == stage.server.url()
        && word(&card, "/reference").starts_with("local://issues/adopted#key")
        && word(&card, "/mode") == "service_account";
    act.claim("card_is_complete", "it names actor, tools, destination, mode, reference and policy", complete);
    let hidden = !Search::new(&stage.keys.all())?.finds(card.to_string());
    act.claim("card_holds_no_value", "it holds no encoding of the key: there is no field that could", hidden);
    Ok(())
}

/// The fields that a reviewer reads first.
pub(super) fn rendered(card: &Value) -> String {
    let fields = [
        (
            "binding",
            format!("{}@{} ({})", word(card, "/name"), word(card, "/revision"), word(card, "/status")),
        ),
        ("environment", word(card, "/environment")),
        ("serves", word(card, "/who")),
        ("server", word(card, "/server")),
        ("destination", word(card, "/destination")),
        ("tools", list(card, "/tools")),
        ("risk", word(card, "/risk")),
        ("mode", word(card, "/mode")),
        ("reference", word(card, "/reference")),
        ("injected into", word(card, "/how")),
        ("policy", format!("{}@{}", word(card, "/policy/name"), word(card, "/policy/revision"))),
        ("owner", word(card, "/owner")),
        ("author", word(card, "/author")),
        ("approved by", people(card)),
        ("exceptions", exceptions(card)),
    ];
    let line = |(name, value): (&str, String)| format!("{name:<14} {value}\n");
    fields.into_iter().filter(|(_, value)| !value.is_empty()).map(line).collect()
}

fn list(card: &Value, pointer: &str) -> String {
    let words = card.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn people(card: &Value) -> String {
    let approvals = card.get("approvals").and_then(Value::as_array).into_iter().flatten();
    approvals.map(|approval| word(approval, "/approver")).collect::<Vec<_>>().join(", ")
}

fn exceptions(card: &Value) -> String {
    let exceptions = card.get("exceptions").and_then(Value::as_array).into_iter().flatten();
    let one = |exception: &Value| format!("{}: {}", word(exception, "/rule"), word(exception, "/reason"));
    exceptions.map(one).collect::<Vec<_>>().join("; ")
}
