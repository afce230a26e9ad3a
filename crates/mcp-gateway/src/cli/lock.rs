//! `lock …`: emergency stops with an end, made, listed and lifted.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::binding::items;
use super::failure::{Exit, Failure};
use super::pick::{first, is_true, text, time};
use super::session::Session;
use super::view::{Table, View};

/// What to do with locks.
#[derive(Subcommand, Debug)]
pub(super) enum LockCommand {
    /// Stop what matches, everywhere, until a time; answers when nothing of it runs any more
    Create(Box<LockWish>),
    /// List the locks that stand
    List(LockSelection),
    /// Show one lock
    Show(LockArguments),
    /// Lift a lock before its time; with approvals somebody else than its author does it
    Lift(LockArguments),
}

/// What to stop, why, and for how long. All conditions must hold.
#[derive(Args, Debug, Default)]
#[command(group = ArgGroup::new("end").required(true))]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["everything", "environment", "server", "tool",
    "binding", "provider", "store", "agent", "user", "workload", "surface"]))]
pub(super) struct LockWish {
    /// Every call of every caller (an administrator's act)
    #[arg(long, conflicts_with_all = ["environment", "server", "tool", "binding", "provider", "store", "agent", "user",
        "workload", "surface"])]
    everything: bool,
    /// In this environment; without it, in all of them (an administrator's act)
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Calls to this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Calls of these tools; `*` stands for anything within a name
    #[arg(long, value_name = "PATTERN")]
    tool: Option<String>,
    /// Calls under this binding
    #[arg(long, value_name = "NAME")]
    binding: Option<String>,
    /// Calls with what this provider issues; with a user, their grant
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Calls with what this store keeps
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Calls by this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Calls on behalf of this user, as `iss|sub`
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Calls by this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Calls through this client application
    #[arg(long, value_name = "CLIENT")]
    surface: Option<String>,
    /// Why: for the operators that come after you, and nobody else
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long: `90s`, `15m`, `2h`, `3d`; at most 30d
    #[arg(long = "for", value_name = "TIME", value_parser = span, group = "end")]
    span: Option<Duration>,
    /// Until when, as `2026-11-26T09:00:00Z`
    #[arg(long, value_name = "TIME", group = "end")]
    until: Option<String>,
}

/// Which locks.
#[derive(Args, Debug, Default)]
pub(super) struct LockSelection {
    /// Those too that ended within the last 30 days
    #[arg(long)]
    ended: bool,
}

/// One lock.
#[derive(Args, Debug)]
pub(super) struct LockArguments {
    /// The id that `lock list` shows
    #[arg(value_name = "ID")]
    id: String,
}

