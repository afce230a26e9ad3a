//! The way to the provider and back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::connect::{ConnectArrival, ConnectDeparture, Offer};
use gateway_core::login::Fault;

use super::*;

const REDIRECT: &str = "https://mcp.example/connect/callback";
const RESOURCE: &str = "https://notes.internal";

struct Way {
    world: World,
    grants: Grants,
    offer: Offer,
    user: UserIdentity,
    scopes: Vec<String>,
}

impl Way {
    /// To a provider that says itself where its endpoints are.
    async fn new() -> Self {
        let world = World::new().await;
        let spec = ProviderSpec { endpoints: None, ..(*world.spec).clone() };
        let scopes = vec!["notes.read".to_owned(), "offline_access".to_owned()];
        let offer = Offer {
            provider: Arc::new(spec),
            servers: Vec::new(),
            scopes: scopes.clone(),
            all_scopes: scopes.clone(),
            resource: Some(RESOURCE.to_owned()),
            audience: None,
        };
        let user = UserIdentity { issuer: "https://idp.internal".into(), subject: "alice".into() };
        Self { grants: world.replica(), world, offer, user, scopes }
    }

    async fn back(
        &self,
        code: Option<&str>,
        issuer: Option<&str>,
        error: Option<&str>,
    ) -> Result<GrantRecord, Fault> {
        let code = code.map(|code| Secret::copy_from(code.as_bytes()));
        let event = Event::new(EventKind::GrantCreated, self.world.clock.now());
        let arrival = ConnectArrival {
            user: &self.user,
            redirect_uri: REDIRECT,
            verifier: &Secret::copy_from(b"the-verifier"),
            scopes: &self.scopes,
            code: code.as_ref(),
            issuer,
            error,
            event: &event,
        };
        self.grants.arrive(&self.offer, &arrival).await
    }

    fn asked(&self) -> usize {
        self.world.provider.asked("/token").len()
    }
}

#[tokio::test]
async fn the_browser_takes_the_challenge_along_and_never_the_verifier() {
    let way = Way::new().await;
    let departure = ConnectDeparture {
        redirect_uri: REDIRECT,
        state: &Secret::copy_from(b"the-state"),
        verifier: &Secret::copy_from(b"the-verifier"),
        scopes: &way.scopes,
    };
    let url = way.grants.depart(&way.offer, &departure).await.unwrap();
    let pairs: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    // BASE64URL(SHA256("the-verifier")), by another implementation.
    assert_eq!(pairs["code_challenge"], "sP6XQ2T7IHwj7eBkdcI9xyC8WxEik0RMQk0tVGDKZPI");
    assert_eq!(pairs["state"], "the-state");
    assert_eq!(pairs["scope"], "notes.read offline_access");
    assert_eq!((pairs["resource"].as_str(), pairs["redirect_uri"].as_str()), (RESOURCE, REDIRECT));
    assert_eq!(pairs["prompt"], "consent", "else some providers give no refresh token");
    assert!(!url.as_str().contains("the-verifier"));
}

#[tokio::test]
async fn what_comes_back_becomes_a_grant_that_calls_can_use() {
    let way = Way::new().await;
    way.world.answers("first", "refresh-1");
    let issuer = way.offer.provider.issuer.clone();
    let grant = way.back(Some("the-code"), Some(&issuer), None).await.unwrap();
    assert_eq!(grant.user, "https://idp.internal|alice");
    assert_eq!(grant.scopes, ["notes.read", "offline_access"], "the answer says nothing else");
    let asked = way.world.provider.asked("/token");
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("code_verifier", "the-verifier"),
        ("redirect_uri", REDIRECT),
        ("resource", RESOURCE),
    ] {
        assert_eq!(asked.parameter(name), Some(value), "{name}");
    }
    assert_eq!(way.world.token(&way.grants, &Arc::new(grant)).await.unwrap(), "first");
}

#[tokio::test]
async fn no_code_is_redeemed_that_could_not_be_recorded() {
    let way = Way::new().await;
    way.world.answers("first", "refresh-1");
    let issuer = way.offer.provider.issuer.clone();
    way.world.chain.1.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(way.back(Some("the-code"), Some(&issuer), None).await.unwrap_err(), Fault::Unavailable);
    assert_eq!(way.asked(), 0);
}

