//! Between the generations: what a modern client (2026-07-28) says to a server that knows handshakes and
//! sessions only, and the other way round.
//!
//! Messages are translated by cutting and inserting members; every other byte stays as it was written,
//! so that fields nobody here knows survive. What has no counterpart in the other generation is refused
//! in words of the protocol, never dropped in silence and never guessed.

pub mod discovery;
pub mod edit;
pub mod from_legacy;
pub mod from_modern;
pub mod level;
pub mod mirror;
pub mod to_legacy;
pub mod to_modern;
