//! The gateway's own access tokens on its own data plane.

use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::login::AccessTokenSigner;
use serde_json::Map;

use super::super::FacadeVerifier;
use super::*;
use crate::signing::{Algorithm, Purpose, Signer};

const PROVIDER: &str = "https://idp.example";

struct Own {
    signer: Arc<Signer>,
    verifier: FacadeVerifier,
    issuer: TestIssuer,
}

impl Own {
    async fn new() -> Self {
        let issuer = TestIssuer::start().await;
        let others = Arc::new(verifier(&[config(&issuer, &json!({}))]));
        let signer = Arc::new(Signer::ephemeral(at(0)).unwrap());
        let verifier = FacadeVerifier::new(others, PUBLIC_URL, PROVIDER, signer.clone());
        Self { signer, verifier, issuer }
    }

    async fn judge(&self, changes: &Value) -> Result<Arc<VerifiedIdentity>, IdentityError> {
        let token = AccessTokenSigner::sign(&*self.signer, &claims(changes)).unwrap();
        self.verifier.verify(&Presented::new(token), at(0)).await
    }
}

fn claims(changes: &Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": PUBLIC_URL, "sub": format!("{PROVIDER}|al|ice"), "aud": AUDIENCE, "client_id": "editor",
        "iat": NOW, "exp": NOW + 600, "jti": "one", "scope": "mcp", "groups": ["support"]
    });
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = change.clone();
        }
    }
    claims.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_token_of_our_own_speaks_for_the_person_as_the_provider_knows_them() {
    let own = Own::new().await;
    let identity = own.judge(&json!({})).await.unwrap();
    let claims = identity.claims();
    assert_eq!(claims.user.as_ref().unwrap().to_string(), "https://idp.example|al|ice");
    assert_eq!((claims.client.as_deref(), &*claims.issuer), (Some("editor"), PUBLIC_URL));
    assert!(claims.groups.contains(&gateway_core::id::GroupName::parse("support").unwrap()));
    let (dev, github) = (EnvironmentName::parse("dev").unwrap(), ServerName::parse("github").unwrap());
    assert!(identity.opens(&dev, &github, at(0)));
    assert!(!identity.opens(&dev, &ServerName::parse("other").unwrap(), at(0)));
    assert!(!identity.opens(&EnvironmentName::parse("production").unwrap(), &github, at(0)));
    assert!(!identity.opens(&dev, &github, at(606)));
}

#[tokio::test]
async fn a_token_of_our_own_that_does_not_hold_is_refused() {
    let own = Own::new().await;
    for (changes, error) in [
        (json!({"aud": "http://127.0.0.1:8080/mcp/dev"}), IdentityError::Audience),
        (json!({"aud": "https://other.example/mcp/dev/github"}), IdentityError::Audience),
        (json!({"aud": [AUDIENCE]}), IdentityError::Claims),
        (json!({"aud": null}), IdentityError::Claims),
        (json!({"sub": "https://evil.example|alice"}), IdentityError::Claims),
        (json!({"sub": format!("{PROVIDER}|")}), IdentityError::Claims),
        (json!({"sub": "alice"}), IdentityError::Claims),
        (json!({"client_id": null}), IdentityError::Claims),
        (json!({"iat": NOW - 610, "exp": NOW - 10}), IdentityError::Expired),
    ] {
        assert_eq!(own.judge(&changes).await.unwrap_err(), error, "{changes}");
    }
}

#[tokio::test]
async fn no_other_token_of_the_gateway_passes_for_an_access_token() {
    let own = Own::new().await;
    for purpose in Purpose::ALL {
        for algorithm in Algorithm::ALL {
            let brief = claims(&json!({ "exp": NOW + 60 }));
            let token = Signer::sign(&own.signer, purpose, algorithm, &brief).unwrap();
            let judged = own.verifier.verify(&Presented::new(token), at(0)).await;
            let good = purpose == Purpose::AccessToken && algorithm == Algorithm::EdDsa;
            assert_eq!(judged.is_ok(), good, "{purpose:?} {algorithm:?}");
        }
    }
    let stranger = Signer::ephemeral(at(0)).unwrap();
    let token = AccessTokenSigner::sign(&stranger, &claims(&json!({}))).unwrap();
    let judged = own.verifier.verify(&Presented::new(token), at(0)).await;
    assert_eq!(judged.unwrap_err(), IdentityError::UnknownKey);
}

#[tokio::test]
async fn tokens_of_configured_issuers_are_judged_as_before() {
    let own = Own::new().await;
    let token = own.issuer.sign("es256", &own.issuer.claims("alice", AUDIENCE, NOW));
    let identity = own.verifier.verify(&presented(&token), at(0)).await.unwrap();
    assert_eq!(
        identity.claims().user.as_ref().unwrap().to_string(),
        format!("{}|alice", own.issuer.issuer())
    );
    // An issuer that claims to be us has none of our keys.
    let mut forged = own.issuer.claims("alice", AUDIENCE, NOW);
    forged["iss"] = PUBLIC_URL.into();
    let judged = own.verifier.verify(&presented(&own.issuer.sign("eddsa", &forged)), at(0)).await;
    assert_eq!(judged.unwrap_err(), IdentityError::UnknownKey);
    assert_eq!(own.verifier.verify(&presented("a.b.c"), at(0)).await.unwrap_err(), IdentityError::Malformed);
}
