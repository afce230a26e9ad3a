//! An account together with its secret, as one value: a store that makes accounts makes both at once, and
//! both belong to one lease.
//!
//! The value is `name:secret`, as in RFC 7617, and so a name never has a colon. Only bindings whose
//! injection names the account ([`Injection::names_account`](crate::manifest::Injection::names_account))
//! have such values.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// An account and its secret.
pub struct Account {
    /// Its name: visible ASCII without a colon.
    pub name: Zeroizing<String>,
    /// Its secret.
    pub secret: Secret,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(..)")
    }
}

impl Account {
    /// Makes one value of both; `None` where the name cannot be a user name.
    #[expect(clippy::disallowed_methods, reason = "account and secret become one value")]
    pub fn join(name: &str, secret: &Secret) -> Option<Secret> {
        if !is_name(name.as_bytes()) {
            return None;
        }
        let mut whole = Vec::with_capacity(name.len().saturating_add(1).saturating_add(secret.len()));
        whole.extend_from_slice(name.as_bytes());
        whole.push(b':');
        whole.extend_from_slice(secret.expose());
        Some(Secret::new(whole))
    }

    /// Takes the value apart again.
    #[expect(clippy::disallowed_methods, reason = "the value is taken apart into account and secret")]
    pub fn part(value: &Secret) -> Option<Self> {
        let whole = value.expose();
        let colon = whole.iter().position(|byte| *byte == b':')?;
        let (name, secret) = (whole.get(..colon)?, whole.get(colon.checked_add(1)?..)?);
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name.as_bytes()))?;
        Some(Self { name: Zeroizing::new(name.to_owned()), secret: Secret::copy_from(secret) })
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test compares values")]
    fn what_was_joined_comes_apart_the_same() {
        for (name, secret) in
            [("v-planner-1", "a:b:c"), ("u", ""), ("ü", "x"), ("a:b", "x"), ("", "x"), ("a b", "x")]
        {
            let joined = Account::join(name, &Secret::copy_from(secret.as_bytes()));
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            assert_eq!(joined.is_some(), plain, "{name}");
            let Some(joined) = joined else { continue };
            let account = Account::part(&joined).unwrap();
            assert_eq!((account.name.as_str(), account.secret.expose()), (name, secret.as_bytes()));
            assert_eq!(format!("{account:?}"), "Account(..)");
        }
        for none in ["", "no colon", ":secret", "a b:c"] {
            assert!(Account::part(&Secret::copy_from(none.as_bytes())).is_none(), "{none}");
        }
    }
}
