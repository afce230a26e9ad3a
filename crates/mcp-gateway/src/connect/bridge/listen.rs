//! What the server says on its own in a session of the older generation: one stream that stays open, and is
//! taken up again for as long as the client is there.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};

use super::answer::is_stream;
use super::events::{Events, Place};
use super::send::Outgoing;
use super::{Ending, Wire};

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(15);

/// What became of one try.
enum Tried {
    /// It was open, and is not any more.
    Closed,
    /// The door has no such stream.
    NotOffered,
    /// The session is gone.
    Gone,
    /// Not now.
    Failed,
}

/// Listens until the session ends.
pub(super) async fn listen(wire: Arc<Wire>) {
    let ending = Ending::new();
    let former = {
        let mut talk = wire.talk();
        let former = talk.listening.replace(ending.clone());
        drop(talk);
        former
    };
    if let Some(former) = former {
        former.cancel();
    }
    tokio::select! {
        () = ending.cancelled() => {}
        () = keep_listening(&wire) => {}
    }
}

async fn keep_listening(wire: &Wire) {
    let (mut place, mut failures) = (Place::default(), 0_u32);
    loop {
        let session = wire.talk().session();
        match once(wire, &mut place).await {
            Tried::NotOffered => return,
            Tried::Closed => failures = 0,
            Tried::Failed => failures = failures.saturating_add(1),
            Tried::Gone => {
                place = Place::default();
                let Some(session) = session else { return };
                if !wire.renew_session(&session).await {
                    failures = failures.saturating_add(1);
                }
            }
        }
        let pause = place.retry.saturating_mul(1 << failures.min(6));
        tokio::time::sleep(pause.min(LONGEST)).await;
    }
}

async fn once(wire: &Wire, place: &mut Place) -> Tried {
    let last: Option<HeaderValue> = place.last.clone();
    let outgoing = Outgoing::without_body(Method::GET, last.as_ref());
    let Ok(answer) = Box::pin(wire.send(&outgoing)).await else { return Tried::Failed };
    match answer.status {
        StatusCode::NOT_FOUND => return Tried::Gone,
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => return Tried::NotOffered,
        status if !status.is_success() || !is_stream(&answer.headers) => return Tried::Failed,
        _ => {}
    }
    let mut events = Events::of(answer);
    while let Ok(Some(message)) = events.next(place).await {
        wire.pass_on(message).await;
    }
    Tried::Closed
}
