use std::collections::BTreeMap;

use gateway_core::id::{BindingName, EnvironmentName, Revision, ServerName};
use gateway_core::manifest::{ChildLimits, ContentHash, StdioRoute};

use super::*;
use crate::path::admit::Verb;

fn child(spoken: Generation) -> (Arc<Child>, Ends) {
    let (environment, limits) = (BTreeMap::new(), ChildLimits::default());
    let command = vec!["/bin/cat".to_owned()];
    let (directory, generation, timeout_seconds) = (None, None, 1);
    let route = &StdioRoute { command, environment, directory, limits, generation, timeout_seconds };
    let binding = (EnvironmentName::parse("dev").unwrap(), BindingName::parse("b").unwrap());
    let server = ServerName::parse("s").unwrap();
    let hash = ContentHash::of(b"");
    let standing = Standing { binding, revision: Revision(1), server, route: hash, version: None };
    let now = Timestamp::from_seconds(0);
    let (verb, body) = (Verb::Post, Bytes::new());
    let ask = Ask {
        route,
        standing,
        actor: "a",
        who: None,
        now,
        generation: spoken,
        verb,
        session: None,
        body,
        look: None,
    };
    Child::new("name".to_owned(), &ask)
}

fn call() -> (RawId, Message, Bytes) {
    let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t"}}"#);
    let message = Message::parse(&body).unwrap();
    (message.id().cloned().unwrap(), message, body)
}

#[tokio::test]
async fn a_process_that_is_being_replaced_takes_no_call_and_hears_nothing_of_it() {
    for generation in [Generation::Legacy, Generation::Modern] {
        let (child, mut ends) = child(generation);
        let (id, message, body) = call();
        child.drain();
        let refused = child.ask(&id, &message, &body, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::ProcessReplaced);
        assert_eq!(child.tell(&body).await.unwrap_err().code(), Code::ProcessReplaced);
        assert!(ends.input.try_recv().is_err(), "nothing was sent, so it may be sent elsewhere");
        assert_eq!(*ends.stop.borrow(), Stop::Finish);
    }
}

#[tokio::test]
async fn a_process_that_is_being_replaced_still_answers_what_it_was_asked_before() {
    let (child, ends) = child(Generation::Legacy);
    let (id, message, body) = call();
    let mut ticket = child.ask(&id, &message, &body, false).await.unwrap();
    child.drain();
    assert_eq!(*ends.stop.borrow(), Stop::Run);
    child.deliver(Bytes::from_static(br#"{"jsonrpc":"2.0","id":5,"result":{}}"#)).await.unwrap();
    assert!(matches!(ticket.pieces.recv().await, Some(Piece::Answer(_))));
    assert_eq!(*ends.stop.borrow(), Stop::Finish);
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels_and_an_older_one_does_not() {
    for (generation, cancels) in [(Generation::Legacy, false), (Generation::Modern, true)] {
        let (child, mut ends) = child(generation);
        let (id, message, body) = call();
        drop(child.ask(&id, &message, &body, false).await.unwrap());
        assert!(ends.input.try_recv().is_ok(), "the call itself");
        let more = ends.input.try_recv().map(|line| String::from_utf8_lossy(&line).into_owned());
        assert_eq!(more.is_ok_and(|line| line.contains("notifications/cancelled")), cancels);
    }
}
