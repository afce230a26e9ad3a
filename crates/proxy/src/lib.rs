//! The data path: how one call of an agent reaches one upstream, with a credential in between.
//!
//! The folder [`path`] *is* the path of a request: one file a stage, each consuming the proof that the
//! last one made, so that skipping a stage does not compile. This crate imports `gateway_core` only;
//! stores, policies, verifiers and the audit log arrive as trait objects.

pub mod bridge;
mod ending;
pub mod gateway;
pub mod limits;
pub mod live;
mod locking;
pub mod materials;
pub mod mcp;
pub mod metrics;
pub mod path;
pub mod peer;
pub mod probe;
pub mod server;
pub mod session;
pub mod settings;
pub mod site;
pub mod trace;
pub mod upstream;
pub mod world;
