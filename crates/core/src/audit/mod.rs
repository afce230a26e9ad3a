//! Evidence: events that cannot hold a secret, and the chain that makes them stand.

mod anchor;
pub mod chain;
mod checkpoint;
mod event;
pub mod export;
mod handover;
mod verifier;

pub use anchor::{Anchor, SignedAnchor};
pub use chain::{ChainId, LinkHash};
pub use checkpoint::{Checkpoint, Signature, SignedCheckpoint};
pub use event::{BindingRevision, Decision, Ended, Event, EventKind, Outcome};
pub use handover::{Handover, SignedHandover};
pub use verifier::{Problem, ProblemKind, Verifier};
