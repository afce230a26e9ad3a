//! `login` and `me`: who the operator is.

use std::path::PathBuf;

use clap::Args;
use gateway_core::secret::Secret;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::pick::{list, text, time};
use super::session::Session;
use super::token_file;
use super::view::{Table, View};

/// How to log in.
#[derive(Args, Debug)]
pub(super) struct LoginArguments {
    /// The file that `bootstrap-token` wrote; the token in it works once
    #[arg(long, value_name = "FILE")]
    bootstrap_token_file: PathBuf,
    /// Your name, under which your acts are recorded
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Uses up the bootstrap token for an operator's token, and keeps that in a private file.
pub(super) fn login(session: &mut Session, arguments: &LoginArguments) -> Result<Exit, Failure> {
    let bootstrap = token_file::read(&arguments.bootstrap_token_file)?;
    let path = session.token_path()?;
    let mut answer =
        session.client_with(Some(&bootstrap))?.post(&["login"], &json!({"name": arguments.name}))?;
    let token = take_token(&mut answer)?;
    token_file::write(&path, &token, true)?;
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("token_file".to_owned(), json!(path.display().to_string()));
    }
    session.printer.show(&answer, |answer| {
        View::default().title(format!("Logged in as {}", text(answer, "/operator"))).fields([
            ("token file", text(answer, "/token_file")),
            ("until", time(&text(answer, "/expires_at"))),
        ])
    });
    Ok(Exit::Ok)
}

/// Takes the token out of an answer, so that nothing can show it by accident.
pub(super) fn take_token(answer: &mut Value) -> Result<Secret, Failure> {
    let token = answer.as_object_mut().and_then(|fields| fields.shift_remove("token"));
    match token {
        Some(Value::String(token)) if !token.is_empty() => Ok(Secret::new(token.into_bytes())),
        _ => Err(Failure::new(Exit::Refused, "the gateway's answer holds no token")),
    }
}

/// Shows who the token's owner is, and what it may do.
pub(super) fn me(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.client()?.fetch(&["me"], &[])?;
    session.printer.show(&answer, |answer| {
        let mut roles = Table::new(&["role", "teams", "environments"]);
        let everywhere = |words: String| if words.is_empty() { "all".to_owned() } else { words };
        for grant in list(answer, "/grants") {
            let [teams, environments] =
                ["/teams", "/environments"].map(|pointer| everywhere(text(grant, pointer)));
            roles.row([text(grant, "/role"), teams, environments]);
        }
        View::default().title(text(answer, "/operator")).table("", roles)
    });
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_what_is_shown() {
        let mut answer = json!({"operator": "alice", "token": "mcpgwop_secret"});
        assert_eq!(take_token(&mut answer).unwrap().len(), "mcpgwop_secret".len());
        assert!(!answer.to_string().contains("mcpgwop_secret"));
        assert!(take_token(&mut answer).is_err());
    }
}
