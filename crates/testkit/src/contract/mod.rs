//! One battery per trait of the core, run by every implementation of it.

pub mod state;
pub mod store;
pub mod writer;
