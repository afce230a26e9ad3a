//! The path of a request, in order of travel. Each stage consumes what the last one made.
//!
//! `admit → authenticate → identify → authorize (→ Permit) → obtain (→ Lease) → intent → receipt → inject →
//! forward → answer → outcome`

pub mod admit;
pub mod answer;
pub mod authenticate;
pub mod authorize;
pub mod body;
pub mod elicit;
pub mod forward;
pub mod identify;
pub mod inject;
pub mod intent;
pub mod journey;
pub mod last_look;
pub mod lock;
pub mod obtain;
pub mod outcome;
pub mod receipt;
pub mod refuse;

mod heartbeat;
