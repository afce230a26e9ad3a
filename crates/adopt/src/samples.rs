//! Values that look like keys and are published: documentation's own examples, and keys that their issuers
//! give to browsers.

use sha2::{Digest as _, Sha256};

/// Examples by their length in bytes and their SHA-256: no text that looks like a key stands in a file of
/// ours.
const EXAMPLES: [(usize, &str); 5] = [
    // the JSON Web Token of jwt.io, as it was for years
    (155, "7f75367e7881255134e1375e723d1dea8ad5f6a4fdb79d938df1f1754a830606"),
    // and as it is since
    (172, "c794fa6d20c64efb9adf980ae93af472a1679775862d421ffe55d4a57fad5b3e"),
    // RFC 7519, section 3.1
    (179, "8d4ef6536dc8895f256c1e0d95dcd19763036732d64a095e44a90ed444267ad3"),
    // docs.stripe.com, in every example
    (32, "2cafc0970149a84f3b9e62eaf169f36f59907a3b3e31f7b82e68c69cd27f7326"),
    // and before
    (32, "f2d6ca16515033e5dce14eba840b979d27b5cbae24bb3e5bf484339667f86397"),
];

/// Prefixes of keys that are made to be seen: Stripe's and Clerk's publishable keys, PostHog's project keys,
/// Supabase's publishable keys.
const PUBLIC: [&str; 4] = ["pk_live_", "pk_test_", "phc_", "sb_publishable_"];

/// Whether a value is published: no secret, however random it is.
pub(crate) fn is_sample(text: &str) -> bool {
    if PUBLIC.iter().any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    let mut fitting = EXAMPLES.iter().filter(|(length, _)| *length == text.len()).peekable();
    if fitting.peek().is_none() {
        return false;
    }
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    fitting.any(|(_, known)| *known == digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    /// Put together here, so that no scanner takes this file for a leak.
    fn documented() -> [String; 2] {
        let token = [
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ",
            "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        ];
        [token.join("."), ["sk_test_", "4eC39HqLyj", "WDarjtT1zdp7dc"].concat()]
    }

    #[test]
    fn examples_of_documentation_are_no_keys_and_their_neighbours_are() {
        for example in documented() {
            let text = format!("API_TOKEN={example}\n");
            assert!(is_sample(&example));
            assert!(scan("a/.env", text.as_bytes()).findings.is_empty());
            let other = text.replace("dc\n", "dd\n").replace("5c\n", "5d\n");
            assert_eq!(scan("a/.env", other.as_bytes()).findings.len(), 1);
        }
    }

    #[test]
    fn publishable_keys_are_no_secrets() {
        let body = "q7Zk29fLmP0xW4tR8vN1bC5y";
        assert!(
            scan(".env", format!("NEXT_PUBLIC_STRIPE_KEY=pk_live_{body}\n").as_bytes()).findings.is_empty()
        );
        assert_eq!(scan(".env", format!("STRIPE_KEY=sk_live_{body}\n").as_bytes()).findings.len(), 1);
    }
}
