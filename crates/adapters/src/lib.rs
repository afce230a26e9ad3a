//! Every implementation of a core trait that touches the outside.

pub mod audit;
pub mod https;
pub mod identity;
mod otlp;
pub mod policy;
pub mod signing;
pub mod source;
pub mod state;
pub mod store;
pub mod traces;
