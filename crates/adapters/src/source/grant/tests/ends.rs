//! Grants that end: by the provider's word, by a gateway that died, by a person.

use gateway_core::id::Revision;
use gateway_core::lifecycle::{create_grant, end_grant};
use gateway_core::manifest::Spec;
use gateway_core::ports::{Revocations as _, StateWriter as _};
use gateway_core::revocation::{ReturnState, Way};
use gateway_core::state::{GrantEnd, Lifecycle, RevisionRecord};

use super::*;

#[tokio::test]
async fn a_refused_refresh_token_ends_the_grant() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.refuses(400, "invalid_grant");
    world.pass(301);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(world.ended(&grant), Some(GrantEndReason::Refused));
    assert_eq!(world.stored(&grant), None, "its tokens are deleted");
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(world.refreshes(), ["r-1"], "and never sent again");
    let outbox = world.state.outbox(10).await.unwrap();
    let ended = &outbox.last().unwrap().event;
    assert_eq!((ended.kind, ended.answer.as_deref()), (EventKind::GrantEnded, Some("invalid_grant")));
    assert_eq!(ended.reason.as_deref(), Some("refused"));
    assert!(world.state.unassigned().await.unwrap().is_empty(), "nothing is left to do");
}

#[tokio::test]
async fn tokens_that_a_grants_end_left_in_the_store_are_deleted_by_whoever_comes_next() {
    for replaced in [false, true] {
        let world = World::new().await;
        let grants = world.replica();
        let grant = world.granted(&grants, Some("r-1")).await;
        // The end is committed; the gateway is killed before it deletes anything.
        let state = world.state.now();
        let event = Event::new(EventKind::GrantEnded, world.clock.now());
        let change = if replaced {
            let next = GrantRecord { id: "next".to_owned(), ..(*grant).clone() };
            create_grant(&state, next, &event)
        } else {
            let end = GrantEnd { at: world.clock.now(), reason: GrantEndReason::Refused };
            end_grant(&state, &grant.id, end, &event).unwrap()
        };
        world.state.commit(change).await.unwrap();
        let left = world.state.unassigned().await.unwrap();
        let [one] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!((one.subject.grant.as_ref(), one.asks()), (Some(&grant.id), true));
        let Way::Delete { grant: named } = &one.way else { panic!("{one:?}") };
        assert!(world.stored(&grant).is_some());
        assert_eq!(world.replica().delete_ended(named).await.state, ReturnState::Ended);
        assert_eq!(world.stored(&grant), None);
        assert!(world.provider.asked("/revoke").is_empty(), "that could end the new grant too");
    }
}

#[tokio::test]
async fn a_persons_own_end_outlives_the_gateway_that_took_it() {
    let world = World::new().await;
    let grant = world.granted(&world.replica(), Some("r-1")).await;
    let end = GrantEnd { at: world.clock.now(), reason: GrantEndReason::Revoked };
    let event = Event::new(EventKind::GrantEnded, world.clock.now());
    let mut state = world.state.now();
    let spec = Spec::Provider((*world.spec).clone());
    state.revisions.push(RevisionRecord {
        key: spec.key(),
        revision: Revision(1),
        content: spec.content_hash(),
        spec,
        status: Lifecycle::Active,
        author: "ada".parse().unwrap(),
        created_at: world.clock.now(),
        changed_at: world.clock.now(),
        approvals: Vec::new(),
        pins: None,
    });
    let change = end_grant(&state, &grant.id, end, &event).unwrap();
    world.state.commit(change).await.unwrap();
    let left = world.state.unassigned().await.unwrap();
    let [one] = left.as_slice() else { panic!("{left:?}") };
    let Way::Grant { provider, grant: named } = &one.way else { panic!("{one:?}") };
    assert!(one.due_at.is_some_and(|due| due > world.clock.now()), "whoever ended it has its time");
    let (_, attempt) = world.replica().ask_back(named, Some(provider.as_ref())).await;
    assert_eq!((attempt.state, world.stored(&grant)), (ReturnState::Ended, None));
    assert_eq!(world.provider.asked("/revoke").len(), 2);
}

