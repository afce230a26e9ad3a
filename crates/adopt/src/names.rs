//! Names that tell: which names of variables, headers, parameters and fields carry keys.

/// How much a name says about its value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Telling {
    /// Nothing.
    No,
    /// A key of some kind, maybe one of a map: only a random value counts.
    Maybe,
    /// A secret.
    Yes,
    /// A secret that people may have thought up.
    Password,
}

const SECRETS: [&str; 22] = [
    "token",
    "secret",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authkey",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "bearertoken",
    "apitoken",
    "apisecret",
    "clientsecret",
    "credential",
    "credentials",
    "authorization",
    "bearer",
    "pat",
    "jwt",
    "psk",
    "webhooksecret",
];
const PASSWORDS: [&str; 5] = ["password", "passwd", "pwd", "passphrase", "passcode"];
/// Words before `key` that make it a secret.
const KEY_OF: [&str; 22] = [
    "api",
    "access",
    "secret",
    "private",
    "auth",
    "service",
    "encryption",
    "signing",
    "master",
    "admin",
    "deploy",
    "account",
    "app",
    "application",
    "subscription",
    "shared",
    "hmac",
    "license",
    "integration",
    "ingest",
    "write",
    "personal",
];
/// Words before `key` or `token` that make it none.
const NONE_OF: [&str; 50] = [
    "primary",
    "public",
    "foreign",
    "sort",
    "partition",
    "cache",
    "hash",
    "row",
    "index",
    "idempotency",
    "config",
    "object",
    "lookup",
    "map",
    "hot",
    "shortcut",
    "locale",
    "translation",
    "group",
    "unique",
    "composite",
    "routing",
    "bucket",
    "publishable",
    "column",
    "attribute",
    "query",
    "feature",
    "flag",
    "page",
    "csrf",
    "xsrf",
    "sync",
    "continuation",
    "cancellation",
    "pad",
    "eos",
    "bos",
    "unk",
    "mask",
    "sep",
    "cls",
    "special",
    "stop",
    "next",
    "design",
    "css",
    "sitekey",
    "site",
    "dict",
];
/// Words behind the noun that say where or when, not what.
const TAILS: [&str; 20] = [
    "prod",
    "production",
    "dev",
    "development",
    "staging",
    "stage",
    "test",
    "live",
    "sandbox",
    "primary",
    "secondary",
    "old",
    "new",
    "current",
    "default",
    "value",
    "string",
    "literal",
    "local",
    "base",
];

/// What a name tells about its value.
pub(crate) fn telling(name: &str) -> Telling {
    let mut words = words(name);
    while words.len() > 1
        && words.last().is_some_and(|word| TAILS.contains(&word.as_str()) || is_number(word))
    {
        words.pop();
    }
    let Some(last) = words.pop() else { return Telling::No };
    let before = words.last().map(String::as_str).unwrap_or_default();
    if NONE_OF.contains(&before) || NONE_OF.contains(&last.as_str()) {
        return Telling::No;
    }
    let last = last.trim_end_matches(|character: char| character.is_ascii_digit());
    match last {
        _ if PASSWORDS.contains(&last) => Telling::Password,
        _ if SECRETS.contains(&last) => Telling::Yes,
        "key" if KEY_OF.contains(&before) => Telling::Yes,
        "key" if !before.is_empty() => Telling::Maybe,
        "pass" | "auth" | "cookie" | "session" | "signature" | "sig" | "sas" => Telling::Maybe,
        _ if last.ends_with("password") => Telling::Password,
        _ if last.ends_with("apikey") || last.ends_with("secret") => Telling::Yes,
        _ if last.ends_with("token") => Telling::Yes,
        _ => Telling::No,
    }
}

/// Whether a random value under this name is something else than a key: a digest, an id, a version.
pub(crate) fn is_harmless(name: &str) -> bool {
    const HARMLESS: [&str; 34] = [
        "hash",
        "integrity",
        "checksum",
        "digest",
        "sha",
        "sha1",
        "sha256",
        "sha512",
        "md5",
        "etag",
        "commit",
        "rev",
        "revision",
        "id",
        "uuid",
        "guid",
        "nonce",
        "fingerprint",
        "version",
        "thumbprint",
        "cursor",
        "schema",
        "image",
        "avatar",
        "uri",
        "url",
        "href",
        "path",
        "file",
        "ref",
        "resolved",
        "cert",
        "certificate",
        "publickey",
    ];
    let words = words(name);
    let public = words.iter().any(|word| word == "public");
    public || words.last().is_some_and(|word| HARMLESS.contains(&word.as_str()))
}

/// The word for a value that is known by its name alone.
pub(crate) fn kind(name: &str) -> &'static str {
    let words = words(name);
    let has = |wanted: &str| words.iter().any(|word| word.contains(wanted));
    match telling(name) {
        Telling::Password => "password",
        _ if has("secret") => "secret",
        _ if has("token") || has("jwt") || has("pat") => "token",
        _ if has("key") => "API key",
        _ => "credential",
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('v').unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of a name in any of the usual spellings, in lower case.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut characters = name.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        if !character.is_alphanumeric() {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        } else {
            let next_is_lower = characters.peek().is_some_and(|next| next.is_lowercase());
            let begins = character.is_uppercase()
                && before.is_some_and(|before: char| {
                    before.is_lowercase() || before.is_ascii_digit() || before.is_uppercase() && next_is_lower
                });
            if begins {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            word.extend(character.to_lowercase());
        }
        before = Some(character);
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_tell() {
        for name in [
            "GITHUB_TOKEN",
            "GITHUB_PERSONAL_ACCESS_TOKEN",
            "apiKey",
            "APIKey",
            "X-Api-Key",
            "api_key_2",
            "accessToken",
            "AWS_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY_PROD",
            "client_secret",
            "--api-key",
            "private_key",
            "NOTION_TOKEN_V2",
            "authToken",
            "apikey",
            "SLACK_BOT_TOKEN",
            "x-goog-api-key",
            "Authorization",
        ] {
            assert_eq!(telling(name), Telling::Yes, "{name}");
        }
        for name in ["DB_PASSWORD", "password", "mysqlPassword", "PGPASSWORD", "dbPwd"] {
            assert_eq!(telling(name), Telling::Password, "{name}");
        }
        for name in ["STRIPE_KEY", "openai-key", "_auth", "session_cookie"] {
            assert_eq!(telling(name), Telling::Maybe, "{name}");
        }
    }

    #[test]
    fn names_of_other_things_do_not() {
        for name in [
            "MAX_TOKENS",
            "TOKENIZERS_PARALLELISM",
            "SECRET_NAME",
            "API_KEY_HEADER",
            "TOKEN_URL",
            "token_type",
            "KEYCLOAK_URL",
            "PRIMARY_KEY",
            "cache_key",
            "PUBLIC_KEY",
            "key",
            "keyboard",
            "page_token",
            "next_page_token",
            "csrf_token",
            "monkey",
            "PASSWORD_MIN_LENGTH",
            "AUTH_MODE",
            "author",
            "LOG_LEVEL",
            "pad_token",
            "token_count",
            "secretName",
            "",
        ] {
            assert_eq!(telling(name), Telling::No, "{name}");
        }
    }

    #[test]
    fn names_are_split_in_every_spelling() {
        assert_eq!(words("getAPIKey2_forX-y"), ["get", "api", "key2", "for", "x", "y"]);
    }
}
