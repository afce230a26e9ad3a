//! A person's login at a provider that says what the test wants.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway_core::actor::Groups;
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::identity::TokenDigest;
use gateway_core::login::{Arrival, Departure, Fault, Person, PersonProvider};
use gateway_core::reference::SecretReference;
use gateway_core::stores::{StoreClass, StoreEntry, Stores};
use gateway_testkit::provider::{FakeProvider, METADATA};
use gateway_testkit::store::MemoryStore;

use super::super::{JwtAlgorithm, OidcSignIn, Preset, SignInConfig};
use super::*;

const REDIRECT: &str = "https://mcp.example/login/callback";

struct Desk {
    keys: TestIssuer,
    provider: FakeProvider,
}

impl Desk {
    async fn open() -> Self {
        let desk = Self { keys: TestIssuer::start().await, provider: FakeProvider::start().await };
        desk.publish(&json!({}));
        desk.answer(&desk.claims(&json!({})));
        desk
    }

    fn publish(&self, changes: &Value) {
        let mut metadata = self.provider.metadata();
        metadata["jwks_uri"] = self.keys.jwks_url().into();
        over(&mut metadata, changes);
        self.provider.answer(METADATA, 200, &[], &metadata.to_string());
    }

    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": self.provider.issuer(), "sub": "alice", "aud": "gateway", "nonce": "the-nonce",
            "iat": NOW, "exp": NOW + 300, "groups": ["support"]
        });
        over(&mut claims, changes);
        claims
    }

    fn answer(&self, claims: &Value) {
        self.answer_with(&self.keys.sign_with("es256", &json!({"typ": "JWT"}), claims));
    }

    fn answer_with(&self, id_token: &str) {
        let body = json!({"access_token": "unused", "token_type": "Bearer", "id_token": id_token});
        self.provider.answer("/token", 200, &[], &body.to_string());
    }

    fn config(&self) -> SignInConfig {
        SignInConfig {
            issuer: self.provider.issuer().to_owned(),
            client_id: "gateway".to_owned(),
            client_secret: None,
            scopes: vec!["openid".to_owned(), "profile".to_owned()],
            origins: Vec::new(),
            subject_claim: None,
            groups_claim: Some("groups".to_owned()),
            preset: None,
            algorithms: JwtAlgorithm::DEFAULT.to_vec(),
            ca_file: None,
            proxy: None,
            leeway_seconds: 5,
        }
    }

    fn client(&self) -> OidcSignIn {
        self.client_as(self.config())
    }

    fn client_as(&self, config: SignInConfig) -> OidcSignIn {
        OidcSignIn::new(config, Arc::new(Stores::default())).unwrap()
    }

    async fn arrive(&self, client: &OidcSignIn) -> Result<Person, Fault> {
        self.arrive_with(client, Some(self.provider.issuer()), Some("the-code"), None).await
    }

    async fn arrive_with(
        &self,
        client: &OidcSignIn,
        issuer: Option<&str>,
        code: Option<&str>,
        error: Option<&str>,
    ) -> Result<Person, Fault> {
        let code = code.map(|code| Secret::copy_from(code.as_bytes()));
        let verifier = Secret::copy_from(b"the-verifier");
        let arrival = Arrival {
            redirect_uri: REDIRECT,
            code: code.as_ref(),
            issuer,
            error,
            nonce: "the-nonce",
            verifier: &verifier,
        };
        client.arrive(&arrival, at(0)).await
    }
}

fn over(value: &mut Value, changes: &Value) {
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = change.clone();
        }
    }
}

#[tokio::test]
async fn the_browser_takes_the_challenge_along_and_never_the_verifier() {
    let desk = Desk::open().await;
    let (state, verifier) = (Secret::copy_from(b"the-state"), Secret::copy_from(b"the-verifier"));
    let departure = Departure {
        redirect_uri: REDIRECT,
        state: &state,
        nonce: "the-nonce",
        verifier: &verifier,
        again: true,
    };
    let url = desk.client().depart(&departure, at(0)).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}/authorize?", desk.provider.issuer())), "{url}");
    let sent: std::collections::HashMap<_, _> = url.query_pairs().collect();
    let challenge = URL_SAFE_NO_PAD.encode(TokenDigest::of(&verifier).bytes());
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "gateway"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid profile"),
        ("state", "the-state"),
        ("nonce", "the-nonce"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ] {
        assert_eq!(sent.get(name).map(AsRef::as_ref), Some(value), "{name}");
    }
    assert!(!url.as_str().contains("the-verifier"));
}

