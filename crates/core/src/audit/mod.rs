//! Evidence: events that cannot hold a secret, and the chain that makes them stand.

mod event;

pub use event::{BindingRevision, Decision, Ended, Event, EventKind, Outcome};
