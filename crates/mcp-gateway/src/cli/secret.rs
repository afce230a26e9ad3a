//! `secret check` and `secret put`. A value comes from standard input only, and never comes back.

use std::io::{IsTerminal as _, Read};

use clap::{Args, Subcommand};
use gateway_core::secret::Secret;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::pick::{is_true, text, time};
use super::session::Session;
use super::view::View;

/// The largest value taken, in bytes.
const LARGEST_VALUE: u64 = 64 * 1024;

/// What to do with a secret.
#[derive(Subcommand, Debug)]
pub(super) enum SecretCommand {
    /// Say whether a reference leads to a usable secret: version, fingerprint and age, never the value
    Check(CheckArguments),
    /// Store a value from standard input in a sealed store
    Put(PutArguments),
}

/// Which reference.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    /// The reference, such as `vault-prod://kv/github/triage-bot#token`
    reference: String,
    /// The environment it is to be used in
    #[arg(long)]
    environment: String,
}

/// Where the value goes.
#[derive(Args)]
pub(super) struct PutArguments {
    /// The configured sealed store
    store: String,
    /// The path in it
    path: String,
    /// The field
    #[arg(long)]
    field: String,
    /// Keep the line break at the end of the input; without this, one is removed
    #[arg(long)]
    keep_line_break: bool,
    /// Here to be refused: what stands on a command line is seen by every process
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    value_on_the_command_line: Vec<String>,
    #[arg(long = "value", hide = true, num_args = 0..=1, default_missing_value = "")]
    value_option: Option<String>,
}

impl std::fmt::Debug for PutArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PutArguments")
            .field("store", &self.store)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Runs one of them.
pub(super) fn run(session: &mut Session, command: &SecretCommand) -> Result<Exit, Failure> {
    match command {
        SecretCommand::Check(arguments) => check(session, arguments),
        SecretCommand::Put(arguments) => {
            arguments.refuse_argument()?;
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::usage("a value is not typed in: it would stay on the screen")
                    .hint("pipe it: `mcp-gateway secret put STORE PATH --field FIELD < FILE`"));
            }
            let value = read_value(stdin.lock(), arguments.keep_line_break)?;
            put(session, arguments, &value)
        }
    }
}

impl PutArguments {
    fn refuse_argument(&self) -> Result<(), Failure> {
        if self.value_on_the_command_line.is_empty() && self.value_option.is_none() {
            return Ok(());
        }
        let hint = "a value that stood there was seen by other processes and the shell's history: replace it where it \
                    was issued, then pipe the new one to `mcp-gateway secret put STORE PATH --field FIELD`";
        Err(Failure::usage("a value never comes from the command line").hint(hint))
    }
}

fn read_value(input: impl Read, keep_line_break: bool) -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    let read = input.take(LARGEST_VALUE.saturating_add(1)).read_to_end(&mut bytes);
    let value = Secret::new(if keep_line_break { bytes } else { without_line_break(bytes) });
    read.map_err(|error| Failure::usage("standard input cannot be read").because(&error))?;
    if u64::try_from(value.len()).is_ok_and(|length| length > LARGEST_VALUE) {
        return Err(Failure::usage("the value is larger than 64 KiB"));
    }
    if value.is_empty() {
        return Err(Failure::usage("the value on standard input is empty"));
    }
    Ok(value)
}

