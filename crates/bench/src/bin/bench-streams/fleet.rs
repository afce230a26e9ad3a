//! All streams of a run.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway_bench::Failure;
use http::HeaderValue;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::board::{Board, Seat};
use crate::follow::follow;
use crate::open::{Door, Opened, end, open};

/// How many streams are being opened at any time.
const AT_ONCE: usize = 32;
/// How long a stream may take to open.
const PATIENCE: Duration = Duration::from_secs(60);

/// Streams under way; dropping it closes their connections.
pub(crate) struct Fleet {
    streams: Vec<Stream>,
}

struct Stream {
    seat: Rc<Seat>,
    connection: JoinHandle<()>,
    reader: JoinHandle<()>,
    session: Option<(Door, HeaderValue)>,
    _sender: SendRequest<Full<Bytes>>,
}

impl Fleet {
    /// Opens this many streams; how long each took until its first event had arrived. The doors take
    /// turns, and the generations too.
    ///
    /// # Errors
    /// The first stream that did not open.
    pub(crate) async fn open(
        doors: &[Door],
        count: usize,
        board: &Rc<Board>,
    ) -> Result<(Self, Vec<Duration>), Failure> {
        let opened = Rc::new(RefCell::new((Vec::with_capacity(count), Vec::with_capacity(count))));
        let (doors, next) = (Rc::new(doors.to_vec()), Rc::new(std::cell::Cell::new(0)));
        let mut openers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (board, opened) = (Rc::clone(board), Rc::clone(&opened));
            let (doors, next) = (Rc::clone(&doors), Rc::clone(&next));
            openers.spawn_local(async move {
                while next.get() < count {
                    let number = next.replace(next.get() + 1);
                    // Both generations go to every door.
                    let door = doors.get(number / 2 % doors.len()).ok_or("no door")?;
                    let start = Instant::now();
                    let stream = one(door, number % 2 == 0, &board).await?;
                    opened.borrow_mut().0.push(stream);
                    opened.borrow_mut().1.push(start.elapsed());
                }
                Ok::<_, String>(())
            });
        }
        while let Some(done) = openers.join_next().await {
            done??;
        }
        let (streams, mut latencies) = opened.take();
        latencies.sort_unstable();
        Ok((Self { streams }, latencies))
    }

    /// The upstream's numbers of `count` streams, spread over all of them.
    pub(crate) fn sample(&self, count: usize) -> Vec<u64> {
        // An odd step takes both generations.
        let step = (self.streams.len() / count.max(1)).max(1) | 1;
        self.streams.iter().step_by(step).take(count).map(|stream| stream.seat.number.get()).collect()
    }

    /// Makes the clients of these streams stop reading while the board is paused.
    pub(crate) fn pausable(&self, numbers: &[u64]) {
        for stream in &self.streams {
            stream.seat.pausable.set(numbers.contains(&stream.seat.number.get()));
        }
    }

    /// Closes all connections, and then ends the sessions as a client that is done with them does.
    ///
    /// # Errors
    /// The first session that did not end.
    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        let mut sessions: Vec<_> = self.streams.iter_mut().filter_map(|it| it.session.take()).collect();
        drop(self);
        let mut enders = JoinSet::new();
        while let Some((door, session)) = sessions.pop() {
            if enders.len() >= AT_ONCE
                && let Some(done) = enders.join_next().await
            {
                done??;
            }
            enders.spawn_local(async move { end(&door, session).await.map_err(|why| why.to_string()) });
        }
        while let Some(done) = enders.join_next().await {
            done??;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for stream in &self.streams {
            stream.reader.abort();
            stream.connection.abort();
        }
    }
}

async fn one(door: &Door, modern: bool, board: &Rc<Board>) -> Result<Stream, String> {
    let opening = async {
        let opened = open(door, modern).await.map_err(|why| why.to_string())?;
        let Opened { body, connection, session, sender } = opened;
        let seat = Board::seat();
        let reader = tokio::task::spawn_local(follow(body, Rc::clone(&seat), Rc::clone(board)));
        seat.opened().await;
        let session = session.map(|session| (door.clone(), session));
        Ok::<_, String>(Stream { seat, connection, reader, session, _sender: sender })
    };
    let generation = if modern { "modern" } else { "legacy" };
    match tokio::time::timeout(PATIENCE, opening).await {
        Ok(opened) => opened.map_err(|why| format!("a {generation} stream did not open: {why}")),
        Err(_) => Err(format!("a {generation} stream had no event within {PATIENCE:?}")),
    }
}
