//! Reading bodies and queries without ever repeating what was sent.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use gateway_core::secret::Secret;
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use crate::problem::Problem;

/// A JSON body; an empty one stands for `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        // Held as a secret, so that the buffer is zeroed: a body may hold a value.
        let body = Secret::new(Vec::from(bytes));
        parse(&body).map(Self)
    }
}

#[expect(clippy::disallowed_methods, reason = "a request body is parsed once, right here")]
fn parse<T: DeserializeOwned>(body: &Secret) -> Result<T, Problem> {
    let bytes = if body.is_empty() { b"{}" } else { body.expose() };
    serde_json::from_slice(bytes).map_err(|error| Problem::malformed(shape(&error)))
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large()
    } else {
        Problem::malformed("the body could not be read")
    }
}

/// What is wrong with JSON, without the value that is wrong: it may be a pasted secret.
pub(crate) fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    // A mistyped field is worth naming, if it looks like one.
    let is_field = |name: &str| name.len() <= 24 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let safe = ["missing field", "duplicate field", "not a secret reference"];
    if safe.iter().any(|start| text.starts_with(start)) || named.is_some_and(|(name, _)| is_field(name)) {
        return text.chars().take(300).collect();
    }
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        Some(expected) => format!("a value has the wrong type or form: expected {expected}"),
        None => format!("not the JSON that was expected, at line {} column {}", error.line(), error.column()),
    }
}

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| Problem::malformed(error.body_text()))
    }
}

/// A secret value in a body.
#[derive(Debug)]
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the value as text")
            }
            fn visit_str<E>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(Secret::copy_from(text.as_bytes())))
            }
            fn visit_string<E>(self, text: String) -> Result<SecretText, E> {
                Ok(SecretText(Secret::new(text.into_bytes())))
            }
        }
        deserializer.deserialize_string(Text)
    }
}