fn without_line_break(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn put(session: &mut Session, arguments: &PutArguments, value: &Secret) -> Result<Exit, Failure> {
    let document = put_document(arguments, value)?;
    let answer = session.client()?.post_bytes(&["secrets"], document)?;
    session.printer.show(&answer, |answer| {
        let place = format!("{}://{}#{}", arguments.store, arguments.path, arguments.field);
        View::default().title(format!("{place}: stored")).fields([
            ("reference", text(answer, "/reference")),
            ("version", text(answer, "/version")),
            ("fingerprint", text(answer, "/fingerprint")),
        ])
    });
    Ok(Exit::Ok)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the value that the operator stores goes into the request that stores it"
)]
fn put_document(arguments: &PutArguments, value: &Secret) -> Result<Vec<u8>, Failure> {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        store: &'a str,
        path: &'a str,
        field: &'a str,
        value: &'a str,
    }
    let value = std::str::from_utf8(value.expose())
        .map_err(|_| Failure::usage("the value is no text in UTF-8").hint("store its base64 form"))?;
    let PutArguments { store, path, field, .. } = arguments;
    // Sized at once, so that growing leaves no copies behind; six bytes are JSON's longest escape.
    let mut bytes = Vec::with_capacity(value.len().saturating_mul(6).saturating_add(4096));
    let document = Document { store, path, field, value };
    serde_json::to_writer(&mut bytes, &document)
        .map_err(|error| Failure::usage("the value cannot be sent").because(&error))?;
    Ok(bytes)
}

fn check(session: &mut Session, arguments: &CheckArguments) -> Result<Exit, Failure> {
    let body = json!({"reference": arguments.reference, "environment": arguments.environment});
    let answer = session.client()?.post(&["secrets", "check"], &body)?;
    session.printer.show(&answer, |answer| checked(&arguments.reference, answer));
    let code = text(&answer, "/code");
    Ok(match (is_true(&answer, "/resolvable"), code.as_str()) {
        (true, _) => Exit::Ok,
        (false, "store.unavailable") => Exit::NoAnswer,
        (false, _) => Exit::Refused,
    })
}

fn checked(reference: &str, answer: &Value) -> View {
    let age = text(answer, "/age_seconds");
    let word = if is_true(answer, "/resolvable") { "resolvable" } else { "NOT resolvable" };
    View::default().title(format!("{reference}: {word}")).fields([
        ("code", text(answer, "/code")),
        ("hint", text(answer, "/hint")),
        ("version", text(answer, "/version")),
        ("fingerprint", text(answer, "/fingerprint")),
        ("created", time(&text(answer, "/created_at"))),
        ("age", super::rotation::age(&age)),
        ("state", text(answer, "/state")),
        ("next rotation", next_rotation(answer)),
    ])
}

fn next_rotation(answer: &Value) -> String {
    let due = time(&text(answer, "/next_rotation"));
    if is_true(answer, "/overdue") { format!("{due}: OVERDUE") } else { due }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> PutArguments {
        PutArguments {
            store: "local".into(),
            path: "github".into(),
            field: "token".into(),
            keep_line_break: false,
            value_on_the_command_line: Vec::new(),
            value_option: None,
        }
    }

    #[test]
    fn refuses_a_value_on_the_command_line_without_repeating_it() {
        let positional = PutArguments { value_on_the_command_line: vec!["hunter2".into()], ..arguments() };
        let option = PutArguments { value_option: Some("hunter2".into()), ..arguments() };
        for put in [positional, option] {
            let failure = put.refuse_argument().unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!format!("{failure:?} {put:?}").contains("hunter2"));
        }
        assert!(arguments().refuse_argument().is_ok());
    }

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_the_value() {
        let length = |input: &[u8], keep| read_value(input, keep).map(|value| value.len());
        assert_eq!(length(b"value\n", false).unwrap(), 5);
        assert_eq!(length(b"value\r\n", false).unwrap(), 5);
        assert_eq!(length(b"value\n\n", false).unwrap(), 6);
        assert_eq!(length(b"value\n", true).unwrap(), 6);
        assert_eq!(length(b"\n", false).unwrap_err().exit, Exit::Usage);
        assert_eq!(length(&vec![b'x'; 65_537], false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_value_is_sent_as_it_is() {
        let document = put_document(&arguments(), &Secret::copy_from(b"a\"b\\c")).unwrap();
        let parsed: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(parsed, json!({"store": "local", "path": "github", "field": "token", "value": "a\"b\\c"}));
        assert!(put_document(&arguments(), &Secret::copy_from(b"\xff")).is_err());
    }
}
