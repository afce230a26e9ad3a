//! Evidence: events that cannot hold a secret, and the chain that makes them stand.

pub mod chain;
mod checkpoint;
mod event;
mod verifier;

pub use chain::{ChainId, LinkHash};
pub use checkpoint::{Checkpoint, Signature, SignedCheckpoint};
pub use event::{BindingRevision, Decision, Ended, Event, EventKind, Outcome};
pub use verifier::{Problem, ProblemKind, Verifier};
