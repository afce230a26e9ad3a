//! Locks in the way of a call: asked as soon as the caller is known, before its body is read, and again with
//! every further fact. Who would have been refused without the lock is told exactly that.

use gateway_core::lock::LockFacts;
use gateway_core::policy::Permit;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::Wanted;

use super::admit::Trip;
use super::authorize::Aim;
use crate::world::World;

/// Stops a caller whom a lock keeps out whatever they ask for.
///
/// # Errors
/// [`Code::LockActive`]. Whoever has no access in the first place goes on to be told just that, in the same
/// answer as without the lock: it shows nobody that a server exists.
pub(crate) fn keep_out(world: &World, trip: &Trip) -> Result<(), Refusal> {
    let locks = world.snapshot.locks();
    let facts = facts(trip);
    let Some(lock) = locks.stopping(&facts, trip.started) else { return Ok(()) };
    let server = world.snapshot.environment(trip.environment.as_str());
    let server = server.and_then(|environment| environment.server(trip.server.as_str()));
    let has_access =
        trip.actor.as_ref().zip(server).is_some_and(|(actor, server)| {
            server.candidates(actor, Wanted::List, trip.started).next().is_some()
        });
    if has_access { Err(Refusal::new(Code::LockActive).stopped_by(&lock.id)) } else { Ok(()) }
}

/// Stops what was permitted where a lock matches it.
///
/// # Errors
/// [`Code::LockActive`].
pub(super) fn heed(world: &World, trip: &Trip, aim: &Aim, permit: &Permit) -> Result<(), Refusal> {
    let tool = match aim {
        Aim::Tool(name) => Some(&**name),
        Aim::Method(..) | Aim::Session(_) | Aim::Within(_) => None,
    };
    let facts = LockFacts { tool, binding: Some(&permit.binding().spec), ..facts(trip) };
    match world.snapshot.locks().stopping(&facts, trip.started) {
        Some(lock) => Err(Refusal::new(Code::LockActive).stopped_by(&lock.id).under(permit)),
        None => Ok(()),
    }
}

fn facts(trip: &Trip) -> LockFacts<'_> {
    LockFacts {
        environment: Some(&trip.environment),
        server: Some(&trip.server),
        actor: trip.actor.as_deref(),
        ..LockFacts::default()
    }
}
