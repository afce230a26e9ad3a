//! Policies in Cedar: compiled against our schema, decided fail-closed, explained statement by statement.
//!
//! A decision asks the policy that the binding names, in the revision its approval pinned and in its
//! current revision, each of which must permit on its own; then every current policy of the
//! environment, none of which may forbid. An evaluation error anywhere is a denial.

mod compile;
mod engine;
mod explain;
mod facts;
mod schema;
mod words;

pub use compile::{CedarCompiler, SchemaFault};
pub use engine::CedarEngine;
pub use explain::{Explanation, Outcome, Step, StepRole};
pub use schema::SCHEMA;

#[cfg(test)]
mod tests;