/// Reads `15m` and its like.
fn span(text: &str) -> Result<Duration, String> {
    let unit = |letter| match letter {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let last = text.chars().next_back().and_then(|letter| Some((letter, unit(letter)?)));
    let read = last.and_then(|(letter, seconds)| {
        text.strip_suffix(letter)?.parse::<u64>().ok()?.checked_mul(seconds).filter(|span| *span > 0)
    });
    read.map(Duration::from_secs).ok_or_else(|| "write a number and s, m, h or d, such as `15m`".to_owned())
}

impl LockWish {
    fn body(&self) -> Value {
        let parts = [
            ("environment", &self.environment),
            ("server", &self.server),
            ("tool", &self.tool),
            ("binding", &self.binding),
            ("provider", &self.provider),
            ("store", &self.store),
            ("agent", &self.agent),
            ("user", &self.user),
            ("workload", &self.workload),
            ("surface", &self.surface),
        ];
        let named =
            parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        let mut selector: Map<String, Value> = named.collect();
        if self.everything {
            selector.insert("everything".to_owned(), true.into());
        }
        let mut body = json!({"selector": selector, "reason": self.reason});
        if let Some(members) = body.as_object_mut() {
            members.extend(self.until.clone().map(|until| ("until".to_owned(), until.into())));
            members.extend(self.span.map(|span| ("seconds".to_owned(), span.as_secs().into())));
        }
        body
    }
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: LockCommand) -> Result<Exit, Failure> {
    match command {
        LockCommand::Create(wish) => {
            let answer = session.client()?.post(&["locks"], &wish.body())?;
            session.printer.show(&answer, made);
        }
        LockCommand::List(selection) => {
            let ended: &[_] = if selection.ended { &[("ended", "true".to_owned())] } else { &[] };
            let answer = session.client()?.every(&["locks"], ended)?;
            session.printer.show(&answer, |answer| listed(items(answer)));
        }
        LockCommand::Show(arguments) => {
            let answer = session.client()?.fetch(&["locks", &arguments.id], &[])?;
            session.printer.show(&answer, shown);
        }
        LockCommand::Lift(arguments) => {
            let answer = session.client()?.post(&["locks", &arguments.id, "lift"], &json!({}))?;
            session.printer.show(&answer, lifted);
        }
    }
    Ok(Exit::Ok)
}

/// Seconds as people read them, rounded down to what matters.
fn remaining(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn left(lock: &Value) -> String {
    if is_true(lock, "/stands") {
        return remaining(lock.pointer("/remaining_seconds").and_then(Value::as_u64).unwrap_or_default());
    }
    match text(lock, "/ended/by").as_str() {
        "" => "over".to_owned(),
        by => format!("lifted by {by}"),
    }
}

fn listed(locks: &[Value]) -> View {
    if locks.is_empty() {
        return View::default().text("no lock stands that you may see");
    }
    let mut table = Table::new(&["id", "stops", "left", "until", "by", "reason"]);
    for one in locks {
        table.row([
            text(one, "/id"),
            text(one, "/stops"),
            left(one),
            time(&text(one, "/until")),
            text(one, "/author"),
            text(one, "/reason"),
        ]);
    }
    View::default().table("", table)
}

fn shown(lock: &Value) -> View {
    View::default().title(format!("Lock {}", text(lock, "/id"))).fields([
        ("stops", text(lock, "/stops")),
        ("left", left(lock)),
        ("until", time(&text(lock, "/until"))),
        ("made by", format!("{} at {}", text(lock, "/author"), time(&text(lock, "/created_at")))),
        ("reason", text(lock, "/reason")),
        ("ended at", time(&text(lock, "/ended/at"))),
    ])
}

fn made(answer: &Value) -> View {
    let mut table =
        Table::new(&["calls cut", "streams cut", "sessions", "processes", "cached values", "audit record"]);
    let audit = json!({"audit": answer.get("audit"), "pending": "pending"});
    table.row([
        text(answer, "/ended/calls"),
        text(answer, "/ended/streams"),
        text(answer, "/ended/sessions"),
        text(answer, "/ended/children"),
        text(answer, "/ended/cached_values"),
        first(&audit, &["/audit", "/pending"]),
    ]);
    let lock = answer.get("lock").cloned().unwrap_or_default();
    shown(&lock).table("Ended on the replica that answered; all replicas hold it", table)
}

fn lifted(answer: &Value) -> View {
    let lock = answer.get("lock").cloned().unwrap_or_default();
    let view = shown(&lock);
    if is_true(answer, "/everywhere") {
        return view;
    }
    view.text("a replica has not followed yet: it lets calls through again within its lease")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        wish: LockWish,
    }

    fn wish(arguments: &[&str]) -> Result<Value, clap::Error> {
        Line::try_parse_from(["lock"].iter().chain(arguments)).map(|line| line.wish.body())
    }

    #[test]
    fn options_become_a_selector() {
        let body =
            wish(&["--environment", "dev", "--tool", "delete_*", "--reason", "r", "--for", "15m"]).unwrap();
        let selector = json!({"environment": "dev", "tool": "delete_*"});
        assert_eq!(body, json!({"selector": selector, "reason": "r", "seconds": 900}));
        let body = wish(&["--everything", "--reason", "r", "--until", "2026-11-26T09:00:00Z"]).unwrap();
        let expected =
            json!({"selector": {"everything": true}, "reason": "r", "until": "2026-11-26T09:00:00Z"});
        assert_eq!(body, expected);
    }

    #[test]
    fn refuses_locks_on_nothing_without_reason_or_without_end() {
        for arguments in [
            &["--reason", "r", "--for", "15m"][..],
            &["--everything", "--for", "15m"],
            &["--everything", "--reason", "r"],
            &["--everything", "--server", "x", "--reason", "r", "--for", "15m"],
            &["--everything", "--reason", "r", "--for", "15m", "--until", "2026-11-26T09:00:00Z"],
        ] {
            assert!(wish(arguments).is_err(), "{arguments:?}");
        }
        for bad in ["", "m", "15", "0m", "-1h", "1w", "1.5h", "99999999999999999999d"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert_eq!(span("2h"), Ok(Duration::from_secs(7_200)));
    }

    #[test]
    fn the_time_that_is_left_reads_as_people_say_it() {
        let said: Vec<_> = [59, 60, 3_599, 3_600, 90_000, 2_592_000].into_iter().map(remaining).collect();
        assert_eq!(said, ["59 s", "1 min", "59 min", "1 h 0 min", "1 d 1 h", "30 d 0 h"]);
        let lock = json!({"id": "00ff", "stops": "server github", "stands": true, "remaining_seconds": 600,
            "until": "2026-11-26T09:00:00Z", "author": "i|alice", "reason": "a key leaked"});
        let plain = listed(std::slice::from_ref(&lock)).plain();
        assert!(plain.contains("10 min") && plain.contains("a key leaked"), "{plain}");
        assert_eq!(left(&json!({"stands": false})), "over");
        assert_eq!(left(&json!({"stands": false, "ended": {"by": "i|bob"}})), "lifted by i|bob");
        assert!(listed(&[]).plain().starts_with("no lock stands"));
        let silent = lifted(&json!({"lock": lock, "everywhere": false}));
        assert!(silent.plain().contains("has not followed yet"));
    }
}
