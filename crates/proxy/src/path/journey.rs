//! What every stage after the decision is told: one request on its way.

use std::sync::Arc;

use super::admit::Trip;
use super::authorize::Aim;
use super::identify::Call;
use crate::gateway::Gateway;
use crate::upstream::Upstreams;

/// One request on its way to the server.
#[derive(Clone, Copy, Debug)]
pub struct Journey<'a> {
    /// The gateway.
    pub gateway: &'a Arc<Gateway>,
    /// Connections of this data thread.
    pub upstreams: &'a Arc<Upstreams>,
    /// The facts of the call.
    pub trip: &'a Trip,
    /// The call.
    pub call: &'a Call,
    /// What was decided about.
    pub aim: &'a Aim,
}
