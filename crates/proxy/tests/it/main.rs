//! The data path in process, against a scripted upstream on loopback: what it sends, what it answers,
//! what it records, and what it never lets through.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod address_guard;
mod agents;
mod answers;
mod bridge;
mod broker;
mod cancellation;
mod certificates;
mod client_certificates;
mod doors;
mod elicitation;
mod fakes;
mod generations;
mod locks;
mod network;
mod operators;
mod receipts;
mod revocation;
mod rotation;
mod sessions;
mod site;
mod smuggling;
mod sources;
mod stdio;
mod streams;
mod traces;
mod transparency;
mod upstream;
mod upstream_socket;
mod upstream_tls;
