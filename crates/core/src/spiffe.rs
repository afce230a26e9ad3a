//! SPIFFE IDs and trust domains (SPIFFE-ID specification, sections 2 and 2.4), parsed once.

use std::fmt;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
/// The longest SPIFFE ID taken, in bytes (section 2.3).
const MAX_ID: usize = 2048;
/// The longest trust domain name, in bytes (section 2.3).
const MAX_TRUST_DOMAIN: usize = 255;

/// Why a text is no SPIFFE ID or no trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// It does not begin with `spiffe://`.
    #[error("must begin with `spiffe://`")]
    Scheme,
    /// It is longer than 2048 bytes, or its trust domain than 255.
    #[error("is longer than the specification allows")]
    TooLong,
    /// The trust domain is empty or has other characters.
    #[error("the trust domain must be of a-z, 0-9, `.`, `-` and `_`")]
    TrustDomain,
    /// A segment of the path is empty or a dot segment, or the path ends with `/`.
    #[error("the path must have no empty segment, no `.` and no `..`")]
    Segment,
    /// A character that no path may have; percent-encoding is one.
    #[error("the path must be of letters, digits, `.`, `-` and `_`")]
    Character,
}

/// The name of a trust domain, such as `example.org`: an authority of its own over the IDs in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Parses the bare name.
    ///
    /// # Errors
    /// Names the rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_TRUST_DOMAIN {
            return Err(SpiffeError::TooLong);
        }
        let lower = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || !text.bytes().all(lower) {
            return Err(SpiffeError::TrustDomain);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as mappings write it: `spiffe://example.org`.
    pub fn id(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID. Two are the same only where every byte is: nothing is normalised.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses the whole text.
    ///
    /// # Errors
    /// Names the rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_ID {
            return Err(SpiffeError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError::Scheme)?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain, Some(path)),
            None => (rest, None),
        };
        let trust_domain = TrustDomain::parse(trust_domain)?;
        for segment in path.into_iter().flat_map(|path| path.split('/')) {
            if matches!(segment, "" | "." | "..") {
                return Err(SpiffeError::Segment);
            }
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if !segment.bytes().all(allowed) {
                return Err(SpiffeError::Character);
            }
        }
        Ok(Self { text: Arc::from(text), trust_domain })
    }

    /// The whole text.
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its trust domain.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Whether it names something in its trust domain, not the trust domain itself. Leaf SVIDs must.
    pub fn names_a_workload(&self) -> bool {
        self.text.len() > SCHEME.len() + self.trust_domain.as_str().len()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_ids_as_the_specification_writes_them() {
        for good in [
            "spiffe://example.org",
            "spiffe://example.org/ns/billing/sa/api",
            "spiffe://1.2.3.4/Workload_1",
            "spiffe://a_b-c/...",
            "spiffe://td/.hidden/a..b",
        ] {
            let id = SpiffeId::parse(good).unwrap();
            assert_eq!(&**id.text(), good);
        }
        assert!(!SpiffeId::parse("spiffe://example.org").unwrap().names_a_workload());
        assert!(SpiffeId::parse("spiffe://example.org/a").unwrap().names_a_workload());
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for (bad, why) in [
            ("", SpiffeError::Scheme),
            ("https://example.org/a", SpiffeError::Scheme),
            ("SPIFFE://example.org/a", SpiffeError::Scheme),
            ("spiffe:/example.org/a", SpiffeError::Scheme),
            ("spiffe://", SpiffeError::TrustDomain),
            ("spiffe:///a", SpiffeError::TrustDomain),
            ("spiffe://Example.org/a", SpiffeError::TrustDomain),
            ("spiffe://exämple.org/a", SpiffeError::TrustDomain),
            ("spiffe://user@example.org/a", SpiffeError::TrustDomain),
            ("spiffe://example.org:8443/a", SpiffeError::TrustDomain),
            ("spiffe://example%2Eorg/a", SpiffeError::TrustDomain),
            ("spiffe://example.org?a", SpiffeError::TrustDomain),
            ("spiffe://example.org/", SpiffeError::Segment),
            ("spiffe://example.org/a/", SpiffeError::Segment),
            ("spiffe://example.org/a//b", SpiffeError::Segment),
            ("spiffe://example.org/a/./b", SpiffeError::Segment),
            ("spiffe://example.org/a/../b", SpiffeError::Segment),
            ("spiffe://example.org/a%2Fb", SpiffeError::Character),
            ("spiffe://example.org/a?b", SpiffeError::Character),
            ("spiffe://example.org/a#b", SpiffeError::Character),
            ("spiffe://example.org/a b", SpiffeError::Character),
            ("spiffe://example.org/ä", SpiffeError::Character),
            ("spiffe://example.org/a\n", SpiffeError::Character),
        ] {
            assert_eq!(SpiffeId::parse(bad).unwrap_err(), why, "{bad:?}");
        }
    }

    #[test]
    fn refuses_what_is_too_long() {
        let longest = format!("spiffe://td/{}", "a".repeat(2048 - 12));
        assert!(SpiffeId::parse(&longest).is_ok());
        assert_eq!(SpiffeId::parse(&format!("{longest}a")).unwrap_err(), SpiffeError::TooLong);
        assert!(TrustDomain::parse(&"a".repeat(255)).is_ok());
        assert_eq!(TrustDomain::parse(&"a".repeat(256)).unwrap_err(), SpiffeError::TooLong);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_built_of_its_own_parts(text in "(spiffe://)?[a-zA-Z0-9._%/?#@:-]{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                let path = text.strip_prefix(&id.trust_domain().id()).unwrap();
                prop_assert!(path.is_empty() || path.starts_with('/'));
                prop_assert!(!text.contains(['%', '?', '#', '@', ':']) || text.matches(':').count() == 1);
                prop_assert_eq!(id.names_a_workload(), !path.is_empty());
                prop_assert!(path.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(TrustDomain::parse(id.trust_domain().as_str()).unwrap(), id.trust_domain().clone());
            }
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            drop(SpiffeId::parse(&text));
            drop(TrustDomain::parse(&text));
        }

        #[test]
        fn takes_everything_the_grammar_makes(
            domain in "[a-z0-9._-]{1,20}", path in "(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,8}){0,5}"
        ) {
            let id = format!("spiffe://{domain}{path}");
            prop_assert!(SpiffeId::parse(&id).is_ok(), "{}", id);
        }
    }
}
