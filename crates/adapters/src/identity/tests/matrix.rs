//! One token per attack or mistake, and what it must be called.

use gateway_testkit::issuer::{encode, sign_hs256};
use serde_json::json;

use super::*;

#[tokio::test]
async fn takes_an_honest_token_of_each_kind_of_key() {
    let world = World::new().await;
    for kid in ["rs256", "es256", "eddsa"] {
        let identity = world.verify(&world.issuer.sign(kid, &world.claims()), 0).await.unwrap();
        let claims = identity.claims();
        assert_eq!(claims.user.as_ref().unwrap().to_string(), format!("{}|alice", world.issuer.issuer()));
        assert_eq!(claims.client.as_deref(), Some("test-client"));
        assert_eq!(claims.entries.len(), 1);
        assert_eq!(claims.expires_at, at(305), "expiry and leeway");
    }
    assert_eq!(world.issuer.jwks_requests(), 1, "one fetch serves all");
}

#[tokio::test]
async fn refuses_none_in_every_spelling() {
    let world = World::new().await;
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let unsigned =
            format!("{}.{}.", encode(header.as_bytes()), encode(world.claims().to_string().as_bytes()));
        let refusal = world.verify(&unsigned, 0).await.unwrap_err();
        assert_eq!(refusal, IdentityError::Algorithm, "{alg}");
        let signed = world.issuer.sign_with("es256", &json!({"alg": alg}), &world.claims());
        assert_eq!(world.verify(&signed, 0).await.unwrap_err(), IdentityError::Algorithm, "{alg}");
    }
}

