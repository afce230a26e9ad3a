//! Development only: what the official MCP conformance suite is pointed at.
//!
//! [`server`] serves the tools, resources and prompts that the suite's server scenarios ask for, in both
//! protocol generations on one endpoint; [`client`] plays the suite's client scenarios. Both are built on
//! the official SDK, so that what they do directly is a fair measure of what a gateway in between changes.
//! [`matrix`] is the same SDK's client for the matrix of clients and servers.

pub mod client;
pub mod matrix;
pub mod server;