#[tokio::test]
async fn a_grant_that_was_cut_off_while_it_began_goes_back() {
    let world = World::new().await;
    let grants = world.replica();
    let kept = world.granted(&grants, Some("r-1")).await;
    assert!(world.state.unassigned().await.unwrap().is_empty(), "its beginning struck it out");
    // The store has the tokens of another one, and the state does not take it.
    world.state.conflict_next(8);
    world.provider.answer("/revoke", 503, &[], "");
    let user = UserIdentity { issuer: "https://idp.internal".into(), subject: "bob".into() };
    let tokens = Tokens {
        access_token: Secret::copy_from(b"second"),
        refresh_token: Some(Secret::copy_from(b"r-2")),
        id_token: None,
        lifetime: Duration::from_secs(300),
        scopes: Vec::new(),
    };
    let event = Event::new(EventKind::GrantCreated, world.clock.now());
    grants.create(&world.spec, &user, None, tokens, None, &event).await.unwrap_err();
    let left = world.state.unassigned().await.unwrap();
    let [one] = left.as_slice() else { panic!("{left:?}") };
    let Way::Grant { provider, grant } = &one.way else { panic!("{one:?}") };
    assert_eq!(world.store.paths().len(), 2, "a silent provider is asked again, so the tokens stay");
    world.provider.answer("/revoke", 200, &[], "");
    let (_, attempt) = world.replica().ask_back(grant, Some(provider.as_ref())).await;
    assert_eq!(attempt.state, ReturnState::Ended);
    assert_eq!(world.store.paths(), [format!("grants/{}", kept.id)], "and then they are gone");
}

#[tokio::test]
async fn another_replicas_tokens_are_used_where_ours_were_refused() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.refuses(400, "invalid_grant");
    world.pass(301);
    world.provider.hold();
    let task = {
        let (grants, grant, spec) = (grants.clone(), grant.clone(), world.spec.clone());
        let event = Event::new(EventKind::GrantRefreshed, world.clock.now());
        tokio::spawn(async move { grants.access(&grant, &spec, event).await })
    };
    while world.refreshes().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut newer = world.stored(&grant).unwrap();
    newer["access_token"] = json!("of another replica");
    newer["issued_at"] = json!(world.clock.now());
    newer["expires_at"] = json!(world.clock.now().plus(Duration::from_secs(300)));
    world.store.insert(&format!("grants/{}", grant.id), "grant", newer.to_string().as_bytes());
    world.provider.release();
    assert_eq!(text(&task.await.unwrap().unwrap()), "of another replica");
    assert_eq!(world.ended(&grant), None);
}