#[tokio::test]
async fn the_record_comes_before_the_tokens() {
    let way = Way::new().await;
    let issuer = way.offer.provider.issuer.clone();
    way.world.refuses(400, "invalid_grant");
    way.back(Some("an-old-code"), Some(&issuer), None).await.unwrap_err();
    let events = way.world.chain.0.lock().unwrap();
    let [asked] = events.as_slice() else { panic!("{events:?}") };
    let said = (asked.kind, asked.user.as_deref(), asked.source.as_deref());
    let wanted = (EventKind::CredentialRequested, Some("https://idp.internal|alice"), Some("grant"));
    assert_eq!((said, asked.scopes.len()), (wanted, 2));
}

#[tokio::test]
async fn a_mixed_up_or_missing_issuer_is_refused_before_anything_is_believed_or_sent() {
    let way = Way::new().await;
    let other = Some("https://other.example");
    assert_eq!(way.back(Some("the-code"), other, None).await.unwrap_err(), Fault::ConnectIssuerMixedUp);
    assert_eq!(way.back(Some("the-code"), None, None).await.unwrap_err(), Fault::ConnectIssuerMissing);
    let denied = way.back(None, other, Some("access_denied")).await;
    assert_eq!(denied.unwrap_err(), Fault::ConnectIssuerMixedUp, "an error of somebody else's is none");
    assert_eq!(way.asked(), 0);
}

#[tokio::test]
async fn a_refusal_at_the_provider_is_one_here_and_no_code_is_none() {
    let way = Way::new().await;
    let issuer = way.offer.provider.issuer.clone();
    let denied = way.back(None, Some(&issuer), Some("access_denied")).await;
    assert_eq!(denied.unwrap_err(), Fault::ConnectDenied);
    let both = way.back(Some("the-code"), Some(&issuer), Some("server_error")).await;
    assert_eq!(both.unwrap_err(), Fault::ConnectDenied);
    assert_eq!(way.back(None, Some(&issuer), None).await.unwrap_err(), Fault::RequestMalformed);
    assert_eq!(way.asked(), 0);
    way.world.refuses(400, "invalid_grant");
    let refused = way.back(Some("an-old-code"), Some(&issuer), None).await;
    assert_eq!(refused.unwrap_err(), Fault::ConnectProviderRefused);
    assert!(way.world.state.now().grants.is_empty() && way.world.store.paths().is_empty());
}

#[tokio::test]
async fn tokens_that_cannot_be_kept_are_given_back() {
    let way = Way::new().await;
    way.world.answers("first", "refresh-1");
    let issuer = way.offer.provider.issuer.clone();
    way.world.store.fail(Some(StoreErrorKind::Unavailable));
    let lost = way.back(Some("the-code"), Some(&issuer), None).await;
    assert_eq!(lost.unwrap_err(), Fault::ConnectProviderUnavailable);
    let given = way.world.provider.asked("/revoke");
    assert_eq!(given.iter().map(|asked| asked.parameter("token")).collect::<Vec<_>>(), [Some("refresh-1")]);
    assert!(way.world.state.now().grants.is_empty());
}

#[tokio::test]
async fn a_refresh_that_brings_another_account_ends_the_grant() {
    let way = Way::new().await;
    let issuer = way.offer.provider.issuer.clone();
    let answer = |token: &str, account: &str| {
        let claims = json!({"iss": issuer, "aud": "gateway", "sub": account}).to_string();
        let id_token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 300,
            "refresh_token": format!("{token}-refresh"), "id_token": id_token});
        way.world.provider.answer("/token", 200, &[], &body.to_string());
    };
    answer("first", "alice-at-notes");
    let grant = Arc::new(way.back(Some("the-code"), Some(&issuer), None).await.unwrap());
    assert_eq!(grant.account.as_deref(), Some("alice-at-notes"));
    answer("second", "alice-at-notes");
    way.world.pass(301);
    assert_eq!(way.world.token(&way.grants, &grant).await.unwrap(), "second");
    answer("third", "bob-at-notes");
    way.world.pass(301);
    assert_eq!(way.world.token(&way.grants, &grant).await.unwrap_err(), Code::GrantMissing);
    assert_eq!(way.world.ended(&grant), Some(GrantEndReason::Refused));
    let given = way.world.provider.asked("/revoke");
    assert_eq!(given.last().and_then(|asked| asked.parameter("token")), Some("third-refresh"));
    assert_eq!(way.world.stored(&grant), None);
}
