//! Whose browser sessions they are. People's and operators' pages stand on different listeners, which share one host's
//! cookies and one database: names and records are kept apart, so that neither session opens the other's pages.

use gateway_core::audit::EventKind;
use gateway_core::secret::Secret;

use crate::cookie::Kind;
use crate::seal::digest;

/// Whose sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Realm {
    /// People who use tools: `login` in the configuration.
    #[default]
    People,
    /// Operators at the console: `operators.console`.
    Operators,
}

impl Realm {
    /// The cookie's name. `__Host-` binds it to one host over https (RFC 6265bis, section 4.1.3.2).
    pub(crate) const fn cookie(self, kind: Kind, secure: bool) -> &'static str {
        match (self, kind, secure) {
            (Self::People, Kind::Session, true) => "__Host-mcpgw",
            (Self::People, Kind::Session, false) => "mcpgw",
            (Self::People, Kind::Browser, true) => "__Host-mcpgw-browser",
            (Self::People, Kind::Browser, false) => "mcpgw-browser",
            (Self::Operators, Kind::Session, true) => "__Host-mcpgw-console",
            (Self::Operators, Kind::Session, false) => "mcpgw-console",
            (Self::Operators, Kind::Browser, true) => "__Host-mcpgw-console-browser",
            (Self::Operators, Kind::Browser, false) => "mcpgw-console-browser",
        }
    }

    /// The key of the record that stands for a secret of this realm.
    pub(crate) fn record(self, secret: &Secret) -> String {
        match self {
            Self::People => digest(secret),
            Self::Operators => format!("operators.{}", digest(secret)),
        }
    }

    /// Where a login leads that nothing else asked for.
    pub(crate) const fn home(self) -> &'static str {
        match self {
            Self::People => "/login",
            Self::Operators => "/console",
        }
    }

    /// What a login is called in evidence.
    pub(crate) const fn login_event(self) -> EventKind {
        match self {
            Self::People => EventKind::PersonLogin,
            Self::Operators => EventKind::OperatorLogin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_realms_share_no_cookie_and_no_record() {
        let secret = Secret::copy_from(b"of a browser");
        assert_ne!(Realm::People.record(&secret), Realm::Operators.record(&secret));
        for secure in [true, false] {
            for kind in [Kind::Session, Kind::Browser] {
                assert_ne!(Realm::People.cookie(kind, secure), Realm::Operators.cookie(kind, secure));
                assert_eq!(Realm::Operators.cookie(kind, secure).starts_with("__Host-"), secure);
            }
        }
    }
}
