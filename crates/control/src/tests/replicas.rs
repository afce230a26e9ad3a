//! What was ended is over when it is over on every replica.

use super::*;

/// Switches the lag on, acts, and says how it was answered.
async fn with_others_behind(office: &Office, path: &str) -> Answer {
    office.world.others_lag.store(true, Ordering::SeqCst);
    office.post("alice", path, Value::Null).await
}

#[tokio::test]
async fn no_end_is_called_complete_while_a_replica_has_not_followed() {
    for path in [
        "/v1/bindings/production/bot-github/revoke",
        "/v1/bindings/production/bot-github/disable",
        "/v1/agents/bot/revoke",
        "/v1/agents/bot/disable",
    ] {
        let office = Office::production().await;
        let answer = with_others_behind(&office, path).await;
        assert_eq!((answer.status, answer.code()), (503, "revocation.incomplete"), "{path}");
        assert!(!office.saw(EventKind::RevocationCompleted), "{path}");
        assert_eq!(*office.world.awaited.lock().unwrap(), [office.state.now().epoch], "{path}");
    }
}

#[tokio::test]
async fn a_grants_tokens_are_not_given_back_while_a_replica_may_still_refresh_them() {
    let office = grants::office().await;
    let answer = with_others_behind(&office, "/v1/grants/00aa/revoke").await;
    assert_eq!((answer.status, answer.code()), (503, "revocation.incomplete"));
    assert!(!office.saw(EventKind::CredentialReturned));
    office.world.others_lag.store(false, Ordering::SeqCst);
    let answer = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    assert_eq!((answer.status, &answer.body["revoked_at_provider"]), (200, &json!(true)), "{}", answer.body);
}

#[tokio::test]
async fn what_ends_nothing_waits_for_nobody() {
    let office = Office::production().await;
    let before = office.world.awaited.lock().unwrap().len();
    let answer = office.get("carol", "/v1/bindings").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(office.world.awaited.lock().unwrap().len(), before);
}
