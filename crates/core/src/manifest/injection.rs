//! Where the credential goes in the upstream call.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::is_variable;

/// The injection point of a binding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Injection {
    /// A header field of any name, with the value set into a format.
    Header {
        /// The lower-case field name.
        name: String,
        /// The text around the value.
        format: ValueFormat,
    },
    /// HTTP basic authentication (RFC 7617) with the secret as password.
    Basic {
        /// Who logs in.
        user: BasicUser,
    },
    /// A query parameter; in production by approved exception only, for URLs reach logs.
    Query {
        /// The parameter's name.
        name: String,
    },
    /// A variable of a stdio server's process, with the value set into a format.
    Environment {
        /// The variable.
        variable: String,
        /// The text around the value.
        format: ValueFormat,
    },
    /// A file in memory that only a stdio server's process can open, with the value set into a format.
    File {
        /// The variable that holds the file's path.
        variable: String,
        /// The text around the value.
        format: ValueFormat,
    },
}

impl Injection {
    /// Whether it puts the value into a process rather than into a request.
    pub const fn is_for_process(&self) -> bool {
        matches!(self, Self::Environment { .. } | Self::File { .. })
    }

    /// Whether it needs the account that the secret belongs to: a user name that a store made up together
    /// with the secret.
    pub fn names_account(&self) -> bool {
        match self {
            Self::Basic { user } => *user == BasicUser::OfLease,
            Self::Query { .. } => false,
            Self::Header { format, .. } | Self::Environment { format, .. } | Self::File { format, .. } => {
                format.names_account()
            }
        }
    }
}

/// The user of HTTP basic authentication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BasicUser {
    /// This one; no colon, as RFC 7617 demands.
    Named(String),
    /// The account that came with the secret.
    OfLease,
}

impl fmt::Display for BasicUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(user) => write!(f, "user `{user}`"),
            Self::OfLease => f.write_str("the user whom the store makes with each lease"),
        }
    }
}

/// Where a format takes the account that came with the secret.
pub const LEASED_USER: &str = "{lease.username}";

/// Text before and after the value, from a format with exactly one `{secret}`, and at most one
/// [`LEASED_USER`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueFormat {
    /// What stands before the value.
    pub before: String,
    /// What stands after the value.
    pub after: String,
}

/// Why an injection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectionError {
    /// Not exactly one of the five.
    #[error("`inject` takes exactly one of `header`, `basic`, `query`, `environment` and `file`")]
    One,
    /// The header name is not a token of RFC 9110 or may not be written.
    #[error("`{0}` is not a header that a credential may be written into")]
    Header(String),
    /// Not exactly one `{{secret}}`, more than one `{{lease.username}}`, or characters that no header takes.
    #[error(
        "`format` needs `{{secret}}` exactly once, `{{lease.username}}` at most once, and visible ASCII around"
    )]
    Format,
    /// Neither `user` nor `username_from`, or both.
    #[error("`basic` takes exactly one of `user` and `username_from: lease`")]
    BasicUser,
    /// The user is empty or has a colon or a control character.
    #[error("the basic-auth user must be visible ASCII without a colon")]
    User,
    /// The parameter's name is empty or not plain.
    #[error("the query parameter's name must be letters, digits, `-`, `_` or `.`")]
    Query,
    /// Not a name, or one that makes the loader run foreign code.
    #[error("`{0}` is not a variable that a credential may be given in")]
    Variable(String),
}

