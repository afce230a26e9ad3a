//! Users' grants: listed and ended by those who own the provider.

use gateway_core::audit::Event;
use gateway_core::grant::GivenBack;
use gateway_core::lifecycle::create_grant;
use gateway_core::operator::{Role, RoleGrant};
use gateway_core::ports::StateWriter as _;
use gateway_core::reference::SecretReference;
use gateway_core::state::GrantRecord;
use gateway_core::time::Timestamp;

use super::*;

fn grant(id: &str, user: &str) -> GrantRecord {
    GrantRecord {
        id: id.to_owned(),
        environment: "dev".parse().unwrap(),
        provider: "notes".parse().unwrap(),
        user: user.to_owned(),
        account: None,
        scopes: vec!["notes.read".to_owned()],
        reference: SecretReference::parse(&format!("sealed://grants/{id}#grant")).unwrap(),
        created_at: Timestamp::from_seconds(1_795_000_000),
        ended: None,
    }
}

pub(super) async fn office() -> Office {
    let office = Office::new();
    let provider = json!({
        "kind": "Provider", "name": "notes", "environment": "dev", "owner": "support",
        "issuer": "https://notes.internal", "client": { "id": "gateway" }, "grants": "sealed://grants",
    });
    let environment = json!({ "kind": "Environment", "name": "dev", "tier": "dev", "approvals": 0 });
    let answer = office.apply("alice", &[environment, provider]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for grant in [grant("00aa", "https://idp|eve"), grant("00bb", "https://idp|mallory")] {
        let event = Event::new(EventKind::GrantCreated, grant.created_at);
        let change = create_grant(&office.state.now(), grant, &event);
        office.state.commit(change).await.unwrap();
    }
    let elsewhere =
        RoleGrant { teams: Some(vec!["billing".parse().unwrap()]), ..RoleGrant::everywhere(Role::Editor) };
    office.people.add("stranger", vec![elsewhere]);
    *office.keeper.answer.lock().unwrap() = GivenBack {
        refresh_token: Some("revoked".to_owned()),
        access_token: Some("revoked".to_owned()),
        deleted: true,
        trouble: None,
    };
    office
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn grants_are_listed_to_those_who_see_the_provider_and_without_their_place() {
    let office = office().await;
    let all = office.get("carol", "/v1/grants").await;
    assert_eq!(ids(&all), ["00aa", "00bb"]);
    assert!(!all.body.to_string().contains("sealed://"), "{}", all.body);
    assert_eq!(ids(&office.get("carol", "/v1/grants?user=https%3A%2F%2Fidp%7Ceve").await), ["00aa"]);
    assert!(ids(&office.get("carol", "/v1/grants?provider=other").await).is_empty());
    assert!(ids(&office.get("stranger", "/v1/grants").await).is_empty(), "another team's provider");
    assert_eq!(office.get("carol", "/v1/grants?token=x").await.status, 400);
    assert_eq!(office.get("", "/v1/grants").await.status, 401);
}

#[tokio::test]
async fn revoking_ends_the_grant_its_calls_and_its_tokens_in_this_order() {
    let office = office().await;
    let answer = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["grant"]["end_reason"], "revoked");
    assert_eq!(answer.body["ended"]["calls"], 2);
    assert_eq!(answer.body["revoked_at_provider"], true);
    assert_eq!(answer.body["deleted"], true);
    assert_eq!(*office.live.ended.lock().unwrap(), ["grant 00aa"]);
    let asked = office.keeper.asked.lock().unwrap().clone();
    assert_eq!(asked, ["forget 00aa", "give back 00aa at https://notes.internal"]);
    assert_eq!(ids(&office.get("carol", "/v1/grants").await), ["00bb"]);
    assert_eq!(ids(&office.get("carol", "/v1/grants?ended=true").await), ["00aa", "00bb"]);
    let events = office.chain.all();
    let ended = events.iter().find(|event| event.kind == EventKind::GrantEnded).unwrap();
    assert!(ended.operator.is_some() && ended.user.as_deref() == Some("https://idp|eve"));
    let returned = events.iter().find(|event| event.kind == EventKind::CredentialReturned).unwrap();
    assert_eq!((returned.answer.as_deref(), returned.grant.as_deref()), (Some("revoked"), Some("00aa")));
}

#[tokio::test]
async fn what_the_provider_did_not_say_is_not_claimed_and_can_be_asked_again() {
    let office = office().await;
    *office.keeper.answer.lock().unwrap() = GivenBack {
        refresh_token: Some("unavailable".to_owned()),
        access_token: None,
        deleted: false,
        trouble: Some("provider.unavailable".to_owned()),
    };
    let answer = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    assert_eq!((answer.status, &answer.body["revoked_at_provider"]), (200, &json!(false)));
    assert_eq!(answer.body["trouble"], "provider.unavailable");
    let epoch = office.state.now().epoch;
    let again = office.post("alice", "/v1/grants/00aa/revoke", Value::Null).await;
    assert_eq!(again.status, 200);
    assert_eq!(office.state.now().epoch, epoch, "it has ended once");
    assert_eq!(office.keeper.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn only_editors_of_the_providers_team_end_a_grant() {
    let office = office().await;
    assert_eq!(
        office.post("carol", "/v1/grants/00aa/revoke", Value::Null).await.code(),
        "operator.forbidden"
    );
    assert_eq!(office.post("stranger", "/v1/grants/00aa/revoke", Value::Null).await.code(), "object.unknown");
    assert_eq!(office.post("alice", "/v1/grants/00cc/revoke", Value::Null).await.code(), "object.unknown");
    assert_eq!(office.post("", "/v1/grants/00aa/revoke", Value::Null).await.status, 401);
    assert!(office.keeper.asked.lock().unwrap().is_empty());
    assert_eq!(office.state.now().grants.iter().filter(|grant| grant.ended.is_some()).count(), 0);
}
