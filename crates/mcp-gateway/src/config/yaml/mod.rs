//! YAML into typed values with a position for every problem, and as many problems at once as can be
//! told apart: the text becomes a tree of positioned nodes, and types are read from the tree.

mod fault;
mod reader;
mod report;
mod tree;

pub(super) use report::read;
pub(super) use tree::{Entry, Node, Value, documents};
