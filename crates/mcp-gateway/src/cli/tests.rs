use std::io::Write;
use std::sync::{Arc, Mutex};

use clap::error::ErrorKind;

use super::*;
use crate::cli::print::Output;

/// A stream that a test can read back.
#[derive(Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["mcp-gateway"], arguments].concat())
}

/// Runs a command as the process would, and gives back its exit code, its output and its errors.
pub(super) fn play(arguments: &[&str], output: Output) -> (u8, String, String) {
    let cli = parse(arguments).unwrap();
    let (out, error) = (Captured::default(), Captured::default());
    let printer = Printer::into(Box::new(out.clone()), Box::new(error.clone()), output);
    let mut session = Session { globals: cli.globals, printer };
    let exit = dispatch(&mut session, cli.command).unwrap_or_else(|failure| {
        session.printer.failure(&failure);
        failure.exit
    });
    (exit.number(), out.text(), error.text())
}

#[test]
fn the_command_tree_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_reads_as_the_documentation_says() {
    let mut command = Cli::command();
    command.build();
    let mut pages = command.render_help().to_string();
    for path in [&["binding"][..], &["binding", "rotate"], &["secret", "put"], &["agent", "token", "issue"]] {
        let mut found = &mut command;
        for name in path {
            found = found.find_subcommand_mut(name).unwrap();
        }
        pages.push_str(&format!("\n=== {}\n{}", path.join(" "), found.render_help()));
    }
    insta::assert_snapshot!(pages);
}

#[test]
fn every_command_says_what_it_does() {
    fn look(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            assert!(sub.get_about().is_some(), "{path}");
            for argument in sub.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
            look(sub, &path);
        }
    }
    look(&Cli::command(), "mcp-gateway");
}

#[test]
fn a_token_on_the_command_line_is_refused_and_not_repeated() {
    for arguments in [&["me", "--token=mcpgwop_abc"][..], &["me", "--token", "mcpgwop_abc"]] {
        let error = parse(arguments).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        assert_eq!(error.exit_code(), 2);
        assert!(!error.to_string().contains("mcpgwop_abc"), "{error}");
    }
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let put = ["secret", "put", "local", "github", "--field", "token"];
    for extra in
        [&["hunter2"][..], &["--value", "hunter2"], &["--value=hunter2"], &["hunter2", "--output", "json"]]
    {
        let (exit, out, error) = play(&[&put[..], extra].concat(), Output::Table);
        assert_eq!((exit, out.as_str()), (2, ""), "{extra:?}");
        assert!(error.contains("never comes from the command line") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_value_before_an_option_is_not_repeated_either() {
    let error = parse(&["secret", "put", "local", "github", "hunter2", "--field", "token"]).err();
    assert!(error.is_none_or(|error| error.exit_code() == 2 && !error.to_string().contains("hunter2")));
}

#[test]
fn a_missing_token_file_says_how_to_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("none");
    let (exit, _, error) = play(&["me", "--token-file", file.to_str().unwrap()], Output::Table);
    assert_eq!(exit, 2);
    assert!(
        error.starts_with("error: the token file")
            && error.contains("  caused by: ")
            && error.contains("hint: log in"),
        "{error}"
    );
}

#[test]
fn problems_in_files_are_told_all_at_once_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.yaml");
    std::fs::write(&file, "kind: Servant\nname: x\n---\nkind: Environment\nname: dev\ncolour: red\n")
        .unwrap();
    let shown = file.to_str().unwrap();
    let (exit, out, error) = play(&["diff", "-f", shown], Output::Table);
    assert_eq!((exit, out.as_str()), (2, ""));
    assert!(error.contains(&format!("{shown}:1:")) && error.contains(&format!("{shown}:6:")), "{error}");
    assert!(error.contains("hint:") && error.ends_with("error: 2 problems\n"), "{error}");
    let (_, _, error) = play(&["diff", "-f", shown], Output::Json);
    let parsed: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(parsed["error"]["findings"].as_array().unwrap().len(), 2);
    assert_eq!(parsed["error"]["exit"], 2);
}

#[test]
fn a_revocation_asks_for_the_name_again() {
    let (exit, _, error) = play(&["binding", "revoke", "dev/triage", "--confirm", "other"], Output::Table);
    assert_eq!(exit, 2);
    assert!(error.contains("--confirm triage"), "{error}");
}

#[test]
fn ending_sessions_needs_an_id_or_a_choice_but_not_both() {
    for arguments in
        [&["session", "terminate"][..], &["session", "terminate", "5f0c", "--all-of", "https://idp|alice"]]
    {
        let (exit, _, error) = play(arguments, Output::Table);
        assert!(exit == 2 && error.contains("say which"), "{arguments:?}: {error}");
    }
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (exit, out, _) = play(&["completions", shell], Output::Table);
        assert!(exit == 0 && out.contains("mcp-gateway") && out.contains("terminate"), "{shell}");
    }
}

#[test]
fn signing_keys_rotate_when_told_and_only_when_verifiers_know_the_next_ones() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("gateway.yaml");
    let text = "listen: 127.0.0.1:8080\npublic_url: http://127.0.0.1:8080\ncontrol: { listen: 127.0.0.1:8081 }\n\
                state: sqlite://state.db\naudit: { directory: audit }\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let rotate =
        |more: &[&str]| play(&[&["rotate-signing-keys", "--config", file], more].concat(), Output::Json);
    let (exit, _, error) = rotate(&[]);
    assert_eq!(exit, 1, "there are no keys yet: {error}");
    let config = crate::config::load(std::path::Path::new(file)).unwrap();
    let now = gateway_core::time::Clock::now(&crate::app::system::SystemClock);
    drop(gateway_adapters::signing::Signer::open(&config.signing, now).unwrap());
    let (exit, _, error) = rotate(&["--purpose", "minted"]);
    assert!(exit == 1 && error.contains("not yet published"), "{error}");
    let (exit, out, error) = rotate(&["--purpose", "minted", "--compromised"]);
    assert_eq!(exit, 0, "{error}");
    assert!(out.contains("\"withdrawn\""), "{out}");
    assert!(parse(&["rotate-signing-keys", "--purpose", "receipts"]).is_err());
}
