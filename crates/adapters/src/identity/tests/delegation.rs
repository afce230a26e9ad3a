//! Who a token speaks for: a person, a client, somebody acting for a person.

use super::*;

#[tokio::test]
async fn client_credentials_have_no_person() {
    let world = World::new().await;
    for (changes, person) in [
        (json!({"sub": "alice", "client_id": "cli"}), true),
        (json!({"sub": "cli", "client_id": "cli"}), false),
        (json!({"sub": "cli", "client_id": null, "azp": "cli"}), false),
        (json!({"sub": "cli@clients", "client_id": "cli"}), false),
        (json!({"sub": "alice", "gty": "client-credentials"}), false),
        (json!({"sub": "0f-uuid", "client_id": "Bot", "preferred_username": "service-account-bot"}), false),
        (json!({"sub": "alice", "client_id": null}), true),
    ] {
        let identity = world.judge(&changes).await.unwrap();
        assert_eq!(identity.claims().user.is_some(), person, "{changes}");
    }
}

#[tokio::test]
async fn the_outermost_actor_of_the_same_issuer_counts() {
    let world = World::new().await;
    let chain = json!({"act": {"sub": "outer-bot", "act": {"sub": "inner-bot"}}});
    let identity = world.judge(&chain).await.unwrap();
    assert_eq!(identity.claims().act_subject.as_deref(), Some("outer-bot"));
    assert_eq!(&*identity.claims().user.as_ref().unwrap().subject, "alice");
    let elsewhere = json!({"act": {"sub": "outer-bot", "iss": "https://other.example"}});
    assert_eq!(world.judge(&elsewhere).await.unwrap().claims().act_subject, None);
}

#[tokio::test]
async fn the_subject_is_the_configured_claim() {
    let world = World::with(&json!({"subject_claim": "employee_id"})).await;
    let identity = world.judge(&json!({"employee_id": "e-17"})).await.unwrap();
    assert_eq!(&*identity.claims().user.as_ref().unwrap().subject, "e-17");
    assert_eq!(world.judge(&json!({})).await.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn each_audience_opens_its_own_doors() {
    let audiences = json!([
        {"value": "api://dev", "environment": "dev"},
        {"value": "api://prod", "environment": "production", "servers": ["github", "jira"]},
    ]);
    let world = World::with(&json!({"audience": null, "audiences": audiences})).await;
    let opens = async |audience: Value| {
        let identity = world.judge(&json!({"aud": audience})).await.unwrap();
        let name = |environment: &str| gateway_core::id::EnvironmentName::parse(environment).unwrap();
        let server = |server: &str| gateway_core::id::ServerName::parse(server).unwrap();
        [("dev", "github"), ("dev", "other"), ("production", "github"), ("production", "other")]
            .map(|(environment, to)| identity.opens(&name(environment), &server(to), at(0)))
    };
    assert_eq!(opens(json!("api://dev")).await, [true, true, false, false]);
    assert_eq!(opens(json!("api://prod")).await, [false, false, true, false]);
    assert_eq!(opens(json!(["api://dev", "api://prod"])).await, [true, true, true, false]);
}
