//! Where the credential goes in the upstream call.

use serde::{Deserialize, Serialize};

/// The injection point of a binding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Injection {
    /// A header field of any name, with the value set into a format.
    Header {
        /// The lower-case field name.
        name: String,
        /// The text around the value.
        format: HeaderFormat,
    },
    /// HTTP basic authentication (RFC 7617) with the secret as password.
    Basic {
        /// The user name; no colon, as RFC 7617 demands.
        user: String,
    },
    /// A query parameter; in production by approved exception only, for URLs reach logs.
    Query {
        /// The parameter's name.
        name: String,
    },
}

/// Text before and after the value, from a format with exactly one `{secret}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderFormat {
    /// What stands before the value.
    pub before: String,
    /// What stands after the value.
    pub after: String,
}

/// Why an injection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectionError {
    /// Not exactly one of the three.
    #[error("`inject` takes exactly one of `header`, `basic` and `query`")]
    One,
    /// The header name is not a token of RFC 9110 or may not be written.
    #[error("`{0}` is not a header that a credential may be written into")]
    Header(String),
    /// Not exactly one `{{secret}}`, or characters that no header takes.
    #[error("`format` needs `{{secret}}` exactly once and visible ASCII around it")]
    Format,
    /// The user is empty or has a colon or a control character.
    #[error("the basic-auth user must be visible ASCII without a colon")]
    User,
    /// The parameter's name is empty or not plain.
    #[error("the query parameter's name must be letters, digits, `-`, `_` or `.`")]
    Query,
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
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBasic {
    user: String,
}

impl TryFrom<Written> for Injection {
    type Error = InjectionError;
    fn try_from(written: Written) -> Result<Self, InjectionError> {
        match (written.header, written.format, written.basic, written.query) {
            (Some(name), format, None, None) => header(&name, format.as_deref().unwrap_or("{secret}")),
            (None, None, Some(basic), None) => {
                let plain = basic.user.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b':');
                if plain && !basic.user.is_empty() {
                    Ok(Self::Basic { user: basic.user })
                } else {
                    Err(InjectionError::User)
                }
            }
            (None, None, None, Some(name)) => {
                let plain =
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
                if plain && !name.is_empty() { Ok(Self::Query { name }) } else { Err(InjectionError::Query) }
            }
            _ => Err(InjectionError::One),
        }
    }
}

fn header(name: &str, format: &str) -> Result<Injection, InjectionError> {
    let name = name.to_ascii_lowercase();
    let valid = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
    if !valid || RESERVED.contains(&name.as_str()) || name.starts_with("mcp-") {
        return Err(InjectionError::Header(name.chars().take(64).collect()));
    }
    let (before, after) = format.split_once("{secret}").ok_or(InjectionError::Format)?;
    let plain = format.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if !plain || after.contains("{secret}") {
        return Err(InjectionError::Format);
    }
    Ok(Injection::Header {
        name,
        format: HeaderFormat { before: before.to_owned(), after: after.to_owned() },
    })
}

impl From<Injection> for Written {
    fn from(injection: Injection) -> Self {
        let empty = Self { header: None, format: None, basic: None, query: None };
        match injection {
            Injection::Header { name, format } => Self {
                header: Some(name),
                format: Some(format!("{}{{secret}}{}", format.before, format.after)),
                ..empty
            },
            Injection::Basic { user } => Self { basic: Some(WrittenBasic { user }), ..empty },
            Injection::Query { name } => Self { query: Some(name), ..empty },
        }
    }
}
