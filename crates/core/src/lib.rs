//! Nouns, proofs and pure decisions of the credential broker.
//!
//! This crate does no I/O, reads no clock and starts no task: time, randomness and the outside
//! enter as arguments or through the traits in [`ports`]. It may import nothing of the workspace.

pub mod account;
pub mod actor;
pub mod address;
pub mod audit;
pub mod card;
pub mod client;
pub mod connect;
pub mod consent;
pub mod departure;
pub mod explain;
pub mod figures;
pub mod grant;
pub mod id;
pub mod identity;
pub mod lease;
pub mod lifecycle;
pub mod lock;
pub mod login;
pub mod manifest;
pub mod operator;
pub mod policy;
pub mod policy_text;
pub mod ports;
pub mod receipt;
pub mod reference;
pub mod refusal;
pub mod replay;
pub mod review;
pub mod revocation;
pub mod rotation;
pub mod scrub;
pub mod secret;
pub mod session;
pub mod snapshot;
pub mod spiffe;
pub mod state;
pub mod stdio;
pub mod stores;
pub mod time;
pub mod trace;
