//! `access who` and `access what`: who can reach a tool, and what a caller can reach.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::pick::{is_true, list, text};
use super::session::Session;
use super::view::{Table, View};

/// What is asked.
#[derive(Subcommand, Debug)]
pub(super) enum AccessCommand {
    /// Say who can reach a tool, who nearly can and what is missing, and who has no way at all
    Who(WhoArguments),
    /// Say what an agent, a workload, a group or a user can reach
    What(WhatArguments),
}

/// The tool.
#[derive(Args, Debug)]
pub(super) struct WhoArguments {
    /// The environment
    #[arg(long)]
    environment: String,
    /// The server
    #[arg(long)]
    server: String,
    /// The tool
    #[arg(long)]
    tool: String,
}

/// The caller.
#[derive(Args, Debug)]
pub(super) struct WhatArguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Only in this environment
    #[arg(long)]
    environment: Option<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct SubjectArguments {
    /// The agent
    #[arg(long)]
    agent: Option<String>,
    /// The workload
    #[arg(long)]
    workload: Option<String>,
    /// The persons of this group
    #[arg(long, value_name = "GROUP")]
    user_group: Option<String>,
    /// The user, as `issuer|subject`
    #[arg(long)]
    user: Option<String>,
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &AccessCommand) -> Result<Exit, Failure> {
    match command {
        AccessCommand::Who(arguments) => {
            let query = [
                ("environment", arguments.environment.clone()),
                ("server", arguments.server.clone()),
                ("tool", arguments.tool.clone()),
            ];
            let answer = session.client()?.fetch(&["access", "who"], &query)?;
            session.printer.show(&answer, who);
        }
        AccessCommand::What(arguments) => {
            let subject = &arguments.subject;
            let asked = [
                ("agent", &subject.agent),
                ("workload", &subject.workload),
                ("group", &subject.user_group),
                ("user", &subject.user),
                ("environment", &arguments.environment),
            ];
            let query: Vec<(&str, String)> =
                asked.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
            let title = asked.iter().find_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
            let answer = session.client()?.fetch(&["access", "what"], &query)?;
            let title = format!("What {} can reach", title.unwrap_or_default());
            session.printer.show(&answer, |answer| what(answer, &title));
        }
    }
    Ok(Exit::Ok)
}

fn who(answer: &Value) -> View {
    let mut reaches = Table::new(&["who", "binding", "mode", "credential", "permitted by", "if"]);
    for one in list(answer, "/reaches") {
        reaches.row(way(one, text(one, "/who")));
    }
    let mut nearly = Table::new(&["who", "refusal", "because", "to change"]);
    for one in list(answer, "/nearly") {
        let cell = |pointer: &str| text(one, pointer);
        nearly.row([cell("/who"), cell("/refusal"), cell("/because"), cell("/change")]);
    }
    let mut nobody = Table::new(&["who"]);
    for one in list(answer, "/nobody") {
        nobody.row([text(one, "/who")]);
    }
    let place = ["/environment", "/server", "/tool"].map(|part| text(answer, part)).join("/");
    let nothing = reaches.is_empty();
    let risk = match (text(answer, "/risk"), is_true(answer, "/named")) {
        (risk, true) => risk,
        (risk, false) => format!("{risk}, the server's default: no manifest names the tool"),
    };
    let view = View::default()
        .title(format!("Who can reach {place}"))
        .fields([("risk", risk), ("epoch", text(answer, "/epoch"))]);
    let view = if nothing { view.text("Nobody that is declared.") } else { view };
    let view = view
        .table("Get through", reaches)
        .table("Nearly", nearly)
        .table("No binding of the server serves", nobody);
    ending(view, answer)
}

/// The cells of somebody who gets through.
fn way(one: &Value, first: String) -> [String; 6] {
    let mode = match text(one, "/source") {
        none if none.is_empty() => text(one, "/mode"),
        source => format!("{} by {source}", text(one, "/mode")),
    };
    let credential = match (text(one, "/reference"), text(one, "/provider")) {
        (reference, provider) if reference.is_empty() && !provider.is_empty() => format!("from {provider}"),
        (reference, _) => reference,
    };
    [first, text(one, "/binding"), mode, credential, text(one, "/policies"), text(one, "/conditions")]
}

