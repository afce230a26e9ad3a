//! Whether the request that is being answered has written anything: what an answer's status cannot say.

use std::cell::Cell;
use std::future::Future;

tokio::task_local! {
    static WROTE: Cell<Wrote>;
}

/// What a request has done to the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrote {
    /// Nothing: it can be sent again.
    Nothing,
    /// A change, or perhaps one: the state did not answer whether it took it.
    Perhaps,
}

/// Runs what answers a request, and says whether it wrote.
pub(crate) async fn watched<T>(answering: impl Future<Output = T>) -> (T, Wrote) {
    let answered = async {
        let answer = answering.await;
        (answer, WROTE.with(Cell::get))
    };
    WROTE.scope(Cell::new(Wrote::Nothing), answered).await
}

/// Told before a change is handed to the state: from there on it may have been taken. Gives what held before, to which
/// [`back_to`] goes back where the state says that it was not.
pub(crate) fn writes() -> Wrote {
    WROTE.try_with(|cell| cell.replace(Wrote::Perhaps)).unwrap_or(Wrote::Nothing)
}

/// Told where the state has not taken the change.
pub(crate) fn back_to(before: Wrote) {
    // Outside of a request with a key nobody asks.
    if WROTE.try_with(|cell| cell.set(before)).is_err() {
        tracing::trace!("a change was refused outside of a request with a key");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_wrote_says_so_and_the_next_one_does_not() {
        assert_eq!(watched(async { 1 }).await, (1, Wrote::Nothing));
        assert_eq!(watched(async { writes() }).await, (Wrote::Nothing, Wrote::Perhaps));
        assert_eq!(watched(async { back_to(writes()) }).await.1, Wrote::Nothing, "the state refused it");
        let twice = async {
            writes();
            back_to(writes());
        };
        assert_eq!(watched(twice).await.1, Wrote::Perhaps, "the first of two was taken");
        assert_eq!(writes(), Wrote::Nothing);
        assert_eq!(watched(async {}).await.1, Wrote::Nothing, "each request is asked about alone");
    }
}
