//! How a command ends: the documented exit codes, and a failure with its causes and what to do.

use std::fmt;

use serde_json::{Value, json};

/// The exit codes (`docs/cli.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// Done.
    Ok,
    /// Refused or failed.
    Refused,
    /// The command line, or a file that it names, is not usable.
    Usage,
    /// Done, and signatures are missing before it takes effect.
    Pending,
    /// The gateway, or a part behind it, does not answer.
    NoAnswer,
    /// Evidence is not as it was written.
    NotVerified,
}

impl Exit {
    /// The number the process ends with.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Pending => 3,
            Self::NoAnswer => 4,
            Self::NotVerified => 5,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) code: Option<Box<str>>,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) hint: Option<String>,
    pub(super) details: Vec<Detail>,
}

/// One of several problems.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Detail {
    /// `file:line:column`, or the object.
    pub(super) place: String,
    /// The stable code.
    pub(super) code: String,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Failure {
    /// A failure with a message alone.
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { exit, code: None, message, causes: Vec::new(), hint: None, details: Vec::new() }
    }

    /// The command line, or a file that it names, is not usable.
    pub(super) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what it comes from, with the whole chain below it.
    #[must_use]
    pub(super) fn because(mut self, cause: &dyn std::error::Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For `--output json`.
    pub(super) fn to_json(&self) -> Value {
        let details: Vec<Value> = self
            .details
            .iter()
            .map(
                |one| json!({"place": one.place, "code": one.code, "message": one.message, "hint": one.hint}),
            )
            .collect();
        json!({"error": {
            "code": self.code, "message": self.message, "causes": self.causes, "hint": self.hint,
            "findings": details, "exit": self.exit.number(),
        }})
    }
}
