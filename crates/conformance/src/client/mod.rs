//! The client of the conformance runs: does everything with a server that a client can do.
//!
//! The suite's client scenarios are servers that watch. What they wait for is the same each time (connect,
//! list, call what is listed, answer what is asked), so one visit serves them all.

mod answering;
mod arguments;
mod noticing;
mod visit;

pub use visit::{Options, visit};