/// Header fields that carry the protocol or the framing; a credential never goes there.
const RESERVED: [&str; 16] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "accept",
    "accept-encoding",
    "expect",
    "keep-alive",
    "proxy-connection",
    "last-event-id",
    "origin",
];

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basic: Option<WrittenBasic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBasic {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username_from: Option<UsernameFrom>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum UsernameFrom {
    Lease,
}

impl TryFrom<Written> for Injection {
    type Error = InjectionError;
    fn try_from(written: Written) -> Result<Self, InjectionError> {
        let Written { header, format, basic, query, environment, file } = written;
        let format = format.as_deref();
        match (header, basic, query, environment, file) {
            (Some(name), None, None, None, None) => in_header(&name, format.unwrap_or("{secret}")),
            (None, Some(basic), None, None, None) if format.is_none() => in_basic(basic),
            (None, None, Some(name), None, None) if format.is_none() => in_query(name),
            (None, None, None, Some(variable), None) => {
                let format = value_format(format.unwrap_or("{secret}"))?;
                Ok(Self::Environment { variable: named(variable)?, format })
            }
            (None, None, None, None, Some(variable)) => {
                let format = value_format(format.unwrap_or("{secret}"))?;
                Ok(Self::File { variable: named(variable)?, format })
            }
            _ => Err(InjectionError::One),
        }
    }
}

fn in_basic(basic: WrittenBasic) -> Result<Injection, InjectionError> {
    let user = match (basic.user, basic.username_from) {
        (Some(user), None) => user,
        (None, Some(UsernameFrom::Lease)) => return Ok(Injection::Basic { user: BasicUser::OfLease }),
        (None, None) | (Some(_), Some(_)) => return Err(InjectionError::BasicUser),
    };
    let plain = user.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b':');
    if plain && !user.is_empty() {
        Ok(Injection::Basic { user: BasicUser::Named(user) })
    } else {
        Err(InjectionError::User)
    }
}

fn in_query(name: String) -> Result<Injection, InjectionError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain && !name.is_empty() { Ok(Injection::Query { name }) } else { Err(InjectionError::Query) }
}

fn named(variable: String) -> Result<String, InjectionError> {
    let refused = || InjectionError::Variable(variable.chars().take(64).collect());
    if is_variable(&variable) { Ok(variable) } else { Err(refused()) }
}

fn value_format(format: &str) -> Result<ValueFormat, InjectionError> {
    let (before, after) = format.split_once("{secret}").ok_or(InjectionError::Format)?;
    let plain = format.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if !plain || after.contains("{secret}") || format.matches(LEASED_USER).count() > 1 {
        return Err(InjectionError::Format);
    }
    Ok(ValueFormat { before: before.to_owned(), after: after.to_owned() })
}

fn in_header(name: &str, format: &str) -> Result<Injection, InjectionError> {
    let name = name.to_ascii_lowercase();
    let valid = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
    if !valid || RESERVED.contains(&name.as_str()) || name.starts_with("mcp-") {
        return Err(InjectionError::Header(name.chars().take(64).collect()));
    }
    Ok(Injection::Header { name, format: value_format(format)? })
}

impl From<Injection> for Written {
    fn from(injection: Injection) -> Self {
        let empty =
            Self { header: None, format: None, basic: None, query: None, environment: None, file: None };
        match injection {
            Injection::Header { name, format } => {
                Self { header: Some(name), format: Some(format.to_string()), ..empty }
            }
            Injection::Basic { user: BasicUser::Named(user) } => {
                Self { basic: Some(WrittenBasic { user: Some(user), username_from: None }), ..empty }
            }
            Injection::Basic { user: BasicUser::OfLease } => {
                let basic = WrittenBasic { user: None, username_from: Some(UsernameFrom::Lease) };
                Self { basic: Some(basic), ..empty }
            }
            Injection::Query { name } => Self { query: Some(name), ..empty },
            Injection::Environment { variable, format } => {
                Self { environment: Some(variable), format: Some(format.to_string()), ..empty }
            }
            Injection::File { variable, format } => {
                Self { file: Some(variable), format: Some(format.to_string()), ..empty }
            }
        }
    }
}

impl ValueFormat {
    /// Whether it takes the account that came with the secret.
    pub fn names_account(&self) -> bool {
        self.before.contains(LEASED_USER) || self.after.contains(LEASED_USER)
    }
}

impl fmt::Display for ValueFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{secret}}{}", self.before, self.after)
    }
}
