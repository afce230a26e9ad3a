//! The upstream server of the conformance runs.

mod catalogue;
mod door;
mod handler;
mod jobs;
mod legacy;
mod rounds;
mod seal;
mod serve;

pub use serve::{Options, serve};
