//! Records in the words of others: OCSF 1.8 and CEF, and as they are. Each carries its place in the
//! chain, so that whoever doubts it can ask for the original.

mod cef;
mod ocsf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ChainId, Event, LinkHash};
use crate::ports::Sequence;

/// How exported records are spelled. Each is one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// The event as it is, with its place, as JSON.
    #[default]
    Ndjson,
    /// The Open Cybersecurity Schema Framework, version 1.8.0, as JSON.
    Ocsf,
    /// The Common Event Format, version 0.
    Cef,
}

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The chain, where it is known.
    pub chain: Option<ChainId>,
    /// The record's number.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: LinkHash,
}

/// One record in this format, without a line break. `version` is the gateway's.
pub fn line(format: ExportFormat, event: &Event, place: &Place, version: &str) -> String {
    match format {
        ExportFormat::Ndjson => {
            let mut record = position(place);
            if let Some(fields) = record.as_object_mut() {
                fields.insert("event".to_owned(), plain(event));
            }
            record.to_string()
        }
        ExportFormat::Ocsf => ocsf::record(event, place, version).to_string(),
        ExportFormat::Cef => cef::record(event, place, version),
    }
}

fn position(place: &Place) -> Value {
    let mut position = json!({"sequence": place.sequence, "hash": place.hash});
    if let (Some(chain), Some(fields)) = (place.chain, position.as_object_mut()) {
        fields.insert("chain".to_owned(), json!(chain));
    }
    position
}

/// The event as JSON; serialising one cannot fail.
fn plain(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or_default()
}

/// The word of the event's kind.
fn word(event: &Event) -> String {
    serde_json::to_value(event.kind)
        .ok()
        .and_then(|kind| kind.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
