//! Keys that come, go and cannot be fetched.

use gateway_testkit::issuer::{DiscoveryStyle, KeyKind};

use super::*;

const DAY: i64 = 24 * 3600;

impl World {
    async fn ask(&self, kid: &str, seconds: i64) -> Result<(), IdentityError> {
        let claims = self.claims_with(&json!({"exp": NOW + 30 * DAY, "jti": format!("{kid}{seconds}")}));
        self.verify(&self.issuer.sign(kid, &claims), seconds).await.map(drop)
    }
}

#[tokio::test]
async fn an_unknown_key_leads_to_one_fetch_a_minute() {
    let world = World::new().await;
    world.ask("es256", 0).await.unwrap();
    assert_eq!(world.issuer.jwks_requests(), 1);
    for second in 1..30 {
        let claims = world.claims();
        let token = world.issuer.sign_with("es256", &json!({"kid": format!("made-up-{second}")}), &claims);
        assert_eq!(world.verify(&token, second).await.unwrap_err(), IdentityError::UnknownKey);
    }
    assert_eq!(world.issuer.jwks_requests(), 2, "twenty-nine strangers, one fetch");
    let token = world.issuer.sign_with("es256", &json!({"kid": "again"}), &world.claims());
    assert_eq!(world.verify(&token, 62).await.unwrap_err(), IdentityError::UnknownKey);
    assert_eq!(world.issuer.jwks_requests(), 3);
}

#[tokio::test]
async fn a_new_key_is_picked_up_at_once() {
    let world = World::new().await;
    world.ask("es256", 0).await.unwrap();
    world.issuer.add_key(KeyKind::EdDsa, "next");
    world.ask("next", 1).await.unwrap();
    world.ask("es256", 1).await.unwrap();
    assert_eq!(world.issuer.jwks_requests(), 2);
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait() {
    let world = World::new().await;
    let tokens: Vec<_> = (0..16)
        .map(|number| world.issuer.sign("es256", &world.claims_with(&json!({"jti": number}))))
        .collect();
    let outcomes = futures::future::join_all(tokens.iter().map(|token| world.verify(token, 0))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.issuer.jwks_requests(), 1);
}

#[tokio::test]
async fn a_withdrawn_key_ends_the_tokens_it_signed() {
    let world = World::new().await;
    let token = world.issuer.sign("es256", &world.claims_with(&json!({"exp": NOW + 3600})));
    world.verify(&token, 0).await.unwrap();
    world.issuer.withdraw_key("es256");
    world.verifier.refresh_stale(at(1)).await;
    assert!(world.verify(&token, 2).await.is_ok(), "fresh keys are not fetched");
    world.verifier.refresh_stale(at(601)).await;
    assert!(world.verifier.verify_cached(&presented(&token), at(2)).is_none());
    assert_eq!(world.verify(&token, 602).await.unwrap_err(), IdentityError::UnknownKey);
}

#[tokio::test]
async fn keys_are_fresh_as_long_as_the_issuer_says_within_limits() {
    for (said, fresh) in [
        ("max-age=120", 120),
        ("public, max-age=1", 60),
        ("max-age=999999", 3600),
        ("no-store", 60),
        ("max-age=nonsense", 600),
        ("private", 600),
    ] {
        let world = World::new().await;
        world.issuer.set_cache_control(said);
        world.ask("es256", 0).await.unwrap();
        world.ask("es256", fresh - 1).await.unwrap();
        assert_eq!(world.issuer.jwks_requests(), 1, "{said}");
        world.ask("es256", fresh).await.unwrap();
        assert_eq!(world.issuer.jwks_requests(), 2, "{said}");
    }
}

#[tokio::test]
async fn keys_serve_through_an_outage_for_a_day_and_no_longer() {
    let world = World::new().await;
    world.ask("es256", 0).await.unwrap();
    world.issuer.set_outage(true);
    world.ask("es256", 700).await.unwrap();
    let asked = world.issuer.discovery_requests();
    world.ask("es256", 705).await.unwrap();
    assert_eq!(world.issuer.discovery_requests(), asked, "a pause after a failed fetch");
    world.ask("es256", DAY - 1).await.unwrap();
    assert_eq!(world.ask("es256", DAY).await.unwrap_err(), IdentityError::KeysUnavailable);
    world.issuer.set_outage(false);
    world.ask("es256", DAY + 2).await.unwrap();
}

#[tokio::test]
async fn without_any_key_the_fault_is_ours_and_recovers_by_itself() {
    let world = World::new().await;
    world.issuer.set_outage(true);
    assert_eq!(world.ask("es256", 0).await.unwrap_err(), IdentityError::KeysUnavailable);
    assert_eq!(world.ask("es256", 0).await.unwrap_err(), IdentityError::KeysUnavailable);
    world.issuer.set_outage(false);
    world.ask("es256", 1).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_in_an_outage_is_not_the_callers_fault() {
    let world = World::new().await;
    world.ask("es256", 0).await.unwrap();
    world.issuer.add_key(KeyKind::Es256, "next");
    world.issuer.set_outage(true);
    assert_eq!(world.ask("next", 1).await.unwrap_err(), IdentityError::KeysUnavailable);
    assert_eq!(world.ask("next", 2).await.unwrap_err(), IdentityError::KeysUnavailable);
    world.issuer.set_outage(false);
    world.ask("next", 62).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_keys_from_being_fetched() {
    let world = World::new().await;
    world.issuer.set_outage(true);
    assert_eq!(world.ask("es256", 7200).await.unwrap_err(), IdentityError::KeysUnavailable);
    world.issuer.set_outage(false);
    world.ask("es256", 1).await.unwrap();
    let claims = world.claims_with(&json!({"exp": NOW + 30 * DAY}));
    let token = world.issuer.sign_with("es256", &json!({"kid": "made-up"}), &claims);
    assert_eq!(world.verify(&token, 7200).await.unwrap_err(), IdentityError::UnknownKey);
    world.issuer.add_key(KeyKind::Es256, "next");
    world.ask("next", 2).await.unwrap();
}

#[tokio::test]
async fn discovery_must_name_the_very_issuer() {
    let world = World::new().await;
    for other in ["https://evil.example".to_owned(), format!("{}/", world.issuer.issuer())] {
        world.issuer.announce(&other);
        let health = world.verifier.probe(at(0)).await;
        assert!(health[0].keys.as_ref().unwrap_err().contains("another issuer"), "{health:?}");
    }
    assert_eq!(world.issuer.jwks_requests(), 0, "keys of another issuer are not even fetched");
}

#[tokio::test]
async fn finds_keys_by_every_form_of_discovery_or_none() {
    for (path, style) in [
        ("/tenant", DiscoveryStyle::OpenId),
        ("/tenant", DiscoveryStyle::Rfc8414),
        ("/", DiscoveryStyle::Rfc8414),
    ] {
        let issuer = TestIssuer::start_at(path.trim_end_matches('/'), style).await;
        let verifier = verifier(&[config(&issuer, &json!({}))]);
        let token = issuer.sign("es256", &issuer.claims("alice", AUDIENCE, NOW));
        assert!(verifier.verify(&presented(&token), at(0)).await.is_ok(), "{path} {style:?}");
    }
    let issuer = TestIssuer::start().await;
    issuer.announce("https://evil.example");
    let direct = verifier(&[config(&issuer, &json!({"jwks_url": issuer.jwks_url()}))]);
    assert_eq!(direct.probe(at(0)).await[0].keys, Ok(3));
    assert_eq!(issuer.discovery_requests(), 0);
}
