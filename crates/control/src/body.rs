//! Reading bodies and queries without ever repeating what was sent.

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use gateway_core::id::Revision;
use gateway_core::lifecycle::rule;
use gateway_core::secret::Secret;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::problem::Problem;

/// A JSON body; an empty one stands for `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        if !is_json && !bytes.is_empty() {
            return Err(Problem::content_type());
        }
        // Held as a secret, so that the buffer is zeroed: a body may hold a value.
        let body = Secret::new(Vec::from(bytes));
        parse(&body).map(Self)
    }
}

#[expect(clippy::disallowed_methods, reason = "a request body is parsed once, right here")]
fn parse<T: DeserializeOwned>(body: &Secret) -> Result<T, Problem> {
    let bytes = if body.is_empty() { b"{}" } else { body.expose() };
    // Every body is an object; a struct would be read from an array too, its fields by their places.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Problem::malformed("a value has the wrong type or form: expected an object"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let shape = shape(&error);
        // Text is all that the document asks for: which texts are references is a rule of ours.
        if shape.starts_with("not a secret reference") {
            return Problem::new(&rule::REFERENCE_MALFORMED, shape);
        }
        Problem::malformed(shape)
    })
}

/// Whether the body says to be JSON, or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
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

/// A struct that is read from an object alone: by itself it would be read from an array too, its fields by their
/// places.
struct Named<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Named<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Named)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// An object within a body.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Named::deserialize(deserializer).map(|Named(found)| found)
}

/// Objects within a body.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let found = Vec::<Named<T>>::deserialize(deserializer)?;
    Ok(found.into_iter().map(|Named(found)| found).collect())
}

/// A whole number: `2` and `2.0` are the same (JSON Schema, section 6.1.1).
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = serde_json::Number::deserialize(deserializer)?;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=MOST_EXACT).contains(float));
    // In this range every whole float is exactly the number it shows.
    let exact = || float().and_then(|float| format!("{float:.0}").parse().ok());
    let found = number.as_u64().or_else(exact).and_then(|found| T::try_from(found).ok());
    found.ok_or_else(|| {
        serde::de::Error::custom("a value has the wrong type or form, expected a whole number in range")
    })
}

/// The same where it may be absent.
pub(crate) fn maybe_whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    struct Whole<T>(T);
    impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            whole(deserializer).map(Self)
        }
    }
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// A revision's number.
pub(crate) fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Revision, D::Error> {
    whole(deserializer).map(Revision)
}

/// The largest whole number below which floats miss none.
const MOST_EXACT: f64 = 9_007_199_254_740_991.0;

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
