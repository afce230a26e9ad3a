//! `grant …`: what users granted the gateway at providers, listed and ended.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::binding::items;
use super::failure::{Exit, Failure};
use super::pick::{first, text, time};
use super::session::{InEnvironment, Session};
use super::view::{Table, View};

/// What to do with grants.
#[derive(Subcommand, Debug)]
pub(super) enum GrantCommand {
    /// List users' grants, the oldest first; never their tokens
    List(GrantSelection),
    /// End a grant here and at the provider, and delete its tokens
    Revoke(GrantArguments),
}

/// Which grants.
#[derive(Args, Debug, Default)]
pub(super) struct GrantSelection {
    /// Only of this environment
    #[arg(long)]
    environment: Option<String>,
    /// Only at this provider
    #[arg(long, value_name = "ENVIRONMENT/NAME", conflicts_with = "environment")]
    provider: Option<InEnvironment>,
    /// Only of this user, as `iss|sub`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Those too that ended within the last 30 days
    #[arg(long)]
    ended: bool,
}

/// One grant.
#[derive(Args, Debug)]
pub(super) struct GrantArguments {
    /// The id that `grant list` shows
    #[arg(value_name = "ID")]
    id: String,
}

impl GrantSelection {
    fn conditions(&self) -> Vec<(&'static str, String)> {
        let provider = self.provider.as_ref();
        let environment = provider.map(|provider| &provider.environment).or(self.environment.as_ref());
        [
            ("environment", environment.cloned()),
            ("provider", provider.map(|provider| provider.name.clone())),
            ("user", self.user.clone()),
            ("ended", self.ended.then(|| "true".to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &GrantCommand) -> Result<Exit, Failure> {
    match command {
        GrantCommand::List(selection) => {
            let answer = session.client()?.every(&["grants"], &selection.conditions())?;
            session.printer.show(&answer, |answer| listed(items(answer)));
        }
        GrantCommand::Revoke(arguments) => {
            let answer = session.client()?.post(&["grants", &arguments.id, "revoke"], &json!({}))?;
            session.printer.show(&answer, revoked);
        }
    }
    Ok(Exit::Ok)
}

fn listed(grants: &[Value]) -> View {
    if grants.is_empty() {
        return View::default().text("nobody has granted anything that you may see");
    }
    let mut table = Table::new(&["id", "user", "provider", "account", "scopes", "since", "ended"]);
    for one in grants {
        let ended = [time(&text(one, "/ended_at")), text(one, "/end_reason")].join(" ");
        table.row([
            text(one, "/id"),
            text(one, "/user"),
            format!("{}/{}", text(one, "/environment"), text(one, "/provider")),
            text(one, "/account"),
            text(one, "/scopes"),
            time(&text(one, "/created_at")),
            ended.trim().to_owned(),
        ]);
    }
    View::default().table("", table)
}

fn revoked(answer: &Value) -> View {
    let said = |field: &str| {
        let answer = text(answer, field);
        if answer.is_empty() { "not asked".to_owned() } else { answer }
    };
    let mut table = Table::new(&[
        "ended",
        "calls cut",
        "streams cut",
        "refresh token",
        "access token",
        "stored tokens",
        "audit record",
    ]);
    let deleted = answer.get("deleted").and_then(Value::as_bool) == Some(true);
    table.row([
        text(answer, "/grant/id"),
        text(answer, "/ended/calls"),
        text(answer, "/ended/streams"),
        said("/refresh_token"),
        said("/access_token"),
        if deleted { "deleted".to_owned() } else { "still there".to_owned() },
        first(&json!({"audit": answer.get("audit"), "pending": "pending"}), &["/audit", "/pending"]),
    ]);
    let view = View::default().table("", table);
    if answer.get("revoked_at_provider").and_then(Value::as_bool) == Some(true) {
        return view;
    }
    view.text("the provider did not say that the tokens are revoked: end them there, or run this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(view: &View, line: usize) -> Vec<String> {
        let plain = view.plain();
        plain.lines().nth(line).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_grant_is_one_line_and_none_is_a_sentence() {
        let one = json!({"id": "00ff", "user": "https://idp|alice", "environment": "dev", "provider": "notes",
            "scopes": ["notes.read", "notes.write"], "created_at": "2026-11-26T09:00:00Z"});
        let line = words(&listed(&[one]), 1);
        assert_eq!(line.first().map(String::as_str), Some("00ff"));
        assert!(line.contains(&"dev/notes".to_owned()), "{line:?}");
        assert!(listed(&[]).plain().starts_with("nobody has granted"));
    }

    #[test]
    fn what_the_provider_did_not_say_is_not_claimed() {
        let ended = json!({"calls": 2, "streams": 1});
        let said = json!({"grant": {"id": "00ff"}, "ended": ended, "refresh_token": "revoked",
            "access_token": "revoked", "deleted": true, "revoked_at_provider": true, "audit": 7});
        assert!(!revoked(&said).plain().contains("did not say"));
        let silent = json!({"grant": {"id": "00ff"}, "ended": ended, "refresh_token": "unavailable",
            "deleted": false, "revoked_at_provider": false, "audit": null});
        let plain = revoked(&silent).plain();
        assert!(plain.contains("did not say") && plain.contains("still there"), "{plain}");
        assert!(plain.contains("not asked") && plain.contains("pending"), "{plain}");
    }

    #[test]
    fn options_become_conditions() {
        let wanted =
            GrantSelection { provider: "dev/notes".parse().ok(), ended: true, ..GrantSelection::default() };
        let expected = [("environment", "dev"), ("provider", "notes"), ("ended", "true")];
        assert_eq!(wanted.conditions(), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