#[tokio::test]
async fn a_gateway_that_died_between_answer_and_store_leaves_a_mark_that_is_tried_once() {
    let world = World::new().await;
    let grant = world.granted(&world.replica(), Some("r-1")).await;
    world.leave_mark(&grant, "1").await;
    world.refuses(400, "invalid_grant");
    world.pass(301);
    let survivor = world.replica();
    assert_eq!(world.token(&survivor, &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(world.ended(&grant), Some(GrantEndReason::Interrupted));
    assert_eq!(world.refreshes(), ["r-1"]);
    assert_eq!(world.mark(&grant).await, None);
}

#[tokio::test]
async fn a_gateway_that_died_before_it_asked_harms_nothing() {
    let world = World::new().await;
    let grant = world.granted(&world.replica(), Some("r-1")).await;
    world.leave_mark(&grant, "1").await;
    world.answers("second", "r-2");
    world.pass(301);
    assert_eq!(world.token(&world.replica(), &grant).await.unwrap(), "second");
    assert_eq!(world.ended(&grant), None);
    assert_eq!(world.mark(&grant).await, None);
}

#[tokio::test]
async fn a_gateway_that_died_after_it_stored_leaves_a_mark_of_no_meaning() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.answers("second", "r-2");
    world.pass(301);
    world.token(&grants, &grant).await.unwrap();
    world.leave_mark(&grant, "1").await;
    world.refuses(400, "invalid_grant");
    world.pass(301);
    assert_eq!(world.token(&world.replica(), &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(world.ended(&grant), Some(GrantEndReason::Refused), "nothing of this version was interrupted");
}

#[tokio::test]
async fn a_grant_without_refresh_token_ends_with_its_access_token() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, None).await;
    world.pass(299);
    assert_eq!(world.token(&grants, &grant).await.unwrap(), "first");
    world.pass(1);
    assert_eq!(world.token(&grants, &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(world.ended(&grant), Some(GrantEndReason::Refused));
    assert_eq!(world.refreshes(), [""; 0]);
}

#[tokio::test]
async fn giving_back_asks_for_both_tokens_and_deletes_them() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.token(&grants, &grant).await.unwrap();
    assert_eq!(grants.forget(&grant), 1);
    let given = grants.give_back(&grant, Some(&world.spec)).await;
    assert!(given.is_revoked() && given.deleted, "{given:?}");
    assert_eq!(given.answer(), "revoked");
    let asked: Vec<_> = world
        .provider
        .asked("/revoke")
        .iter()
        .map(|asked| ["token", "token_type_hint"].map(|name| asked.parameter(name).unwrap().to_owned()))
        .collect();
    assert_eq!(asked, [["r-1", "refresh_token"], ["first", "access_token"]]);
    assert_eq!(world.stored(&grant), None);
    assert_eq!(
        world.token(&grants, &grant).await.unwrap_err(),
        Code::GrantMissing,
        "whatever a snapshot says"
    );
}

#[tokio::test]
async fn nothing_is_called_revoked_that_the_provider_did_not_call_so() {
    for (status, body, answer) in
        [(400, r#"{"error":"unsupported_token_type"}"#, "unsupported_token_type"), (302, "", "http_302")]
    {
        let world = World::new().await;
        let grants = world.replica();
        let grant = world.granted(&grants, Some("r-1")).await;
        world.provider.answer("/revoke", status, &[], body);
        let given = grants.give_back(&grant, Some(&world.spec)).await;
        assert!(!given.is_revoked() && given.deleted, "{given:?}");
        assert_eq!(given.answer(), answer);
    }
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.provider.answer("/revoke", 503, &[], "");
    let given = grants.give_back(&grant, Some(&world.spec)).await;
    assert_eq!((given.is_revoked(), given.deleted, given.answer().as_str()), (false, false, "http_503"));
    assert_eq!(given.trouble.as_deref(), Some("provider.unavailable"));
    assert_eq!(world.provider.asked("/revoke").len(), 6, "three times for each token");
    assert!(world.stored(&grant).is_some(), "so that somebody can ask again");
    let mut spec = (*world.spec).clone();
    let token = format!("{}/token", world.provider.issuer());
    spec.endpoints = Some(serde_json::from_value(json!({ "token": token })).unwrap());
    let given = grants.give_back(&grant, Some(&spec)).await;
    assert_eq!((given.is_revoked(), given.answer().as_str()), (false, "not_offered"));
    let again = grants.give_back(&grant, Some(&spec)).await;
    assert_eq!(again.trouble.as_deref(), Some("secret.missing"));
    assert!(!again.is_revoked());
}

#[tokio::test]
async fn a_new_grant_replaces_the_old_one_and_its_tokens() {
    let world = World::new().await;
    let grants = world.replica();
    let old = world.granted(&grants, Some("r-1")).await;
    let new = world.granted(&grants, Some("r-2")).await;
    assert_eq!(world.ended(&old), Some(GrantEndReason::Replaced));
    assert_eq!(world.ended(&new), None);
    assert_eq!((world.stored(&old), world.stored(&new).is_some()), (None, true));
    assert!(world.provider.asked("/revoke").is_empty(), "that could end the new grant too");
    assert_eq!(world.token(&grants, &old).await.unwrap_err(), Code::GrantMissing);
}

#[tokio::test]
async fn a_grant_that_cannot_be_kept_is_given_back() {
    let world = World::new().await;
    let grants = world.replica();
    world.state.set_down(true);
    let user = UserIdentity { issuer: "https://idp.internal".into(), subject: "alice".into() };
    let tokens = Tokens {
        access_token: Secret::copy_from(b"first"),
        refresh_token: Some(Secret::copy_from(b"r-1")),
        id_token: None,
        lifetime: Duration::from_secs(300),
        scopes: Vec::new(),
    };
    let event = Event::new(EventKind::GrantCreated, world.clock.now());
    let refusal = grants.create(&world.spec, &user, None, tokens, None, &event).await.unwrap_err();
    assert_eq!(refusal.code(), Code::StateStale);
    let asked = world.provider.asked("/revoke");
    assert_eq!(asked[0].parameter("token"), Some("r-1"));
    assert_eq!(world.store.paths(), [""; 0], "nothing of it stays in the store");
}

#[tokio::test]
async fn a_grants_end_is_filed_before_the_provider_is_asked_and_settled_by_its_answer() {
    let world = World::new().await;
    let grants = world.replica();
    let grant = world.granted(&grants, Some("r-1")).await;
    world.provider.answer("/revoke", 503, &[], "");
    grants.give_back(&grant, Some(&world.spec)).await;
    let filed = world.state.unassigned().await.unwrap();
    let said: Vec<_> = filed.iter().map(|one| (one.state, one.tries, one.asks())).collect();
    assert_eq!(said, [(ReturnState::Unanswered, 1, true)]);
    let record = serde_json::to_string(&filed[0]).unwrap();
    assert!(!record.contains("r-1") && !record.contains("\"first\""), "{record}");
    world.provider.answer("/revoke", 200, &[], "");
    grants.give_back(&grant, Some(&world.spec)).await;
    let filed = world.state.unassigned().await.unwrap();
    assert_eq!((filed.len(), filed[0].state), (1, ReturnState::Ended));
    // Its tokens are gone: asking once more does not make it undone.
    grants.give_back(&grant, Some(&world.spec)).await;
    assert_eq!(world.state.unassigned().await.unwrap()[0].state, ReturnState::Ended);
}