#[tokio::test]
async fn refuses_algorithm_confusion() {
    let world = World::new().await;
    let claims = world.claims().to_string();
    let pem = world.issuer.public_pem("rs256");
    for secret in
        [pem.as_bytes(), pem.trim().as_bytes(), world.issuer.public_jwk("rs256").to_string().as_bytes()]
    {
        let forged = sign_hs256(secret, r#"{"alg":"HS256","kid":"rs256","typ":"at+jwt"}"#, &claims);
        assert_eq!(world.verify(&forged, 0).await.unwrap_err(), IdentityError::Algorithm);
        // The header says RS256, the signature is a MAC.
        let forged = sign_hs256(secret, r#"{"alg":"RS256","kid":"rs256","typ":"at+jwt"}"#, &claims);
        assert_eq!(world.verify(&forged, 0).await.unwrap_err(), IdentityError::Signature);
    }
    // A key of one kind under another algorithm's name.
    let crossed = world.issuer.sign_with("es256", &json!({"kid": "rs256"}), &world.claims());
    assert_eq!(world.verify(&crossed, 0).await.unwrap_err(), IdentityError::Algorithm);
    let crossed = world.issuer.sign_with("es256", &json!({"kid": "eddsa", "alg": "EdDSA"}), &world.claims());
    assert_eq!(world.verify(&crossed, 0).await.unwrap_err(), IdentityError::Signature);
}

#[tokio::test]
async fn refuses_an_algorithm_that_the_issuer_may_not_use() {
    let world = World::with(&json!({"algorithms": ["ES256"]})).await;
    let token = world.issuer.sign("rs256", &world.claims());
    assert_eq!(world.verify(&token, 0).await.unwrap_err(), IdentityError::Algorithm);
    assert_eq!(world.issuer.jwks_requests(), 0, "no fetch for what is refused anyway");
    assert!(world.verify(&world.issuer.sign("es256", &world.claims()), 0).await.is_ok());
}

#[tokio::test]
async fn judges_expiry_with_the_leeway_and_no_more() {
    let world = World::new().await;
    for (age, taken) in [(61, false), (6, false), (5, false), (4, true), (0, true)] {
        let outcome = world.judge(&json!({"exp": NOW - age})).await;
        assert_eq!(outcome.is_ok(), taken, "expired {age} s ago: {outcome:?}");
        if !taken {
            assert_eq!(outcome.unwrap_err(), IdentityError::Expired);
        }
    }
    let strict = World::with(&json!({"leeway_seconds": 0})).await;
    assert_eq!(strict.judge(&json!({"exp": NOW})).await.unwrap_err(), IdentityError::Expired);
    assert!(strict.judge(&json!({"exp": NOW + 1})).await.is_ok());
}

#[tokio::test]
async fn judges_what_begins_later() {
    let world = World::new().await;
    assert_eq!(world.judge(&json!({"nbf": NOW + 6})).await.unwrap_err(), IdentityError::NotYetValid);
    assert!(world.judge(&json!({"nbf": NOW + 5})).await.is_ok());
    assert_eq!(world.judge(&json!({"iat": NOW + 3600})).await.unwrap_err(), IdentityError::NotYetValid);
    assert!(world.judge(&json!({"iat": NOW + 30})).await.is_ok());
}

#[tokio::test]
async fn refuses_missing_and_misshapen_claims() {
    let world = World::new().await;
    for changes in [
        json!({"exp": null}),
        json!({"exp": "1900000000"}),
        json!({"exp": 1e300}),
        json!({"exp": true}),
        json!({"nbf": "soon"}),
        json!({"aud": null}),
        json!({"aud": 7}),
        json!({"aud": [AUDIENCE, 7]}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": ["alice"]}),
        json!({"sub": "ali\nce"}),
        json!({"iss": null}),
        json!({"azp": "another-client"}),
        json!({"cnf": {"jkt": "thumbprint"}}),
        json!({"act": "bot"}),
        json!({"act": {}}),
    ] {
        let outcome = world.judge(&changes).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Claims, "{changes}");
    }
}

#[tokio::test]
async fn compares_audiences_exactly() {
    let world = World::new().await;
    for wrong in [
        json!("http://127.0.0.1:8080/mcp/dev"),
        json!("http://127.0.0.1:8080/mcp/dev/github/"),
        json!("HTTP://127.0.0.1:8080/mcp/dev/github"),
        json!("http://127.0.0.1:8080/mcp/production/github"),
        json!([]),
        json!(["https://elsewhere"]),
        json!(""),
    ] {
        let outcome = world.judge(&json!({"aud": wrong})).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::Audience, "{wrong}");
    }
    let identity = world.judge(&json!({"aud": ["https://elsewhere", AUDIENCE]})).await.unwrap();
    assert_eq!(identity.claims().entries.len(), 1);
}

#[tokio::test]
async fn refuses_issuers_that_are_not_configured() {
    let world = World::new().await;
    for issuer in ["https://evil.example".to_owned(), format!("{}/", world.issuer.issuer())] {
        let outcome = world.judge(&json!({"iss": issuer})).await;
        assert_eq!(outcome.unwrap_err(), IdentityError::UnknownIssuer, "{issuer}");
    }
    // Another configured issuer's name on our key.
    let other = TestIssuer::start().await;
    let both = verifier(&[config(&world.issuer, &json!({})), config(&other, &json!({}))]);
    let token = other.sign("es256", &world.claims());
    assert_eq!(both.verify(&presented(&token), at(0)).await.unwrap_err(), IdentityError::Signature);
}

#[tokio::test]
async fn refuses_tokens_of_other_types() {
    let world = World::new().await;
    for typ in
        ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token+jwt", "application/logout+jwt", "absent", ""]
    {
        let token = world.issuer.sign_with("es256", &json!({"typ": typ}), &world.claims());
        assert_eq!(world.verify(&token, 0).await.unwrap_err(), IdentityError::Claims, "{typ}");
    }
    for typ in [json!("at+jwt"), json!("AT+JWT"), json!("application/at+jwt"), json!("JWT"), json!(null)] {
        let token = world.issuer.sign_with("es256", &json!({"typ": typ}), &world.claims());
        assert!(world.verify(&token, 0).await.is_ok(), "{typ}");
    }
    let strict = World::with(&json!({"token_types": ["at+jwt"]})).await;
    let token = strict.issuer.sign_with("es256", &json!({"typ": null}), &strict.claims());
    assert_eq!(strict.verify(&token, 0).await.unwrap_err(), IdentityError::Claims);
}

#[tokio::test]
async fn refuses_headers_that_bring_keys_or_change_the_meaning() {
    let world = World::new().await;
    let own = world.issuer.public_jwk("es256");
    for header in [
        json!({"jwk": own, "kid": null}),
        json!({"jwk": own}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"b64": false}),
        json!({"zip": "DEF"}),
        json!({"kid": 7}),
        json!({"typ": 7}),
        json!({"kid": "k".repeat(600)}),
    ] {
        let token = world.issuer.sign_with("es256", &header, &world.claims());
        assert_eq!(world.verify(&token, 0).await.unwrap_err(), IdentityError::Malformed, "{header}");
    }
}

