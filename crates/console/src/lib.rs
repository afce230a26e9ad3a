//! The console: pages for operators, rendered here, over the management API.
//!
//! Every page asks the API as the operator who is logged in, and every button sends it one request. The console
//! decides nothing and knows nothing that the API would not tell the same person: there is no second way around four
//! eyes. It stands on the sessions and forms of `gateway_login`, in a realm of their own (docs/adr/0022).

mod acts;
mod api;
mod effects;
mod frame;
mod lines;
mod live;
mod pages;
mod parts;
mod router;
mod shapes;
mod told;
mod trouble;
mod visit;

pub use api::{ControlApi, OperatorRoles};
pub use router::{Console, PREFIX, console_router};

#[cfg(test)]
mod tests;
