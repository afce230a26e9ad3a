//! Recorded claims of real identity providers, with invented values.

use gateway_core::actor::Groups;
use gateway_core::id::GroupName;

use super::*;

const ENTRA_USER: &str = include_str!("../fixtures/entra_user.json");
const ENTRA_OVERAGE: &str = include_str!("../fixtures/entra_overage.json");
const ENTRA_APP: &str = include_str!("../fixtures/entra_app.json");
const OKTA_USER: &str = include_str!("../fixtures/okta_user.json");
const OKTA_CLIENT: &str = include_str!("../fixtures/okta_client.json");

/// The recorded claims, issued by our issuer in place of the provider.
async fn identity(preset: &str, fixture: &str) -> Arc<VerifiedIdentity> {
    let mut claims: Value = serde_json::from_str(fixture).unwrap();
    let audiences = json!([{"value": claims["aud"], "environment": "production"}]);
    let changes = json!({"audience": null, "audiences": audiences, "preset": preset, "groups_claim": null});
    let world = World::with(&changes).await;
    claims["iss"] = json!(world.issuer.issuer());
    world.verify(&world.issuer.sign_with("rs256", &json!({"typ": "JWT"}), &claims), 0).await.unwrap()
}

#[tokio::test]
async fn an_entra_user_is_tenant_and_object_id_never_a_name() {
    let identity = identity("entra", ENTRA_USER).await;
    let claims = identity.claims();
    let user = claims.user.as_ref().unwrap();
    assert_eq!(&*user.subject, "72f988bf-0000-4000-8000-2d7cd011db47/a1b2c3d4-0000-4000-8000-aaaaaaaaaaaa");
    assert_eq!(claims.client.as_deref(), Some("c44b4083-3bb0-49c1-b47d-974e53cbdf3c"));
    assert!(claims.groups.contains(&GroupName::parse("5f0cbd58-8c1a-4a77-a2b5-222222222222").unwrap()));
}

#[tokio::test]
async fn an_entra_overage_never_matches_even_beside_a_listed_group() {
    let identity = identity("entra", ENTRA_OVERAGE).await;
    assert_eq!(identity.claims().groups, Groups::Unknown);
    assert!(
        !identity
            .claims()
            .groups
            .contains(&GroupName::parse("0c9a5a1e-3d7c-4a0e-9b62-111111111111").unwrap())
    );
    assert!(identity.claims().user.is_some());
}

#[tokio::test]
async fn an_entra_app_is_no_person() {
    let identity = identity("entra", ENTRA_APP).await;
    let claims = identity.claims();
    assert_eq!(claims.user, None);
    assert_eq!(claims.groups, Groups::Unknown);
    assert_eq!(claims.client.as_deref(), Some("c44b4083-3bb0-49c1-b47d-974e53cbdf3c"));
}

#[tokio::test]
async fn an_okta_user_is_the_uid_never_the_address() {
    let identity = identity("okta", OKTA_USER).await;
    let claims = identity.claims();
    assert_eq!(&*claims.user.as_ref().unwrap().subject, "00u1exampleuser");
    assert_eq!(claims.client.as_deref(), Some("0oa1exampleclient"));
    assert!(claims.groups.contains(&GroupName::parse("support").unwrap()));
}

#[tokio::test]
async fn an_okta_client_is_no_person() {
    let identity = identity("okta", OKTA_CLIENT).await;
    assert_eq!(identity.claims().user, None);
    assert_eq!(&*identity.claims().subject, "0oa1exampleclient");
    assert_eq!(identity.claims().client.as_deref(), Some("0oa1exampleclient"));
}

#[tokio::test]
async fn overage_and_misshapen_groups_are_unknown_without_a_preset_too() {
    let world = World::new().await;
    for (changes, known) in [
        (json!({"groups": ["support"]}), true),
        (json!({"groups": []}), true),
        (json!({}), false),
        (json!({"groups": "support"}), false),
        (json!({"groups": ["support", 7]}), false),
        (json!({"groups": ["support"], "hasgroups": true}), false),
        (json!({"groups": ["support"], "_claim_names": {"groups": "src1"}}), false),
        (json!({"groups": ["support"], "_claim_names": {"others": "src1"}}), true),
    ] {
        let identity = world.judge(&changes).await.unwrap();
        assert_eq!(matches!(identity.claims().groups, Groups::Known(_)), known, "{changes}");
    }
}
