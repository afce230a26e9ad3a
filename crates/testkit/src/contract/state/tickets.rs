//! Tickets: single use, gone when expired, seen by every replica.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::ports::{Ticket, TicketKind, Tickets};
use gateway_core::time::Timestamp;

use super::NOW;

const MINUTE: Duration = Duration::from_secs(60);

fn ticket(kind: TicketKind, key: &str, content: &str) -> Ticket {
    Ticket { kind, key: key.to_owned(), content: content.to_owned(), expires_at: NOW.plus(MINUTE) }
}

/// Plays the whole battery over two handles of one empty place.
pub async fn run(one: Arc<dyn Tickets>, other: Arc<dyn Tickets>) {
    a_ticket_is_written_once_and_taken_once(&*one, &*other).await;
    replacing_compares(&*one, &*other).await;
    what_has_expired_is_as_if_absent(&*one, &*other).await;
    those_of_a_kind_are_listed_while_they_live(&*one, &*other).await;
    of_many_who_race_one_wins(&one, &other).await;
}

async fn a_ticket_is_written_once_and_taken_once(one: &dyn Tickets, other: &dyn Tickets) {
    let first = ticket(TicketKind::Connect, "key", "{\"user\":\"ü \\u0000 '\"}");
    assert_eq!(one.read(TicketKind::Connect, "key", NOW).await, Ok(None));
    assert_eq!(one.take(TicketKind::Connect, "key", NOW).await, Ok(None));
    assert_eq!(one.insert(&first, NOW).await, Ok(true));
    let second = ticket(TicketKind::Connect, "key", "{}");
    assert_eq!(other.insert(&second, NOW).await, Ok(false), "a living one has the key");
    for kind in TicketKind::ALL {
        let expected = (kind == TicketKind::Connect).then(|| first.clone());
        assert_eq!(other.read(kind, "key", NOW).await, Ok(expected), "a kind of its own: {kind:?}");
    }
    assert_eq!(other.take(TicketKind::Login, "key", NOW).await, Ok(None));
    assert_eq!(other.take(TicketKind::Connect, "Key", NOW).await, Ok(None));
    assert_eq!(other.take(TicketKind::Connect, "key", NOW).await, Ok(Some(first)));
    assert_eq!(one.take(TicketKind::Connect, "key", NOW).await, Ok(None));
    assert_eq!(one.insert(&second, NOW).await, Ok(true), "the key is free again");
    for kind in TicketKind::ALL.into_iter().filter(|kind| *kind != TicketKind::Connect) {
        assert_eq!(one.insert(&ticket(kind, "key", kind.word()), NOW).await, Ok(true), "{kind:?}");
    }
    for kind in TicketKind::ALL {
        let taken = other.take(kind, "key", NOW).await.unwrap().unwrap();
        assert_eq!(taken.kind, kind);
    }
}

async fn replacing_compares(one: &dyn Tickets, other: &dyn Tickets) {
    let kind = TicketKind::RefreshFamily;
    let longer = Ticket { expires_at: NOW.plus(2 * MINUTE), ..ticket(kind, "family", "2") };
    assert_eq!(one.replace("1", &longer, NOW).await, Ok(false), "nothing to replace");
    assert_eq!(one.insert(&ticket(kind, "family", "1"), NOW).await, Ok(true));
    assert_eq!(other.replace("0", &longer, NOW).await, Ok(false));
    assert_eq!(other.replace("1", &longer, NOW).await, Ok(true));
    assert_eq!(one.replace("1", &ticket(kind, "family", "3"), NOW).await, Ok(false), "it was replaced");
    assert_eq!(one.read(kind, "family", NOW).await, Ok(Some(longer.clone())));
    let end = longer.expires_at;
    assert_eq!(one.replace("2", &ticket(kind, "family", "3"), end).await, Ok(false), "it has expired");
    assert_eq!(one.take(kind, "family", NOW).await, Ok(Some(longer)));
}

