//! Secret references: a store and a place in it, nothing else (DESIGN, rule 12).
//!
//! Grammar (our own; the scheme is always the name of a configured store):
//!
//! ```text
//! reference = store "://" path [ "#" field ] [ "?" selector "=" value ]
//! selector  = "version" | "stage"
//! ```
//!
//! In `path`, `field` and `value` the characters `%`, `#`, `?`, `{`, `}` and controls are written as
//! `%XX`. `{agent.id}`, `{user.sub}` and `{environment}` in the path are templates; no other
//! expansion exists, so a reference can never carry an address, a role, a token or a shell word.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentName, StoreName};

/// A parsed reference, possibly with templates in its path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretReference {
    store: StoreName,
    path: Vec<Piece>,
    field: Option<String>,
    version: Option<VersionSelector>,
}

/// Which version of the value: absent means the store's current one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum VersionSelector {
    /// A pinned version, in the store's own words (`3`, a version id).
    Version(String),
    /// A staging label such as `AWSCURRENT`.
    Stage(String),
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Piece {
    Text(String),
    Template(Template),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Template {
    AgentId,
    UserSub,
    Environment,
}

/// The values that templates may take for one call.
#[derive(Debug, Clone, Copy)]
pub struct TemplateValues<'a> {
    /// The registered agent's name, where the call has an agent.
    pub agent: Option<&'a str>,
    /// The user's `sub`, where the call has a user.
    pub user: Option<&'a str>,
    /// The environment of the call.
    pub environment: &'a EnvironmentName,
}

/// A reference with every template filled in: what a store is asked for, and the key of its cache.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResolvedReference {
    /// The configured store.
    pub store: StoreName,
    /// The decoded path within the store.
    pub path: String,
    /// The field of a structured secret.
    pub field: Option<String>,
    /// The wanted version; the current one where absent.
    pub version: Option<VersionSelector>,
}

/// Why a text is no usable reference. Never repeats the text: it may be a pasted secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no `store://`.
    #[error("not a secret reference: write `store://path#field`, where `store` is a configured store")]
    NotAReference,
    /// The store name breaks the naming rule.
    #[error("the part before `://` is not a valid store name")]
    Store,
    /// The path is empty, or has an empty, `.` or `..` segment, or a character that must be escaped.
    #[error("the path is empty, or holds `.`, `..`, an empty segment or an unescaped special character")]
    Path,
    /// The field is empty or malformed.
    #[error("the field after `#` is empty or malformed")]
    Field,
    /// Only `version=` and `stage=` exist.
    #[error("after `?` only `version=...` or `stage=...` may stand")]
    Selector,
    /// A template that does not exist.
    #[error("unknown template: only {{agent.id}}, {{user.sub}} and {{environment}} exist")]
    Template,
    /// A template asks for a part of the actor that the call does not have, or that is not plain enough.
    #[error("a template asks for a part of the actor that is absent or holds characters a path may not take")]
    TemplateValue,
}

impl SecretReference {
    /// Parses the text once.
    ///
    /// # Errors
    /// Says which part is wrong, without repeating it.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (store, rest) = text.split_once("://").ok_or(ReferenceError::NotAReference)?;
        let store = StoreName::parse(store).map_err(|_| ReferenceError::Store)?;
        let (rest, selector) = match rest.split_once('?') {
            Some((rest, selector)) => (rest, Some(selector)),
            None => (rest, None),
        };
        let (path, field) = match rest.split_once('#') {
            Some((path, field)) => (path, Some(field)),
            None => (rest, None),
        };
        let field = field.map(decode_plain).transpose().map_err(|()| ReferenceError::Field)?;
        let version = selector.map(parse_selector).transpose()?;
        Ok(Self { store, path: parse_path(path)?, field, version })
    }

    /// The configured store it names.
    pub fn store(&self) -> &StoreName {
        &self.store
    }

    /// The path up to the first template, decoded: what path delegation is checked against.
    pub fn fixed_prefix(&self) -> &str {
        match self.path.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The pinned version or stage, where there is one.
    pub fn version(&self) -> Option<&VersionSelector> {
        self.version.as_ref()
    }

    /// Whether the other reference names the same place, whatever the version: moving between
    /// versions of one place is a rotation that needs no approval (DESIGN, section 10.6).
    pub fn same_place(&self, other: &Self) -> bool {
        self.store == other.store && self.path == other.path && self.field == other.field
    }

    /// The same place at this version.
    #[must_use]
    pub fn at_version(&self, version: &str) -> Self {
        Self { version: Some(VersionSelector::Version(version.to_owned())), ..self.clone() }
    }

    /// The same place at whatever version is the store's current one.
    #[must_use]
    pub fn without_version(&self) -> Self {
        Self { version: None, ..self.clone() }
    }

    /// Whether it names a field of a structured secret.
    pub const fn has_field(&self) -> bool {
        self.field.is_some()
    }

    /// The place of this name below the path, with the field; what a grant's tokens are kept under.
    ///
    /// # Errors
    /// [`ReferenceError::Path`] or [`ReferenceError::Field`] for a name that is not plain.
    pub fn below(&self, name: &str, field: &str) -> Result<Self, ReferenceError> {
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !plain(name) {
            return Err(ReferenceError::Path);
        }
        if !plain(field) {
            return Err(ReferenceError::Field);
        }
        let mut path = self.path.clone();
        path.push(Piece::Text(format!("/{name}")));
        Ok(Self { store: self.store.clone(), path, field: Some(field.to_owned()), version: None })
    }

    /// Whether any part depends on the caller.
    pub fn has_templates(&self) -> bool {
        self.path.iter().any(|piece| matches!(piece, Piece::Template(_)))
    }

    /// Fills in the templates.
    ///
    /// # Errors
    /// [`ReferenceError::TemplateValue`] where the call lacks the part, or the part is not made of
    /// letters, digits, `-`, `_`, `.`, `@` alone.
    pub fn resolve(&self, values: &TemplateValues<'_>) -> Result<ResolvedReference, ReferenceError> {
        let mut path = String::new();
        for piece in &self.path {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Template(template) => path.push_str(template_value(*template, values)?),
            }
        }
        Ok(ResolvedReference {
            store: self.store.clone(),
            path,
            field: self.field.clone(),
            version: self.version.clone(),
        })
    }
}

