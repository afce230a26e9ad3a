//! AWS Signature Version 4, for the one kind of request that this crate sends: `POST /` without a query.
//!
//! Written here because that is all of it: the vendor's crate brings a dozen others to sign requests of
//! every shape. It is held to vectors of AWS's own test suite and of botocore.

use aws_lc_rs::hmac;
use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use url::Url;
use zeroize::Zeroizing;

use super::credentials::Credentials;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Where a signature counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The region.
    pub(super) region: &'a str,
    /// The service's signing name.
    pub(super) service: &'a str,
}

/// Adds date, session token and signature to the headers of a `POST` of this body to the root of the URL.
/// Every header that is there counts as signed.
pub(super) fn sign(
    headers: &mut HeaderMap,
    url: &Url,
    body: &[u8],
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let unsigned = |inside: &str| StoreError::new(StoreErrorKind::Malformed, inside);
    let stamp = stamp(now).ok_or_else(|| unsigned("the clock shows no time that can be signed"))?;
    let day = stamp.split('T').next().unwrap_or_default();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| unsigned("no header can be made of it"));
    headers.insert(DATE, value(&stamp)?);
    if let Some(token) = &credentials.session_token {
        headers.insert(SECURITY_TOKEN, token.clone());
    }
    let host = host(url).ok_or_else(|| unsigned("the address has no host"))?;
    let mut named: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    named.push(("host", host.as_bytes()));
    named.sort_unstable_by_key(|(name, _)| *name);
    let signed = named.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    // Hashed piece by piece, so that no copy of the session token is made.
    let mut canonical = Sha256::new().chain_update("POST\n/\n\n");
    for (name, value) in &named {
        canonical = canonical.chain_update(name).chain_update(":").chain_update(value).chain_update("\n");
    }
    let canonical = canonical.chain_update("\n").chain_update(&signed).chain_update("\n");
    let canonical = canonical.chain_update(hex::encode(Sha256::digest(body))).finalize();
    let Scope { region, service } = scope;
    let place = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{place}\n{}", hex::encode(canonical));
    let key = signing_key(&credentials.secret_access_key, day, scope);
    let signature = hex::encode(mac(key.as_ref(), &text));
    let id = &credentials.access_key_id;
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={id}/{place}, SignedHeaders={signed}, Signature={signature}");
    headers.insert(header::AUTHORIZATION, value(&authorization)?);
    Ok(())
}

/// `20260102T030405Z`.
fn stamp(now: Timestamp) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(now.seconds()).ok()?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    Some(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"))
}

/// The `Host` header as the HTTP client sends it.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[expect(clippy::disallowed_methods, reason = "the secret access key goes into the request's signature")]
fn signing_key(secret: &Secret, day: &str, scope: Scope<'_>) -> hmac::Tag {
    let mut first = Zeroizing::new(Vec::with_capacity(secret.len().saturating_add(4)));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.expose());
    let day = mac(&first, day);
    let region = mac(day.as_ref(), scope.region);
    let service = mac(region.as_ref(), scope.service);
    mac(service.as_ref(), "aws4_request")
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(session_token: Option<&'static str>) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::copy_from(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session_token.map(HeaderValue::from_static),
            expires_at: None,
            due_at: None,
        }
    }

    fn signed(
        (region, service): (&str, &str),
        (url, now): (&str, &str),
        headers: &[(&'static str, &'static str)],
        body: &str,
        session_token: Option<&'static str>,
    ) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let (url, now) = (url.parse().unwrap(), Timestamp::parse(now).unwrap());
        let scope = Scope { region, service };
        sign(&mut map, &url, body.as_bytes(), &credentials(session_token), scope, now).unwrap();
        map.get(header::AUTHORIZATION).unwrap().to_str().unwrap().to_owned()
    }

    /// `post-vanilla` of AWS's Signature Version 4 test suite.
    #[test]
    fn signs_like_the_published_test_suite() {
        let place = ("https://example.amazonaws.com/", "2015-08-30T12:36:00Z");
        let authorization = signed(("us-east-1", "service"), place, &[], "", None);
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }

    /// Computed with botocore 1.44.8.
    #[test]
    fn signs_like_botocore() {
        let kind = ("content-type", "application/x-amz-json-1.1");
        let authorization = signed(
            ("eu-west-1", "secretsmanager"),
            ("http://127.0.0.1:4566/", "2026-11-26T17:12:08.9Z"),
            &[("x-amz-target", "secretsmanager.GetSecretValue"), kind],
            r#"{"SecretId":"a/b"}"#,
            Some("session-token-canary"),
        );
        let expected = "d8f5e5be5b50c306ef91adb4d4557e3182d18fc08669a428de9f8ed416c78e8c";
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
        let named = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,";
        assert!(authorization.contains(named), "{authorization}");
        let authorization = signed(
            ("eu-west-1", "ssm"),
            ("https://ssm.eu-west-1.amazonaws.com/", "2026-11-26T17:12:08Z"),
            &[("x-amz-target", "AmazonSSM.GetParameter"), kind],
            r#"{"Name":"/a/b","WithDecryption":true}"#,
            None,
        );
        let expected = "594401502c6ed51992a3dcf10cf8741d813529e9bae785188e665ad01de98385";
        assert!(authorization.ends_with(&format!("Signature={expected}")), "{authorization}");
    }
}
