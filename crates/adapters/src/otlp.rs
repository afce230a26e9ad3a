//! What logs and spans have in common in OTLP's JSON (OpenTelemetry Protocol, "JSON Protobuf Encoding"):
//! names in lower camel case, 64-bit integers as decimal text, trace and span ids as hex.

use std::borrow::Cow;

use gateway_core::time::Timestamp;
use serde::Serialize;

/// `AnyValue`, of the kinds that we use.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AnyValue<'a> {
    StringValue(Cow<'a, str>),
    IntValue(String),
}

/// `KeyValue`.
#[derive(Serialize, Debug)]
pub(crate) struct Attribute<'a> {
    key: &'static str,
    value: AnyValue<'a>,
}

impl<'a> Attribute<'a> {
    pub(crate) fn text(key: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        Self { key, value: AnyValue::StringValue(value.into()) }
    }

    pub(crate) fn number(key: &'static str, value: u64) -> Self {
        Self { key, value: AnyValue::IntValue(value.to_string()) }
    }
}

/// Who speaks.
#[derive(Serialize)]
pub(crate) struct Resource {
    attributes: [Attribute<'static>; 2],
}

impl Resource {
    pub(crate) fn own() -> Self {
        let version = Attribute::text("service.version", env!("CARGO_PKG_VERSION"));
        Self { attributes: [Attribute::text("service.name", "mcp-gateway"), version] }
    }
}

/// Which part of it.
#[derive(Serialize)]
pub(crate) struct Scope {
    name: &'static str,
    version: &'static str,
}

impl Scope {
    pub(crate) const fn own(name: &'static str) -> Self {
        Self { name, version: env!("CARGO_PKG_VERSION") }
    }
}

/// Nanoseconds since the Unix epoch, as text.
pub(crate) fn nanos(time: Timestamp) -> String {
    i128::from(time.micros()).saturating_mul(1_000).max(0).to_string()
}
