//! The data path in process, against a scripted upstream on loopback: what it sends, what it answers,
//! what it records, and what it never lets through.

mod answers;
mod broker;
mod doors;
mod fakes;
mod network;
mod revocation;
mod sessions;
mod upstream;
