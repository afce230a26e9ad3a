//! The gateway's own credentials at AWS, and the two documents that they come in.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::HeaderValue;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::store::session::Session;

/// How long before their end credentials are replaced, at most.
const MARGIN: Duration = Duration::from_secs(300);

/// A key that signs requests.
pub(super) struct Credentials {
    /// The key's public name.
    pub(super) access_key_id: String,
    /// The key.
    pub(super) secret_access_key: Secret,
    /// The token of a session, marked sensitive.
    pub(super) session_token: Option<HeaderValue>,
    /// When it ends; absent where it does not.
    pub(super) expires_at: Option<Timestamp>,
    /// When it is to be replaced.
    pub(super) due_at: Option<Timestamp>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Makes them of their parts; absent where one is empty or cannot be what it is taken for.
    fn new(id: &str, secret: &str, token: Option<&str>) -> Option<Self> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let named = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named || !plain(secret) || !token.is_none_or(plain) {
            return None;
        }
        Some(Self {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::copy_from(secret.as_bytes()),
            session_token: token.and_then(sensitive),
            expires_at: None,
            due_at: None,
        })
    }

    /// Reads a profile of a shared credentials file, as AWS's own tools write it.
    pub(super) fn of_profile(content: &[u8], profile: &str) -> Option<Self> {
        let mut inside = false;
        let (mut id, mut secret, mut token) = (None, None, None);
        for line in std::str::from_utf8(content).ok()?.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                inside = name.trim() == profile;
            } else if let (true, Some((name, value))) = (inside, line.split_once('=')) {
                match name.trim() {
                    "aws_access_key_id" => id = Some(value.trim()),
                    "aws_secret_access_key" => secret = Some(value.trim()),
                    "aws_session_token" => token = Some(value.trim()),
                    _ => {}
                }
            }
        }
        Self::new(id?, secret?, token)
    }

    /// Reads the answer of STS to `AssumeRoleWithWebIdentity`: the four elements of its `Credentials`.
    pub(super) fn of_session(answer: &[u8], now: Timestamp) -> Option<Self> {
        let text = std::str::from_utf8(answer).ok()?;
        let text = element(text, "AssumeRoleWithWebIdentityResult")?;
        let text = element(text, "Credentials")?;
        let token = plain_element(text, "SessionToken")?;
        let made = Self::new(
            plain_element(text, "AccessKeyId")?,
            plain_element(text, "SecretAccessKey")?,
            Some(token),
        )?;
        made.ending(plain_element(text, "Expiration")?, now)
    }

    /// Reads the document that a platform hands out beside the container.
    pub(super) fn of_container(answer: &[u8], now: Timestamp) -> Option<Self> {
        // Borrowed, so that no copy is made; AWS escapes nothing in these.
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Document<'a> {
            access_key_id: &'a str,
            secret_access_key: &'a str,
            token: &'a str,
            expiration: &'a str,
        }
        let found: Document<'_> = serde_json::from_slice(answer).ok()?;
        let made = Self::new(found.access_key_id, found.secret_access_key, Some(found.token))?;
        made.ending(found.expiration, now)
    }

    fn ending(self, at: &str, now: Timestamp) -> Option<Self> {
        let ends = Timestamp::parse(at).ok()?;
        let life = ends.since(now);
        // A short session is replaced after three quarters of its life.
        let used = life.saturating_sub(MARGIN.min(life / 4));
        Some(Self { expires_at: Some(ends), due_at: Some(now.plus(used)), ..self })
    }
}

impl Session for Credentials {
    fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    fn still_serves(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// A header whose copy is zeroed when the last clone goes, and shown nowhere.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let owned = Bytes::from_owner(Zeroizing::new(text.as_bytes().to_vec()));
    let mut value = HeaderValue::from_maybe_shared(owned).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What stands between the one start and the one end of an element without attributes.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = text.split_once(&start)?;
    let (inside, after) = rest.split_once(&end)?;
    (!inside.contains(&start) && !after.contains(&start)).then_some(inside)
}

/// An element that holds plain text: no element, no entity.
fn plain_element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    element(text, name).filter(|inside| !inside.is_empty() && !inside.contains(['<', '&']))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the test compares what was read")]
    use super::*;

