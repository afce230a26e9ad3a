//! The protocol: parsers that never panic, keep the original bytes, and allocate no more than a
//! small multiple of the input that the caller has already bounded.
//!
//! Nothing here decides anything: [`message`] says what a body asks for, [`headers`] whether the
//! mirrored headers tell the same story, [`sse`] where one event ends, [`listing`] cuts entries
//! out of a list, [`reply`] writes the gateway's own answers, [`elicitation`] how people are asked.

pub mod challenge;
pub mod edits;
pub mod elicitation;
pub mod headers;
pub mod json;
pub mod listing;
pub mod message;
pub mod method;
pub mod reply;
pub mod splice;
pub mod sse;
pub mod version;
