//! Clients of one generation on servers of the other.

mod learning;
mod newer;
mod older;
mod servers;

use gateway_core::audit::EventKind;

use crate::broker::TestBroker;

/// Every message to the server has an intent before and an outcome after.
fn assert_recorded(broker: &TestBroker, messages: usize) {
    let kinds = broker.audit.kinds();
    let count = |kind: EventKind| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count(EventKind::Intent), count(EventKind::Outcome)), (messages, messages));
}