async fn what_has_expired_is_as_if_absent(one: &dyn Tickets, other: &dyn Tickets) {
    let kind = TicketKind::Replay;
    let short = ticket(kind, "jti", "short");
    assert_eq!(one.insert(&short, NOW).await, Ok(true));
    let before = Timestamp::from_micros(short.expires_at.micros() - 1);
    assert_eq!(other.read(kind, "jti", before).await, Ok(Some(short.clone())));
    assert_eq!(other.insert(&short, before).await, Ok(false));
    let end = short.expires_at;
    assert_eq!(other.read(kind, "jti", end).await, Ok(None));
    assert_eq!(other.take(kind, "jti", end).await, Ok(None));
    let next = Ticket { expires_at: end.plus(MINUTE), ..ticket(kind, "jti", "next") };
    assert_eq!(other.insert(&next, end).await, Ok(true), "before anybody swept");
    assert_eq!(one.read(kind, "jti", end).await, Ok(Some(next)));
    assert_eq!(one.insert(&Ticket { expires_at: end, ..ticket(kind, "over", "") }, NOW).await, Ok(true));
    assert_eq!(other.sweep(NOW).await, Ok(0));
    assert_eq!(other.sweep(end).await, Ok(1));
    assert_eq!(other.sweep(end.plus(MINUTE)).await, Ok(1));
}

async fn of_many_who_race_one_wins(one: &Arc<dyn Tickets>, other: &Arc<dyn Tickets>) {
    for round in 0..10 {
        let key = format!("race-{round}");
        let inserts = race(one, other, |tickets, number| {
            let ticket = ticket(TicketKind::RefreshLock, &key, &number.to_string());
            async move { tickets.insert(&ticket, NOW).await.unwrap() }
        });
        assert_eq!(inserts.await, 1, "one holds the lock");
        let takes = race(one, other, |tickets, _| {
            let key = key.clone();
            async move { tickets.take(TicketKind::RefreshLock, &key, NOW).await.unwrap().is_some() }
        });
        assert_eq!(takes.await, 1, "one takes it");
    }
}

async fn race<F>(
    one: &Arc<dyn Tickets>,
    other: &Arc<dyn Tickets>,
    act: impl Fn(Arc<dyn Tickets>, usize) -> F,
) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let tasks: Vec<_> = (0..8)
        .map(|number| tokio::spawn(act(Arc::clone(if number % 2 == 0 { one } else { other }), number)))
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    winners
}

async fn those_of_a_kind_are_listed_while_they_live(one: &dyn Tickets, other: &dyn Tickets) {
    let kind = TicketKind::Replica;
    let longer = Ticket { expires_at: NOW.plus(2 * MINUTE), ..ticket(kind, "listed-2", "2") };
    for written in [&ticket(kind, "listed-1", "1"), &longer, &ticket(TicketKind::Client, "listed-3", "3")] {
        assert_eq!(one.insert(written, NOW).await, Ok(true));
    }
    let keys = |mut listed: Vec<Ticket>| {
        listed.retain(|ticket| ticket.key.starts_with("listed-"));
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        listed
    };
    let listed = keys(other.list(kind, NOW).await.unwrap());
    assert_eq!(listed, [ticket(kind, "listed-1", "1"), longer.clone()]);
    assert_eq!(keys(other.list(kind, NOW.plus(MINUTE)).await.unwrap()), [longer]);
    for at in [NOW, NOW.plus(MINUTE)] {
        let listed = other.list(kind, at).await.unwrap().len() as u64;
        assert_eq!(one.count(kind, "", at).await, Ok(listed), "the living ones are counted");
    }
    for (beginning, counted) in [("listed-", 2), ("listed-2", 1), ("listed-3", 0), ("isted", 0)] {
        assert_eq!(one.count(kind, beginning, NOW).await, Ok(counted), "{beginning}");
    }
}
