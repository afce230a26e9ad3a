//! The credential broker for MCP: command line, configuration, wiring and demo.

pub mod app;
pub mod cli;
pub mod config;
pub mod connect;
pub mod demo;
pub mod fixture;