    const ANSWER: &str = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>a/b+c=</SecretAccessKey>\
        <SessionToken>canary/token==</SessionToken><Expiration>2026-11-26T18:00:00.5Z</Expiration>\
        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn reads_a_session_and_when_to_replace_it() {
        let made = Credentials::of_session(ANSWER.as_bytes(), at("2026-11-26T17:00:00Z")).unwrap();
        assert_eq!(
            (made.access_key_id.as_str(), made.secret_access_key.expose()),
            ("ASIAEXAMPLE", &b"a/b+c="[..])
        );
        assert_eq!(made.session_token.as_ref().unwrap().as_bytes(), b"canary/token==");
        assert!(!made.is_due(at("2026-11-26T17:54:59Z")) && made.is_due(at("2026-11-26T17:55:01Z")));
        assert!(
            made.still_serves(at("2026-11-26T18:00:00Z")) && !made.still_serves(at("2026-11-26T18:00:01Z"))
        );
        assert!(!format!("{made:?}").contains("canary"), "{made:?}");
        let short = Credentials::of_session(ANSWER.as_bytes(), at("2026-11-26T17:56:00Z")).unwrap();
        assert!(!short.is_due(at("2026-11-26T17:58:59Z")) && short.is_due(at("2026-11-26T17:59:01Z")));
    }

    #[test]
    fn refuses_a_session_with_anything_missing_or_odd() {
        let now = at("2026-11-26T17:00:00Z");
        for (part, odd) in [
            ("<AccessKeyId>ASIAEXAMPLE", "<AccessKeyId>"),
            ("ASIAEXAMPLE", "ASIA EXAMPLE"),
            ("a/b+c=", "a&amp;b"),
            ("canary/token==", "<b>x</b>"),
            ("canary/token==", "two words"),
            ("2026-11-26T18:00:00.5Z", "soon"),
            ("</Credentials>", ""),
            ("</Credentials>", "</Credentials><Credentials></Credentials>"),
            ("AssumeRoleWithWebIdentityResult", "AssumeRoleResult"),
        ] {
            let answer = ANSWER.replace(part, odd);
            assert!(Credentials::of_session(answer.as_bytes(), now).is_none(), "{answer}");
        }
        assert!(Credentials::of_session(&[0xff], now).is_none());
    }

    #[test]
    fn reads_the_document_of_a_platform() {
        let now = at("2026-11-26T17:00:00Z");
        let document = r#"{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"a/b+c=","Token":"canary==",
            "Expiration":"2026-11-26T18:00:00Z","AccountId":"123456789012"}"#;
        let made = Credentials::of_container(document.as_bytes(), now).unwrap();
        assert_eq!(
            (made.access_key_id.as_str(), made.secret_access_key.expose()),
            ("ASIAEXAMPLE", &b"a/b+c="[..])
        );
        assert!(!made.is_due(at("2026-11-26T17:54:59Z")) && made.is_due(at("2026-11-26T17:55:01Z")));
        for (part, odd) in [("Token", "SessionToken"), ("a/b+c=", ""), ("2026-11-26T18", "soon")] {
            let document = document.replace(part, odd);
            assert!(Credentials::of_container(document.as_bytes(), now).is_none(), "{document}");
        }
    }

    #[test]
    fn reads_the_named_profile_of_a_shared_file() {
        let file = "# comment\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = o\n\
            [ mcp ]\naws_access_key_id=AKIAMCP\n aws_secret_access_key = s=/+ \nregion = x\n";
        let made = Credentials::of_profile(file.as_bytes(), "mcp").unwrap();
        assert_eq!((made.access_key_id.as_str(), made.secret_access_key.expose()), ("AKIAMCP", &b"s=/+"[..]));
        assert!(made.session_token.is_none() && !made.is_due(Timestamp::from_micros(i64::MAX)));
        let session = file.replace("region = x", "aws_session_token = t==");
        let made = Credentials::of_profile(session.as_bytes(), "mcp").unwrap();
        assert_eq!(made.session_token.unwrap().as_bytes(), b"t==");
        for (file, profile) in [(file, "absent"), ("", "mcp"), ("[mcp]\naws_access_key_id=A\n", "mcp")] {
            assert!(Credentials::of_profile(file.as_bytes(), profile).is_none(), "{profile}");
        }
    }
}
