//! Reads one stream, event by event.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::board::{Board, Seat};

/// Reads until the stream ends, which nobody asked for: those that are ended are aborted.
pub(crate) async fn follow(mut body: Incoming, seat: Rc<Seat>, board: Rc<Board>) {
    let mut held = BytesMut::new();
    loop {
        board.readable(&seat).await;
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    held.extend_from_slice(&data);
                    events(&mut held, &seat, &board);
                }
            }
            Some(Err(error)) => return board.ended(&error.to_string()),
            None => return board.ended("its end"),
        }
    }
}

fn events(held: &mut BytesMut, seat: &Seat, board: &Board) {
    while let Some(end) = held.windows(2).position(|pair| pair == b"\n\n") {
        let event = held.split_to(end);
        held.advance(2);
        board.event(seat, &event);
    }
    if held.is_empty() {
        // Ten thousand clients in one process: none keeps a buffer it does not need.
        *held = BytesMut::new();
    }
}
