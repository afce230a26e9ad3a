//! Grants: written, ended once, one living per user and provider.

use std::time::Duration;

use gateway_core::id::{EnvironmentName, ProviderName};
use gateway_core::ports::{StateError, StateWriter};
use gateway_core::reference::SecretReference;
use gateway_core::state::{GrantEnd, GrantEndReason, GrantRecord, Operation};
use gateway_core::time::Timestamp;

use super::{NOW, StateDatabase, refuse, write};

const DAY: i64 = 86_400 * 1_000_000;

fn grant(id: &str, user: &str) -> GrantRecord {
    GrantRecord {
        id: id.to_owned(),
        environment: EnvironmentName::parse("dev").unwrap(),
        provider: ProviderName::parse("github").unwrap(),
        user: user.to_owned(),
        account: Some("Ünïcode \u{1F980} | account".to_owned()),
        scopes: vec!["read:issues".to_owned(), "write:issues".to_owned()],
        reference: SecretReference::parse(&format!("vault://kv/grants/{id}#grant")).unwrap(),
        created_at: NOW,
        ended: None,
    }
}

fn insert(grant: GrantRecord) -> Operation {
    Operation::InsertGrant(Box::new(grant))
}

fn end(id: &str, reason: GrantEndReason) -> Operation {
    Operation::EndGrant { id: id.to_owned(), end: GrantEnd { at: NOW, reason } }
}

/// What every state does, one in memory included.
pub async fn grants_are_kept_and_end_once(state: &dyn StateWriter) {
    let (alice, bob) = (grant("g-1", "https://idp.internal|alice"), grant("g-2", "https://idp.internal|bob"));
    let bare =
        GrantRecord { account: None, scopes: Vec::new(), ..grant("g-3", "https://idp.internal|carol") };
    write(state, [&alice, &bob, &bare].map(|grant| insert(grant.clone())).into()).await.unwrap();
    assert_eq!(state.load().await.unwrap().grants, [alice.clone(), bob.clone(), bare.clone()]);
    let second = GrantRecord { id: "g-4".to_owned(), ..alice.clone() };
    refuse(state, "two living grants", vec![insert(second.clone())]).await;
    refuse(
        state,
        "an id used twice",
        vec![insert(GrantRecord { id: "g-2".to_owned(), ..grant("g-7", "i|d") })],
    )
    .await;
    // Replaced in one change.
    write(state, vec![end("g-1", GrantEndReason::Replaced), insert(second.clone())]).await.unwrap();
    refuse(state, "ended twice", vec![end("g-1", GrantEndReason::Revoked)]).await;
    refuse(state, "never there", vec![end("g-9", GrantEndReason::Revoked)]).await;
    refuse(
        state,
        "an ended grant's id",
        vec![insert(GrantRecord { user: "i|e".to_owned(), ..alice.clone() })],
    )
    .await;
    write(state, vec![end("g-2", GrantEndReason::Refused), end("g-3", GrantEndReason::Interrupted)])
        .await
        .unwrap();
    let ended =
        |grant: GrantRecord, reason| GrantRecord { ended: Some(GrantEnd { at: NOW, reason }), ..grant };
    let mut read = state.load().await.unwrap().grants.clone();
    read.sort_by(|one, other| one.id.cmp(&other.id));
    let expected = [
        ended(alice, GrantEndReason::Replaced),
        ended(bob, GrantEndReason::Refused),
        ended(bare, GrantEndReason::Interrupted),
        second,
    ];
    assert_eq!(read, expected);
    // Another environment's or provider's grant of the same user is another grant.
    let elsewhere = GrantRecord {
        environment: EnvironmentName::parse("staging").unwrap(),
        ..grant("g-5", "https://idp.internal|alice")
    };
    let other = GrantRecord {
        provider: ProviderName::parse("gitlab").unwrap(),
        ..grant("g-6", "https://idp.internal|alice")
    };
    write(state, vec![insert(elsewhere), insert(other)]).await.unwrap();
}

pub(super) async fn long_ended_grants_are_not_loaded(database: &dyn StateDatabase) {
    let state = database.open().await;
    let ended = |id: &str, days: i64| {
        let at = Timestamp::from_micros(NOW.micros() - days * DAY);
        let end = GrantEnd { at, reason: GrantEndReason::Revoked };
        GrantRecord { ended: Some(end), ..grant(id, "i|alice") }
    };
    let steps = [ended("today", 0), ended("recent", 29), ended("long-ago", 30), ended("older", 400)];
    write(&*state, steps.map(insert).into()).await.unwrap();
    let ids: Vec<_> = state.load().await.unwrap().grants.iter().map(|grant| grant.id.clone()).collect();
    assert_eq!(ids, ["recent", "today"]);
}

pub(super) async fn the_database_keeps_the_rules_of_grants(database: &dyn StateDatabase) {
    let state = database.open().await;
    write(&*state, vec![insert(grant("g-1", "i|alice")), insert(grant("g-2", "i|bob"))]).await.unwrap();
    write(&*state, vec![end("g-2", GrantEndReason::Revoked)]).await.unwrap();
    for sql in [
        "UPDATE grants SET scopes = '[\"admin\"]'",
        "UPDATE grants SET reference = 'vault://kv/other#grant'",
        "UPDATE grants SET user_id = 'i|mallory'",
        "UPDATE grants SET ended_at = NULL, end_reason = NULL WHERE id = 'g-2'",
        "UPDATE grants SET ended_at = 1 WHERE id = 'g-1'",
        "UPDATE grants SET end_reason = 'bored', ended_at = 1 WHERE id = 'g-1'",
        "DELETE FROM grants WHERE id = 'g-1'",
    ] {
        assert!(database.raw(sql).await.is_err(), "{sql}");
    }
    database.raw("DELETE FROM grants WHERE id = 'g-2'").await.unwrap();
    assert_eq!(state.load().await.unwrap().grants, [grant("g-1", "i|alice")]);
    let later = GrantEnd { at: NOW.plus(Duration::from_secs(1)), reason: GrantEndReason::Revoked };
    let steps = vec![
        Operation::EndGrant { id: "g-1".to_owned(), end: later },
        Operation::EndGrant { id: "g-1".to_owned(), end: later },
    ];
    let refusal = write(&*state, steps).await;
    assert!(matches!(refusal, Err(StateError::Constraint(_))), "{refusal:?}");
    assert_eq!(state.load().await.unwrap().grants, [grant("g-1", "i|alice")], "nothing of it stays");
}