#[tokio::test]
async fn the_person_of_the_id_token_is_the_one_of_access_tokens() {
    let desk = Desk::open().await;
    let person = desk.arrive(&desk.client()).await.unwrap();
    assert_eq!(person.user.to_string(), format!("{}|alice", desk.provider.issuer()));
    assert!(matches!(person.groups, Groups::Known(groups) if groups.len() == 1));
    let asked = desk.provider.asked("/token").remove(0);
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", "the-verifier"),
        ("client_id", "gateway"),
    ] {
        assert_eq!(asked.parameter(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn presets_name_the_person_as_they_do_on_the_data_plane() {
    let desk = Desk::open().await;
    desk.answer(&desk.claims(&json!({"tid": "tenant", "oid": "object"})));
    let entra = SignInConfig { preset: Some(Preset::Entra), groups_claim: None, ..desk.config() };
    assert_eq!(&*desk.arrive(&desk.client_as(entra)).await.unwrap().user.subject, "tenant/object");
    let okta = SignInConfig { preset: Some(Preset::Okta), groups_claim: None, ..desk.config() };
    assert_eq!(&*desk.arrive(&desk.client_as(okta)).await.unwrap().user.subject, "alice");
    desk.answer(&desk.claims(&json!({"employee": "7"})));
    let own = SignInConfig { subject_claim: Some("employee".to_owned()), ..desk.config() };
    assert_eq!(&*desk.arrive(&desk.client_as(own)).await.unwrap().user.subject, "7");
    desk.answer(&desk.claims(&json!({})));
    let own = SignInConfig { subject_claim: Some("employee".to_owned()), ..desk.config() };
    assert_eq!(desk.arrive(&desk.client_as(own)).await, Err(Fault::IdTokenRefused), "no fallback to `sub`");
}

#[tokio::test]
async fn an_id_token_that_does_not_hold_is_refused() {
    let desk = Desk::open().await;
    for (changes, fault) in [
        (json!({"iss": "https://evil.example"}), Fault::IdTokenRefused),
        (json!({"aud": "another"}), Fault::IdTokenRefused),
        (json!({"aud": ["gateway", "another"]}), Fault::IdTokenRefused),
        (json!({"aud": ["gateway", "another"], "azp": "another"}), Fault::IdTokenRefused),
        (json!({"azp": "another"}), Fault::IdTokenRefused),
        (json!({"exp": NOW - 6}), Fault::IdTokenRefused),
        (json!({"exp": null}), Fault::IdTokenRefused),
        (json!({"iat": null}), Fault::IdTokenRefused),
        (json!({"iat": NOW + 600}), Fault::IdTokenRefused),
        (json!({"nbf": NOW + 60}), Fault::IdTokenRefused),
        (json!({"sub": null}), Fault::IdTokenRefused),
        (json!({"sub": ""}), Fault::IdTokenRefused),
        (json!({"nonce": "another"}), Fault::NonceMismatch),
        (json!({"nonce": null}), Fault::NonceMismatch),
    ] {
        desk.answer(&desk.claims(&changes));
        assert_eq!(desk.arrive(&desk.client()).await, Err(fault), "{changes}");
    }
    desk.answer(&desk.claims(&json!({"aud": ["gateway", "another"], "azp": "gateway"})));
    desk.arrive(&desk.client()).await.unwrap();
    for (header, claims) in [
        (json!({"alg": "none"}), desk.claims(&json!({}))),
        (json!({"alg": "HS256"}), desk.claims(&json!({}))),
        (json!({"typ": "at+jwt"}), desk.claims(&json!({}))),
        (json!({"typ": "logout+jwt"}), desk.claims(&json!({}))),
        (json!({"kid": "another"}), desk.claims(&json!({}))),
    ] {
        desk.answer_with(&desk.keys.sign_with("es256", &header, &claims));
        assert_eq!(desk.arrive(&desk.client()).await, Err(Fault::IdTokenRefused), "{header}");
    }
    let forged =
        TestIssuer::start().await.sign_with("es256", &json!({"typ": "JWT"}), &desk.claims(&json!({})));
    desk.answer_with(&forged);
    assert_eq!(desk.arrive(&desk.client()).await, Err(Fault::IdTokenRefused), "another key");
}

#[tokio::test]
async fn an_answer_of_nobody_or_of_somebody_else_costs_no_code() {
    let desk = Desk::open().await;
    let client = desk.client();
    let own = Some(desk.provider.issuer());
    for (issuer, code, error, fault) in [
        (None, Some("code"), None, Fault::IssuerMissing),
        (Some("https://evil.example"), Some("code"), None, Fault::IssuerMixedUp),
        (None, None, Some("access_denied"), Fault::IssuerMissing),
        (Some("https://evil.example"), None, Some("access_denied"), Fault::IssuerMixedUp),
        (own, None, Some("access_denied"), Fault::ProviderRefused),
        (own, Some("code"), Some("access_denied"), Fault::ProviderRefused),
        (own, None, None, Fault::RequestMalformed),
    ] {
        assert_eq!(
            desk.arrive_with(&client, issuer, code, error).await,
            Err(fault),
            "{issuer:?} {code:?} {error:?}"
        );
    }
    assert!(desk.provider.asked("/token").is_empty());
    // A provider that does not promise `iss` need not send it, and may not send another.
    desk.publish(&json!({"authorization_response_iss_parameter_supported": null}));
    let client = desk.client();
    desk.arrive_with(&client, None, Some("code"), None).await.unwrap();
    let mixed = desk.arrive_with(&client, Some("https://evil.example"), Some("code"), None).await;
    assert_eq!(mixed, Err(Fault::IssuerMixedUp));
}

#[tokio::test]
async fn metadata_that_leads_elsewhere_is_not_acceptable() {
    let desk = Desk::open().await;
    for changes in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": "https://evil.example/token"}),
        json!({"token_endpoint": "http://192.0.2.1/token"}),
        json!({"token_endpoint": null}),
        json!({"authorization_endpoint": null}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"authorization_endpoint": "http://192.0.2.1/"}),
        json!({"code_challenge_methods_supported": ["plain"]}),
    ] {
        desk.publish(&changes);
        assert_eq!(desk.arrive(&desk.client()).await, Err(Fault::ProviderMalformed), "{changes}");
    }
    assert!(desk.provider.asked("/token").is_empty());
    desk.publish(&json!({"token_endpoint": format!("{}/token", FakeProvider::start().await.issuer())}));
    assert_eq!(
        desk.arrive(&desk.client()).await,
        Err(Fault::ProviderMalformed),
        "an origin that nobody listed"
    );
}

#[tokio::test]
async fn what_the_token_endpoint_refuses_or_garbles_is_told_apart() {
    let desk = Desk::open().await;
    for (status, body, fault) in [
        (400, r#"{"error":"invalid_grant"}"#, Fault::CodeRefused),
        (401, r#"{"error":"invalid_client"}"#, Fault::CodeRefused),
        (302, "", Fault::CodeRefused),
        (200, "{}", Fault::ProviderMalformed),
        (200, "no JSON", Fault::ProviderMalformed),
        (200, r#"{"id_token":"a.b.c"}"#, Fault::IdTokenRefused),
    ] {
        desk.provider.answer("/token", status, &[], body);
        assert_eq!(desk.arrive(&desk.client()).await, Err(fault), "{status} {body}");
    }
    let gone = SignInConfig { issuer: "http://127.0.0.1:9".to_owned(), ..desk.config() };
    let arrived = desk.arrive_with(&desk.client_as(gone), None, Some("code"), None).await;
    assert_eq!(arrived, Err(Fault::ProviderUnavailable));
}

#[tokio::test]
async fn the_clients_secret_comes_from_its_store_for_each_login() {
    let desk = Desk::open().await;
    let store = MemoryStore::new();
    store.insert("login", "secret", b"s3cret/+ &");
    let entry = StoreEntry {
        store: store.clone(),
        uncached: store.clone(),
        cache: store.clone(),
        writer: None,
        leasing: None,
        class: StoreClass::Local,
        environments: vec![EnvironmentName::parse("dev").unwrap()],
        paths: Vec::new(),
    };
    let stores = Arc::new(Stores::new([(StoreName::parse("local").unwrap(), entry)]));
    let reference = SecretReference::parse("local://login#secret").unwrap();
    let config = SignInConfig { client_secret: Some(reference), ..desk.config() };
    let client = OidcSignIn::new(config.clone(), stores.clone()).unwrap();
    desk.arrive(&client).await.unwrap();
    let asked = desk.provider.asked("/token").pop().unwrap();
    let expected = format!("Basic {}", STANDARD.encode("gateway:s3cret%2F%2B+%26"));
    assert_eq!(asked.headers.get("authorization"), Some(&expected));
    assert_eq!((asked.parameter("client_secret"), asked.parameter("client_id")), (None, None));
    desk.publish(&json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    let client = OidcSignIn::new(config.clone(), stores.clone()).unwrap();
    desk.arrive(&client).await.unwrap();
    let asked = desk.provider.asked("/token").pop().unwrap();
    assert_eq!(asked.parameter("client_secret"), Some("s3cret/+ &"));
    assert!(!asked.headers.contains_key("authorization"));
    let elsewhere = SignInConfig {
        client_secret: Some(SecretReference::parse("local://nowhere#secret").unwrap()),
        ..desk.config()
    };
    let client = OidcSignIn::new(elsewhere, stores).unwrap();
    assert_eq!(desk.arrive(&client).await, Err(Fault::Unavailable));
}

#[tokio::test]
async fn an_assertion_is_for_this_gateway_alone_and_short() {
    let desk = Desk::open().await;
    let client = desk.client();
    let good =
        json!({"aud": PUBLIC_URL, "client_id": "editor", "jti": "one", "resource": AUDIENCE, "nonce": null});
    let judge = async |changes: &Value, typ: &str| {
        let mut claims = desk.claims(&good);
        over(&mut claims, changes);
        let token = desk.keys.sign_with("es256", &json!({"typ": typ}), &claims);
        client.assertion(&Secret::copy_from(token.as_bytes()), PUBLIC_URL, at(0)).await
    };
    let assertion = judge(&json!({}), "oauth-id-jag+jwt").await.unwrap();
    assert_eq!((assertion.client.as_str(), assertion.id.as_str()), ("editor", "one"));
    assert_eq!(assertion.resource.as_deref(), Some(AUDIENCE));
    assert_eq!(&*assertion.person.user.subject, "alice");
    for changes in [
        json!({"aud": "https://other.example"}),
        json!({"aud": [PUBLIC_URL]}),
        json!({"aud": [PUBLIC_URL, "https://other.example"]}),
        json!({"aud": "gateway"}),
        json!({"iss": "https://evil.example"}),
        json!({"client_id": null}),
        json!({"jti": null}),
        json!({"sub": null}),
        json!({"iat": null}),
        json!({"exp": null}),
        json!({"exp": NOW - 10}),
        json!({"exp": NOW + 3_600}),
    ] {
        assert_eq!(judge(&changes, "oauth-id-jag+jwt").await, Err(Fault::AssertionRefused), "{changes}");
    }
    for typ in ["JWT", "at+jwt"] {
        assert_eq!(judge(&json!({}), typ).await, Err(Fault::AssertionRefused), "{typ}");
    }
    // Nor does an assertion pass for an ID token.
    let claims = desk.claims(&json!({}));
    desk.answer_with(&desk.keys.sign_with("es256", &json!({"typ": "oauth-id-jag+jwt"}), &claims));
    assert_eq!(desk.arrive(&client).await, Err(Fault::IdTokenRefused));
}