#[tokio::test]
async fn refuses_keys_written_twice_in_header_or_claims() {
    let world = World::new().await;
    let header = r#"{"alg":"ES256","kid":"es256","typ":"at+jwt"}"#;
    let claims = world.claims().to_string();
    assert!(world.verify(&world.issuer.sign_raw("es256", header, &claims), 0).await.is_ok());
    let twice = claims.replacen('{', r#"{"sub":"mallory","#, 1);
    let nested = claims.replacen('{', r#"{"act":{"sub":"a","sub":"b"},"#, 1);
    let header_twice = header.replacen('{', r#"{"alg":"none","#, 1);
    for (header, claims) in [(header, &twice), (header, &nested), (header_twice.as_str(), &claims)] {
        let token = world.issuer.sign_raw("es256", header, claims);
        assert_eq!(world.verify(&token, 0).await.unwrap_err(), IdentityError::Malformed, "{header} {claims}");
    }
}

#[tokio::test]
async fn refuses_garbage_and_what_is_too_large() {
    let world = World::new().await;
    let good = world.issuer.sign("es256", &world.claims());
    let padded = format!("{good}=");
    let four = format!("{good}.x");
    let bytes = "\u{fffd}".repeat(10);
    for garbage in ["", ".", "..", "...", "a.b.c", "not a token", "e30.e30.", &padded, &four, &bytes] {
        let refusal = world.verify(garbage, 0).await.unwrap_err();
        assert!(
            matches!(refusal, IdentityError::Malformed | IdentityError::Signature),
            "{garbage}: {refusal}"
        );
    }
    let raw = Presented::new(Secret::new(vec![0xff; 40]));
    assert_eq!(world.verifier.verify(&raw, at(0)).await.unwrap_err(), IdentityError::Malformed);
    let large = world.claims_with(&json!({"padding": "x".repeat(16 * 1024)}));
    let refusal = world.verify(&world.issuer.sign("es256", &large), 0).await.unwrap_err();
    assert_eq!(refusal, IdentityError::TooLarge);
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    let token = world.issuer.sign_raw("es256", r#"{"alg":"ES256","kid":"es256"}"#, &deep);
    assert_eq!(world.verify(&token, 0).await.unwrap_err(), IdentityError::Malformed);
}

#[tokio::test]
async fn refuses_a_token_changed_after_signing() {
    let world = World::new().await;
    let token = world.issuer.sign("eddsa", &world.claims());
    let parts: Vec<&str> = token.split('.').collect();
    let claims = encode(world.claims_with(&json!({"sub": "mallory"})).to_string().as_bytes());
    let changed = format!("{}.{claims}.{}", parts[0], parts[2]);
    assert_eq!(world.verify(&changed, 0).await.unwrap_err(), IdentityError::Signature);
}

#[tokio::test]
async fn a_known_token_is_found_without_waiting_until_it_ends() {
    let world = World::new().await;
    let token = presented(&world.issuer.sign("es256", &world.claims_with(&json!({"exp": NOW + 100}))));
    assert!(world.verifier.verify_cached(&token, at(0)).is_none());
    let identity = world.verifier.verify(&token, at(0)).await.unwrap();
    assert_eq!(world.verifier.verify_cached(&token, at(104)).unwrap(), identity);
    assert!(world.verifier.verify_cached(&token, at(105)).is_none());
    assert_eq!(world.verifier.verify(&token, at(105)).await.unwrap_err(), IdentityError::Expired);
    assert!(world.verifier.verify_cached(&token, at(0)).is_some());
    world.verifier.forget_all();
    assert!(world.verifier.verify_cached(&token, at(0)).is_none());
}

#[tokio::test]
#[ignore = "a measurement, not a claim"]
async fn hit_time() {
    let world = World::new().await;
    let token = presented(&world.issuer.sign("rs256", &world.claims()));
    let rounds: u32 = 20_000;
    let start = tokio::time::Instant::now();
    for _ in 0..100 {
        world.verifier.forget_all();
        world.verifier.verify(&token, at(0)).await.unwrap();
    }
    println!("{:?} a verification", start.elapsed() / 100);
    let start = tokio::time::Instant::now();
    for _ in 0..rounds {
        assert!(world.verifier.verify_cached(&token, at(0)).is_some());
    }
    println!("{:?} a hit", start.elapsed() / rounds);
}
