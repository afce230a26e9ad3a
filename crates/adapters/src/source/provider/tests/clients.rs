use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};

use super::*;

fn with_authentication(world: &World, authentication: Value) -> ProviderSpec {
    world.spec(|spec| spec["client"]["authentication"] = authentication)
}

#[tokio::test]
async fn basic_form_encodes_id_and_secret_first() {
    let world = World::new().await;
    world.ask(&world.spec(|_| {})).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    let text = asked.headers["authorization"].strip_prefix("Basic ").unwrap();
    let plain = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
    assert_eq!(plain, "the+gateway:s3cret+with+spaces%2Band%2Fmore");
    assert_eq!(asked.parameter("client_id"), None);
    assert_eq!(asked.parameter("client_secret"), None);
}

#[tokio::test]
async fn post_puts_id_and_secret_into_the_body() {
    let world = World::new().await;
    let post = json!({"client_secret_post": {"secret": "memory://provider#secret"}});
    world.ask(&with_authentication(&world, post)).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    assert_eq!(asked.parameter("client_secret"), Some("s3cret with spaces+and/more"));
    assert_eq!(asked.parameter("client_id"), Some("the gateway"));
    assert!(!asked.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_public_client_sends_its_id_alone() {
    let world = World::new().await;
    world.ask(&with_authentication(&world, json!("none"))).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    let names: Vec<&str> = asked.form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "scope", "client_id"]);
}

#[tokio::test]
async fn a_signed_assertion_names_client_audience_and_end_and_verifies() {
    let kinds: [(&str, KeyPair, &'static dyn VerificationAlgorithm); 3] = [
        (
            "RS256",
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            &RSA_PKCS1_2048_8192_SHA256,
        ),
        ("ES256", KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), &ECDSA_P256_SHA256_FIXED),
        ("EdDSA", KeyPair::generate_for(&PKCS_ED25519).unwrap(), &ED25519),
    ];
    for (algorithm, pair, verifier) in kinds {
        let world = World::new().await;
        world.store.insert("provider", "key", pair.serialize_pem().as_bytes());
        let private = json!({"private_key_jwt": {"key": "memory://provider#key", "key_id": "k1"}});
        let spec = with_authentication(&world, private);
        world.ask(&spec).await.unwrap();
        world.ask(&spec).await.unwrap();
        let mut ids = Vec::new();
        for asked in world.provider.asked("/token") {
            let kind = asked.parameter("client_assertion_type").unwrap();
            assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            let text = asked.parameter("client_assertion").unwrap();
            let (message, signature) = text.rsplit_once('.').unwrap();
            let key = UnparsedPublicKey::new(verifier, pair.der_bytes());
            key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let parts: Vec<Value> = message
                .split('.')
                .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
                .collect();
            assert_eq!(parts[0], json!({"alg": algorithm, "typ": "JWT", "kid": "k1"}));
            let claims = &parts[1];
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("the gateway"), &json!("the gateway")));
            assert_eq!(claims["aud"], world.provider.issuer());
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
            ids.push(claims["jti"].as_str().unwrap().to_owned());
        }
        assert_ne!(ids[0], ids[1]);
    }
}

#[tokio::test]
async fn the_audience_is_the_token_endpoint_where_endpoints_are_written_out() {
    let world = World::new().await;
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    world.store.insert("provider", "key", pair.serialize_pem().as_bytes());
    let token = format!("{}/token", world.provider.issuer());
    let spec = world.spec(|spec| {
        spec["client"]["authentication"] = json!({"private_key_jwt": {"key": "memory://provider#key"}});
        spec["endpoints"] = json!({"token": token});
    });
    world.ask(&spec).await.unwrap();
    let asked = &world.provider.asked("/token")[0];
    let claims = asked.parameter("client_assertion").unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], token);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_without_being_repeated() {
    let world = World::new().await;
    world.store.insert(
        "provider",
        "key",
        b"-----BEGIN PRIVATE KEY-----\nQUJDREVG\n-----END PRIVATE KEY-----",
    );
    let private = json!({"private_key_jwt": {"key": "memory://provider#key"}});
    let error = world.ask(&with_authentication(&world, private)).await.unwrap_err();
    assert_eq!(error.refusal().code(), Code::ProviderRefused);
    assert!(!format!("{error:?}").contains("QUJD"));
    assert!(world.provider.asked("/token").is_empty());
}

#[tokio::test]
async fn what_the_store_of_the_secret_says_is_what_the_caller_hears() {
    let world = World::new().await;
    let missing = json!({"client_secret_post": {"secret": "memory://absent#secret"}});
    assert_eq!(code(world.ask(&with_authentication(&world, missing)).await), Code::SecretMissing);
    let elsewhere = json!({"client_secret_post": {"secret": "other://provider#secret"}});
    assert_eq!(code(world.ask(&with_authentication(&world, elsewhere)).await), Code::ReferenceRefused);
    let mut foreign = world.spec(|_| {});
    foreign.environment = EnvironmentName::parse("production").unwrap();
    assert_eq!(code(world.ask(&foreign).await), Code::ReferenceRefused, "another environment's store");
    world.store.fail(Some(gateway_core::ports::StoreErrorKind::Unavailable));
    assert_eq!(code(world.ask(&world.spec(|_| {})).await), Code::StoreUnavailable);
    assert!(world.provider.asked("/token").is_empty());
}

#[tokio::test]
async fn a_client_without_an_id_asks_nobody() {
    let world = World::new().await;
    let unknown = world.spec(|spec| {
        spec["client"] = json!({"registration": "dynamic"});
    });
    assert_eq!(code(world.ask(&unknown).await), Code::ProviderRefused);
    assert!(world.provider.asked("/token").is_empty());
}
