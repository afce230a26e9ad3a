//! Whose tokens they are.

use super::*;

fn tokens(id_token: Option<String>) -> Tokens {
    Tokens {
        access_token: Secret::copy_from(b"access"),
        refresh_token: None,
        id_token: id_token.map(|text| Secret::copy_from(text.as_bytes())),
        lifetime: Duration::from_secs(60),
        scopes: Vec::new(),
    }
}

fn id_token(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[tokio::test]
async fn the_account_is_the_subject_of_an_id_token_of_this_provider_for_this_client() {
    let world = World::new().await;
    let spec = world.spec(|_| {});
    let account = |token: Option<String>| world.client.account(&spec, &tokens(token));
    assert_eq!(account(None).unwrap(), None, "not every provider tells");
    let issuer = world.provider.issuer();
    for audience in [json!("the gateway"), json!(["other", "the gateway"])] {
        let token = id_token(&json!({"iss": issuer, "aud": audience, "sub": "alice-at-notes"}));
        assert_eq!(account(Some(token)).unwrap().as_deref(), Some("alice-at-notes"));
    }
    for claims in [
        json!({"iss": "https://other.example", "aud": "the gateway", "sub": "a"}),
        json!({"iss": issuer, "aud": "other", "sub": "a"}),
        json!({"iss": issuer, "aud": "the gateway"}),
        json!({"iss": issuer, "aud": "the gateway", "sub": ""}),
        json!({"iss": issuer, "aud": "the gateway", "sub": "a\u{202e}b"}),
        json!({"iss": issuer, "aud": "the gateway", "sub": "a".repeat(256)}),
    ] {
        assert_eq!(code(account(Some(id_token(&claims)))), Code::ProviderMalformed, "{claims}");
    }
    for text in ["", "a.b", "a.b.c.d", "e30.!.x", "e30.e30.x"] {
        assert_eq!(code(account(Some(text.to_owned()))), Code::ProviderMalformed, "{text}");
    }
}