fn what(answer: &Value, title: &str) -> View {
    let mut reaches = Table::new(&["tools", "as", "binding", "mode", "credential", "permitted by", "if"]);
    for one in list(answer, "/reaches") {
        let [who, binding, mode, credential, policies, conditions] = way(one, text(one, "/who"));
        reaches.row([tools(one), who, binding, mode, credential, policies, conditions]);
    }
    let mut nearly = Table::new(&["tools", "as", "refusal", "because", "to change"]);
    for one in list(answer, "/nearly") {
        let cell = |pointer: &str| text(one, pointer);
        nearly.row([tools(one), cell("/who"), cell("/refusal"), cell("/because"), cell("/change")]);
    }
    let nothing = reaches.is_empty();
    let view = View::default().title(title).fields([("epoch", text(answer, "/epoch"))]);
    let view = if nothing { view.text("Nothing.") } else { view };
    ending(view.table("Gets through", reaches).table("Nearly", nearly), answer)
}

/// `environment/server: tools`.
pub(super) fn tools(one: &Value) -> String {
    let named = text(one, "/tools");
    let tools = match (named.is_empty(), is_true(one, "/every_other")) {
        (true, true) => "every tool that no manifest names".to_owned(),
        (false, true) => format!("{named} and every tool that no manifest names"),
        _ => named,
    };
    let place: Vec<String> = ["/environment", "/server"]
        .map(|part| text(one, part))
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    format!("{}: {tools}", place.join("/"))
}

fn ending(view: View, answer: &Value) -> View {
    let words: Vec<String> =
        list(answer, "/words").iter().map(|word| format!("* {}", text(word, ""))).collect();
    let mut view = view.text(words.join("\n"));
    if is_true(answer, "/more") {
        view = view.text("There are more declared callers than were looked at.");
    }
    match text(answer, "/limited") {
        none if none.is_empty() => view,
        limited => view.text(limited),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_who_gets_through_by_what_and_who_lacks_what() {
        let answer = json!({
            "epoch": 7, "environment": "dev", "server": "issues", "tool": "close", "risk": "write", "named": true,
            "reaches": [{ "who": "agent bot by agent token", "binding": "bot@2", "mode": "service_account",
                "reference": "bao://kv/bot#token", "policies": ["triage"], "conditions": ["until tomorrow"] }],
            "nearly": [{ "who": "agent other by agent token", "refusal": "tool.unknown", "because": "the policies deny",
                "change": ["policy `triage` would have to permit it"] }],
            "nobody": [{ "who": "workload ci" }], "words": ["one"], "limited": "only a part"
        });
        insta::assert_snapshot!(who(&answer).plain(), @r"
        Who can reach dev/issues/close
          risk   write
          epoch  7

        Get through
          WHO                       BINDING  MODE             CREDENTIAL          PERMITTED BY  IF
          agent bot by agent token  bot@2    service_account  bao://kv/bot#token  triage        until tomorrow

        Nearly
          WHO                         REFUSAL       BECAUSE            TO CHANGE
          agent other by agent token  tool.unknown  the policies deny  policy `triage` would have to permit it

        No binding of the server serves
          WHO
          workload ci
        * one
        only a part
        ");
        let none = json!({ "reaches": [], "nearly": [], "nobody": [] });
        assert!(who(&none).plain().contains("Nobody that is declared."));
        assert!(what(&none, "x").plain().contains("Nothing."));
    }

    #[test]
    fn tools_that_no_manifest_names_are_said_in_words() {
        let row =
            json!({ "environment": "dev", "server": "issues", "tools": ["close"], "every_other": true });
        assert_eq!(tools(&row), "dev/issues: close and every tool that no manifest names");
    }
}