fn template_value<'a>(template: Template, values: &TemplateValues<'a>) -> Result<&'a str, ReferenceError> {
    let value = match template {
        Template::AgentId => values.agent,
        Template::UserSub => values.user,
        Template::Environment => Some(values.environment.as_str()),
    };
    let plain = |text: &&str| {
        let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'));
        inner && (1..=128).contains(&text.len()) && !text.bytes().all(|b| b == b'.')
    };
    value.filter(plain).ok_or(ReferenceError::TemplateValue)
}

fn parse_selector(selector: &str) -> Result<VersionSelector, ReferenceError> {
    let (name, value) = selector.split_once('=').ok_or(ReferenceError::Selector)?;
    let value = decode_plain(value).map_err(|()| ReferenceError::Selector)?;
    match name {
        "version" => Ok(VersionSelector::Version(value)),
        "stage" => Ok(VersionSelector::Stage(value)),
        _ => Err(ReferenceError::Selector),
    }
}

fn parse_path(path: &str) -> Result<Vec<Piece>, ReferenceError> {
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some((text, tail)) = rest.split_once('{') {
        if !text.is_empty() {
            pieces.push(Piece::Text(decode(text).map_err(|()| ReferenceError::Path)?));
        }
        let (name, after) = tail.split_once('}').ok_or(ReferenceError::Template)?;
        pieces.push(Piece::Template(match name {
            "agent.id" => Template::AgentId,
            "user.sub" => Template::UserSub,
            "environment" => Template::Environment,
            _ => return Err(ReferenceError::Template),
        }));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(decode(rest).map_err(|()| ReferenceError::Path)?));
    }
    check_segments(&pieces)?;
    Ok(pieces)
}

/// Judges the decoded path with a letter in place of each template, so that no escape can smuggle
/// in a segment that walks upwards.
fn check_segments(pieces: &[Piece]) -> Result<(), ReferenceError> {
    let probe: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Template(_) => "x",
        })
        .collect();
    let relative = probe.strip_prefix('/').unwrap_or(&probe);
    if relative.is_empty() || relative.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(ReferenceError::Path);
    }
    Ok(())
}

fn decode_plain(text: &str) -> Result<String, ()> {
    let decoded = decode(text)?;
    if decoded.is_empty() || text.contains(['{', '}']) { Err(()) } else { Ok(decoded) }
}

/// Decodes `%XX`; refuses raw specials, controls and what is not UTF-8 afterwards.
fn decode(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let pair = [rest.next().ok_or(())?, rest.next().ok_or(())?];
                let mut decoded = [0_u8; 1];
                hex::decode_to_slice(pair, &mut decoded).map_err(|_| ())?;
                bytes.extend_from_slice(&decoded);
            }
            b'#' | b'?' | b'}' => return Err(()),
            other => bytes.push(other),
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| ())?;
    if decoded.chars().any(char::is_control) { Err(()) } else { Ok(decoded) }
}

fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        match c {
            '%' | '#' | '?' | '{' | '}' => write!(f, "%{:02X}", u32::from(c))?,
            other => write!(f, "{other}")?,
        }
    }
    Ok(())
}

fn show_tail(
    field: Option<&String>,
    version: Option<&VersionSelector>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if let Some(field) = field {
        f.write_str("#")?;
        encode(field, f)?;
    }
    match version {
        None => Ok(()),
        Some(VersionSelector::Version(value)) => f.write_str("?version=").and_then(|()| encode(value, f)),
        Some(VersionSelector::Stage(value)) => f.write_str("?stage=").and_then(|()| encode(value, f)),
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.store)?;
        for piece in &self.path {
            match piece {
                Piece::Text(text) => encode(text, f)?,
                Piece::Template(Template::AgentId) => f.write_str("{agent.id}")?,
                Piece::Template(Template::UserSub) => f.write_str("{user.sub}")?,
                Piece::Template(Template::Environment) => f.write_str("{environment}")?,
            }
        }
        show_tail(self.field.as_ref(), self.version.as_ref(), f)
    }
}

impl fmt::Debug for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ResolvedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.store)?;
        encode(&self.path, f)?;
        show_tail(self.field.as_ref(), self.version.as_ref(), f)
    }
}

impl Serialize for SecretReference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
