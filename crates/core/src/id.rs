//! Names and ids, parsed once: whoever holds one holds a valid one.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a text is not a valid name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{kind} `{shown}` is not valid: {rule}")]
pub struct NameError {
    kind: &'static str,
    shown: String,
    rule: &'static str,
}

const SLUG_RULE: &str =
    "1 to 63 of a-z, 0-9 and `-`, starting with a letter and ending with a letter or digit";
const TOOL_RULE: &str = "1 to 128 visible ASCII characters without spaces";
const TEXT_RULE: &str = "1 to 256 printable characters";

fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edges = bytes.first().is_some_and(u8::is_ascii_lowercase) && bytes.last() != Some(&b'-');
    let inner = bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    edges && inner && bytes.len() <= 63
}

fn is_tool(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
}

fn is_text(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text once.
            ///
            /// # Errors
            /// Names the rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    return Ok(Self(Arc::from(text)));
                }
                let shown = text.chars().take(64).filter(|c| !c.is_control()).collect();
                Err(NameError { kind: $kind, shown, rule: $rule })
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

names! {
    /// A sink of the evidence, among those of one gateway.
    SinkName, "sink", is_slug, SLUG_RULE;
    /// An environment such as `dev` or `production`: a hard boundary.
    EnvironmentName, "environment", is_slug, SLUG_RULE;
    /// A registered upstream MCP server, unique within its environment.
    ServerName, "server", is_slug, SLUG_RULE;
    /// A registered agent.
    AgentName, "agent", is_slug, SLUG_RULE;
    /// A workload mapping.
    WorkloadName, "workload", is_slug, SLUG_RULE;
    /// A credential binding, unique within its environment.
    BindingName, "binding", is_slug, SLUG_RULE;
    /// A policy, unique within its environment.
    PolicyName, "policy", is_slug, SLUG_RULE;
    /// An OAuth provider, unique within its environment.
    ProviderName, "provider", is_slug, SLUG_RULE;
    /// A configured secret store; the scheme of every secret reference into it.
    StoreName, "store", is_slug, SLUG_RULE;
    /// A team that owns servers, agents, bindings and path prefixes.
    TeamName, "team", is_slug, SLUG_RULE;
    /// An MCP tool, case-sensitive, as the server names it.
    ToolName, "tool", is_tool, TOOL_RULE;
    /// A group of the identity provider.
    GroupName, "group", is_text, TEXT_RULE;
    /// An operator: `iss|sub` of a named person, or `bootstrap`.
    OperatorName, "operator", is_text, TEXT_RULE;
    /// The id of one request, minted by the gateway: 26 characters, sortable by time.
    RequestId, "request id", is_tool, TOOL_RULE;
}

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RequestId {
    /// Mints an id of 48 bits of milliseconds and 80 random bits, in Crockford's base 32.
    pub fn mint(now: crate::time::Timestamp, random: [u8; 10]) -> Self {
        let millis = u128::from(u64::try_from(now.micros() / 1_000).unwrap_or(0) & 0xffff_ffff_ffff);
        let tail = random.iter().fold(0_u128, |value, byte| (value << 8) | u128::from(*byte));
        let value = (millis << 80) | tail;
        let digit = |shift: u32| {
            let index = usize::try_from((value >> shift) & 31).unwrap_or(0);
            char::from(CROCKFORD.get(index).copied().unwrap_or(b'0'))
        };
        let text: String = (0..26_u32).rev().map(|place| digit(place * 5)).collect();
        Self(Arc::from(text))
    }
}

/// Counts the approved contents of one object; starts at 1 and never repeats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u32);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts every change of the state that decides. A decision made under an older epoch is made anew.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn slugs_refuse_what_could_confuse_a_path_or_a_reader() {
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "a.b", "..", "1a", "é", &"a".repeat(64)] {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
        assert!(ServerName::parse("github-mcp-2").is_ok());
    }

    #[test]
    fn request_ids_sort_by_time() {
        let early = RequestId::mint(Timestamp::from_seconds(1_700_000_000), [0xff; 10]);
        let late = RequestId::mint(Timestamp::from_seconds(1_700_000_001), [0; 10]);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 26);
    }
}
