//! What is wrong with a file, and where. An issue never repeats a value: it may be a pasted secret.

use std::fmt;
use std::sync::Arc;

/// A position in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u64,
    /// The column in characters, from 1; 0 where the whole file is meant.
    pub column: u64,
}

/// The stable code of an issue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum IssueCode {
    /// The file cannot be read.
    File,
    /// The text is no YAML, or uses a part of YAML that is not taken.
    Yaml,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// No such field.
    UnknownField,
    /// A field is missing.
    MissingField,
    /// The value has another type.
    WrongType,
    /// The value breaks a rule.
    InvalidValue,
    /// No such kind or word; the known ones are in the hint.
    UnknownKind,
    /// A value stands where only a reference to it may.
    LiteralSecret,
    /// A secret reference is malformed.
    Reference,
    /// A reference names a store that is not configured.
    UnknownStore,
    /// Environments that must be equal are not.
    EnvironmentMismatch,
    /// A number is outside of its stated bounds.
    OutOfBounds,
    /// A listener would speak plain text to the network.
    PlainListener,
    /// Two manifests describe the same object.
    ManifestDuplicate,
    /// A manifest contradicts itself.
    ManifestInconsistent,
}

impl IssueCode {
    /// The code as text.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "config.file",
            Self::Yaml => "config.yaml",
            Self::DuplicateKey => "config.duplicate_key",
            Self::UnknownField => "config.unknown_field",
            Self::MissingField => "config.missing_field",
            Self::WrongType => "config.wrong_type",
            Self::InvalidValue => "config.invalid_value",
            Self::UnknownKind => "config.unknown_kind",
            Self::LiteralSecret => "config.literal_secret",
            Self::Reference => "config.reference",
            Self::UnknownStore => "config.unknown_store",
            Self::EnvironmentMismatch => "config.environment_mismatch",
            Self::OutOfBounds => "config.out_of_bounds",
            Self::PlainListener => "config.plain_listener",
            Self::ManifestDuplicate => "manifest.duplicate",
            Self::ManifestInconsistent => "manifest.inconsistent",
        }
    }
}

impl fmt::Display for IssueCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong, shown as `file:line:column code message` and its hint on a line of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issue {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Where in it.
    pub place: Place,
    /// The stable code.
    pub code: IssueCode,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(f, " {} {}", self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order of the files and lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Issue>);

impl Problems {
    /// The issues; never empty.
    pub fn issues(&self) -> &[Issue] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{issue}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects what is wrong with one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: Arc<str>,
    issues: Vec<Issue>,
}

impl Findings {
    /// Nothing yet.
    pub(super) fn new(file: &str) -> Self {
        Self { file: Arc::from(file), issues: Vec::new() }
    }

    /// One more, to which a hint may be given. What was said before is not said again, and a value is
    /// called a secret once.
    pub(super) fn add(&mut self, place: Place, code: IssueCode, message: impl Into<String>) -> Added<'_> {
        let message = message.into();
        let said = |issue: &Issue| {
            let same = code == IssueCode::LiteralSecret || issue.message == message;
            issue.place == place && issue.code == code && same
        };
        if self.issues.iter().any(said) {
            return Added(None);
        }
        self.issues.push(Issue { file: self.file.clone(), place, code, message, hint: None });
        Added(self.issues.last_mut())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.issues.len()
    }

    /// The issues alone.
    pub(super) fn into_issues(self) -> Vec<Issue> {
        self.issues
    }
}

/// What was just found; nothing where it was known before.
pub(super) struct Added<'a>(Option<&'a mut Issue>);

impl Added<'_> {
    /// Says what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) {
        if let Some(issue) = self.0 {
            issue.hint = Some(hint.into());
        }
    }
}

/// The value, if nothing is wrong.
pub(super) fn unless_wrong<T>(value: Option<T>, mut issues: Vec<Issue>) -> Result<T, Problems> {
    match value {
        Some(value) if issues.is_empty() => Ok(value),
        _ => {
            issues.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
            Err(Problems(issues))
        }
    }
}
