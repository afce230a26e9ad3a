//! Operators: roles by group and by person, and doors that stay apart.

use gateway_core::id::{EnvironmentName, TeamName};
use gateway_core::operator::{Operator, Role, Scope};

use super::super::OidcOperators;
use super::*;

const CONTROL: &str = "https://gateway.internal/control";

fn operators(issuer: &TestIssuer) -> OidcOperators {
    let config = json!({"issuer": issuer.issuer(), "audience": CONTROL, "groups_claim": "groups", "roles": [
        {"role": "editor", "group": "support", "teams": ["support"], "environments": ["dev"]},
        {"role": "auditor", "subject": "alice"},
    ]});
    OidcOperators::new(&[serde_json::from_value(config).unwrap()]).unwrap()
}

async fn operator(issuer: &TestIssuer, changes: &Value) -> Result<Operator, IdentityError> {
    let mut claims = issuer.claims("alice", CONTROL, NOW);
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    operators(issuer).authenticate(&presented(&issuer.sign("es256", &claims)), at(0)).await
}

#[tokio::test]
async fn roles_come_from_groups_and_subjects_with_their_scope() {
    let issuer = TestIssuer::start().await;
    let alice = operator(&issuer, &json!({"groups": ["support"]})).await.unwrap();
    assert_eq!(alice.name.as_str(), format!("{}|alice", issuer.issuer()));
    let (team, dev) = (TeamName::parse("support").unwrap(), EnvironmentName::parse("dev").unwrap());
    let production = EnvironmentName::parse("production").unwrap();
    assert!(alice.may(Role::Editor, Scope { team: Some(&team), environment: Some(&dev) }));
    assert!(!alice.may(Role::Editor, Scope { team: Some(&team), environment: Some(&production) }));
    assert!(alice.may(Role::Auditor, Scope { team: None, environment: None }));
}

#[tokio::test]
async fn unknown_groups_give_no_role() {
    let issuer = TestIssuer::start().await;
    let overage = json!({"sub": "bob", "groups": ["support"], "hasgroups": true});
    assert!(operator(&issuer, &overage).await.unwrap().grants.is_empty());
}

#[tokio::test]
async fn an_operator_is_a_person() {
    let issuer = TestIssuer::start().await;
    let robot = json!({"sub": "test-client", "groups": ["support"]});
    assert_eq!(operator(&issuer, &robot).await.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn neither_doors_token_opens_the_other() {
    let world = World::new().await;
    let agents = world.issuer.sign("es256", &world.claims());
    let refused = operators(&world.issuer).authenticate(&presented(&agents), at(0)).await;
    assert_eq!(refused.unwrap_err(), IdentityError::Audience);
    let operators = world.issuer.sign("es256", &world.claims_with(&json!({"aud": CONTROL})));
    assert_eq!(world.verify(&operators, 0).await.unwrap_err(), IdentityError::Audience);
}
