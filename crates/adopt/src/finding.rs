//! What is reported: where a value stands and why it is taken for a key, never the value.

use std::fmt;
use std::ops::Range;

use gateway_core::secret::Secret;

use crate::client::Client;

/// Line and column, both from 1; columns count characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// By which rule a value was found. The order is the order in which they win where they overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// The environment of a server in a client's configuration.
    ServerEnvironment,
    /// A header of a server in a client's configuration.
    Header,
    /// An argument of a server in a client's configuration.
    Argument,
    /// The user information of a URL.
    UrlUser,
    /// The query or fragment of a URL.
    UrlQuery,
    /// A part of the path of a server's URL.
    UrlPath,
    /// A line of an `.env` file.
    EnvFile,
    /// A name that tells, and a literal value.
    NamedValue,
    /// An `Authorization` header or a bearer token in text.
    Authorization,
    /// A private key in PEM form.
    PrivateKey,
    /// The format of a well-known issuer.
    Format,
    /// Nothing but its randomness.
    Entropy,
}

/// A rule in words.
#[derive(Clone, Copy, Debug)]
pub struct RuleText {
    /// The rule.
    pub rule: Rule,
    /// Its stable id.
    pub id: &'static str,
    /// What it finds.
    pub finds: &'static str,
}

/// Every rule, in order.
pub const RULES: [RuleText; 12] = [
    text(
        Rule::ServerEnvironment,
        "place/server-environment",
        "a key in the environment of an MCP server's entry",
    ),
    text(Rule::Header, "place/header", "a key in a header of an MCP server's entry"),
    text(Rule::Argument, "place/argument", "a key in an argument of an MCP server's entry"),
    text(Rule::UrlUser, "place/url-user", "a password in a URL"),
    text(Rule::UrlQuery, "place/url-query", "a key in the query of a URL"),
    text(Rule::UrlPath, "place/url-path", "a key in the path of an MCP server's URL"),
    text(Rule::EnvFile, "place/env-file", "a key in an .env file"),
    text(Rule::NamedValue, "place/named-value", "a literal value under a name that tells"),
    text(Rule::Authorization, "place/authorization", "a credential of an HTTP request"),
    text(Rule::PrivateKey, "format/private-key", "a private key in PEM form"),
    text(Rule::Format, "format/token", "a token in the published format of its issuer"),
    text(Rule::Entropy, "entropy/string", "a quoted string as random as a key"),
];

const fn text(rule: Rule, id: &'static str, finds: &'static str) -> RuleText {
    RuleText { rule, id, finds }
}

impl Rule {
    /// Its stable id.
    pub fn id(self) -> &'static str {
        RULES.iter().find(|text| text.rule == self).map_or("", |text| text.id)
    }
}

/// What a value is for, where the place says so.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// A variable of a server's process.
    Environment(String),
    /// A header, and the scheme before the value (`Bearer `), which may be empty.
    Header {
        /// The header's name as written.
        name: String,
        /// What stands before the value.
        before: String,
    },
    /// An argument of a server's command, counted from 0.
    Argument(usize),
    /// The password of a URL.
    UrlPassword,
    /// A parameter of a URL's query.
    Query(String),
    /// A segment of a URL's path.
    UrlPath,
    /// A named value anywhere.
    Named(String),
    /// Text without a name.
    Unnamed,
}

/// Where in its document a value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What the value is for.
    pub slot: Slot,
    /// The keys that lead to it (`mcpServers.github.env.GITHUB_TOKEN`); empty in plain text.
    pub path: String,
    /// The index of the server's entry in [`crate::Scanned::servers`], where it belongs to one.
    pub server: Option<usize>,
}

/// A loose key.
#[derive(Debug)]
pub struct Finding {
    /// The file, relative to what was scanned.
    pub file: String,
    /// Where it begins.
    pub start: Position,
    /// Where it ends: the place behind its last character.
    pub end: Position,
    /// Its bytes in the file.
    pub span: Range<usize>,
    /// Whether those bytes are the value alone, so that they can be replaced.
    pub exact: bool,
    /// The rule.
    pub rule: Rule,
    /// What it is, in words: `GitHub token`, `password`, `API key`.
    pub kind: &'static str,
    /// Where in its document.
    pub place: Place,
    /// The client whose configuration it stands in.
    pub client: Option<Client>,
    /// Whether nobody could guess it, so that a digest of it gives nothing away.
    pub strong: bool,
    /// The value.
    pub secret: Secret,
}

/// Something that was not looked at, or not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The file, relative to what was scanned.
    pub file: String,
    /// Where, if at a place.
    pub at: Option<Position>,
    /// What, in fixed words.
    pub what: String,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Slot {
    /// The name by which the value goes, where it has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Environment(name) | Self::Query(name) | Self::Named(name) | Self::Header { name, .. } => {
                Some(name)
            }
            Self::Argument(_) | Self::UrlPassword | Self::UrlPath | Self::Unnamed => None,
        }
    }
}
