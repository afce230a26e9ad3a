//! Connecting an account, and ending it.

use gateway_core::actor::UserIdentity;
use gateway_core::connect::{ConnectPages as _, ConnectWish};
use gateway_core::login::Fault;
use gateway_core::time::Clock as _;

use super::accounts::{grant, offer};
use super::*;

const PAGE: &str = "/connect/dev/notes";

fn alice() -> UserIdentity {
    UserIdentity { issuer: "https://idp.example".into(), subject: "alice".into() }
}

/// The link that a call of this user's is answered with.
fn link(site: &Site, user: &UserIdentity, scopes: &[&str]) -> String {
    let wish = ConnectWish {
        user,
        environment: &"dev".parse().unwrap(),
        server: &"notes".parse().unwrap(),
        provider: &"notes".parse().unwrap(),
        scopes,
        resource: Some("https://notes.internal"),
        now: site.clock.now(),
    };
    let url = site.login.address(&wish).unwrap();
    assert_eq!(url.origin().ascii_serialization(), ORIGIN);
    format!("{}?{}", url.path(), url.query().unwrap())
}

async fn signed_in(site: &Site) -> Browser {
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    browser
}

/// Agrees on the page; gives the address at the provider.
async fn begun(site: &Site, browser: &mut Browser, path: &str) -> Url {
    let page = site.get(browser, path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let page = site.post(browser, "/connect/begin", &page.form("/connect/begin")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    page.leads_to()
}

async fn back(site: &Site, browser: &mut Browser, at_provider: &Url) -> Page {
    let state = parameter(at_provider, "state").unwrap();
    let query = encoded(&[("code", "provider-code"), ("state", &state), ("iss", "https://notes.example")]);
    site.get(browser, &format!("/connect/callback?{query}")).await
}

#[tokio::test]
async fn a_person_connects_an_account_and_it_is_theirs() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let at_provider = begun(&site, &mut browser, PAGE).await;
    assert_eq!(at_provider.host_str(), Some("notes.example"));
    let page = back(&site, &mut browser, &at_provider).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("<code>read</code>") && !page.text.contains("did not grant everything"));
    let arrivals = site.accounts.arrivals.lock().unwrap().clone();
    let departures = site.accounts.departures.lock().unwrap().clone();
    let [(user, code, verifier, scopes)] = arrivals.as_slice() else { panic!("{arrivals:?}") };
    assert_eq!((user.as_str(), code.as_deref()), ("https://idp.example|alice", Some("provider-code")));
    assert_eq!(scopes, &["read"]);
    assert_eq!(verifier, &departures[0].1, "the verifier of this way");
    let event = site.accounts.events.lock().unwrap()[0].clone();
    assert_eq!(event.user.as_deref(), Some("https://idp.example|alice"));
    assert!(event.session.is_some() && event.source_address.is_some());
}

#[tokio::test]
async fn a_stranger_logs_in_first_and_comes_back_to_the_very_link() {
    let site = Site::start();
    let (mut browser, link) = (Browser::default(), link(&site, &alice(), &["write"]));
    let gone = site.get(&mut browser, &link).await.location();
    assert_eq!(gone.host_str(), Some("idp.example"));
    let home = site.come_back(&mut browser, &gone).await.location();
    assert_eq!(format!("{}?{}", home.path(), home.query().unwrap()), link);
    begun(&site, &mut browser, &link).await;
    assert_eq!(site.accounts.departures.lock().unwrap()[0].2, ["write"], "exactly what the call needs");
}

#[tokio::test]
async fn a_link_for_somebody_else_is_refused_before_anything_is_asked() {
    let site = Site::start();
    let bob = UserIdentity { subject: "bob".into(), ..alice() };
    let mut browser = signed_in(&site).await;
    let page = site.get(&mut browser, &link(&site, &bob, &["read"])).await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::FORBIDDEN, "connect.other_user"));
    assert!(!page.text.contains("notes"), "nothing of what bob may use: {}", page.text);
    assert!(page.text.contains("action=\"/login/out\""), "a way to become somebody else");
    assert_eq!(site.last_reason(), "connect.other_user");
    // Nor by taking the form of one's own page and changing it.
    let mut fields = site.get(&mut browser, PAGE).await.form("/connect/begin");
    let (_, query) =
        link(&site, &bob, &["read"]).split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    fields.extend(url::form_urlencoded::parse(query.as_bytes()).into_owned());
    let page = site.post(&mut browser, "/connect/begin", &fields).await;
    assert_eq!(page.code(), "connect.other_user");
    assert!(site.accounts.departures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_changed_or_old_link_is_refused() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let good = link(&site, &alice(), &["read"]);
    let seal = parameter(&Url::parse(&format!("{ORIGIN}{good}")).unwrap(), "seal").unwrap();
    for bad in [
        good.replace("scope=read", "scope=read+write"),
        good.replace("server=notes", "server=other"),
        good.replace("notes.internal", "evil.internal"),
        good.replace("/dev/", "/production/"),
        good.replace("until=", "until=9"),
        good.replace(&format!("seal={seal}"), "seal=AAAA"),
        good.replace(&format!("&seal={seal}"), ""),
    ] {
        assert_ne!(bad, good);
        let page = site.get(&mut browser, &bad).await;
        assert_eq!(page.code(), "connect.link_refused", "{bad}");
        // And nobody is sent to log in for it.
        assert_eq!(site.get(&mut Browser::default(), &bad).await.code(), "connect.link_refused", "{bad}");
    }
    site.clock.advance(Duration::from_secs(1_800));
    let mut browser = signed_in(&site).await;
    assert_eq!(site.get(&mut browser, &good).await.code(), "connect.link_refused");
}

#[tokio::test]
async fn a_sealed_link_asks_for_no_scope_that_no_binding_asks_for_any_more() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let page = site.get(&mut browser, &link(&site, &alice(), &["admin"])).await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::NOT_FOUND, "connect.unknown"));
}

#[tokio::test]
async fn what_does_not_exist_and_what_one_may_not_use_look_alike() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let absent = site.get(&mut browser, "/connect/dev/absent").await;
    *site.provider.subject.lock().unwrap() = "mallory".to_owned();
    let mut browser = signed_in(&site).await;
    let foreign = site.get(&mut browser, PAGE).await;
    assert_eq!((absent.status, absent.code()), (foreign.status, foreign.code()));
    assert_eq!(foreign.code(), "connect.unknown");
}

#[tokio::test]
async fn an_address_that_names_no_resource_where_there_are_several_is_refused() {
    let site = Site::start();
    site.accounts.offers.lock().unwrap().push(offer("notes", None));
    let mut browser = signed_in(&site).await;
    assert_eq!(site.get(&mut browser, PAGE).await.code(), "oauth.request_malformed");
    let page = site.get(&mut browser, &format!("{PAGE}?resource=https%3A%2F%2Fnotes.internal")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
}

#[tokio::test]
async fn a_state_is_good_once_for_the_session_that_began_it() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let at_provider = begun(&site, &mut browser, PAGE).await;
    assert_eq!(back(&site, &mut browser, &at_provider).await.status, StatusCode::OK);
    let page = back(&site, &mut browser, &at_provider).await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::BAD_REQUEST, "connect.state_unknown"));

    // Somebody else's session, the same person's other browser, and nobody at all.
    for (subject, session, code) in [
        ("bob", true, "connect.other_session"),
        ("alice", true, "connect.other_session"),
        ("alice", false, "page.session_missing"),
    ] {
        *site.provider.subject.lock().unwrap() = "alice".to_owned();
        let mut browser = signed_in(&site).await;
        let at_provider = begun(&site, &mut browser, PAGE).await;
        *site.provider.subject.lock().unwrap() = subject.to_owned();
        let mut other = if session { signed_in(&site).await } else { Browser::default() };
        assert_eq!(back(&site, &mut other, &at_provider).await.code(), code);
        assert_eq!(back(&site, &mut browser, &at_provider).await.code(), "connect.state_unknown", "used up");
    }
    assert_eq!(site.accounts.arrivals.lock().unwrap().len(), 1, "the provider was asked for the first alone");
}

#[tokio::test]
async fn a_way_ends_after_ten_minutes() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let at_provider = begun(&site, &mut browser, PAGE).await;
    site.clock.advance(Duration::from_secs(600));
    let page = back(&site, &mut browser, &at_provider).await;
    assert_eq!(page.code(), "connect.state_unknown");
}

#[tokio::test]
async fn the_form_is_taken_from_our_own_page_alone() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let fields = site.get(&mut browser, PAGE).await.form("/connect/begin");
    let without: Vec<_> = fields.iter().filter(|(name, _)| name != "form_token").cloned().collect();
    assert_eq!(site.post(&mut browser, "/connect/begin", &without).await.code(), "page.form_forged");
    let mut other = signed_in(&site).await;
    assert_eq!(site.post(&mut other, "/connect/begin", &fields).await.code(), "page.form_forged");
    let nobody = site.post(&mut Browser::default(), "/connect/begin", &fields).await;
    assert_eq!(nobody.code(), "page.session_missing");
    assert!(site.accounts.departures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_fault_of_the_provider_has_its_page_and_its_evidence() {
    let site = Site::start();
    for fault in [
        Fault::ConnectIssuerMissing,
        Fault::ConnectIssuerMixedUp,
        Fault::ConnectDenied,
        Fault::ConnectProviderRefused,
        Fault::ConnectProviderUnavailable,
    ] {
        let mut browser = signed_in(&site).await;
        *site.accounts.fault.lock().unwrap() = None;
        let at_provider = begun(&site, &mut browser, PAGE).await;
        *site.accounts.fault.lock().unwrap() = Some(fault);
        let page = back(&site, &mut browser, &at_provider).await;
        assert_eq!((page.status.as_u16(), page.code().as_str()), (fault.row().status, fault.as_str()));
        assert_eq!(site.last_reason(), fault.as_str());
    }
    assert!(site.accounts.grants.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_new_grant_asks_for_what_the_old_one_had_and_says_what_it_replaces() {
    let site = Site::start();
    let held = grant("g-0", &alice(), "notes", &["read", "write", "gone"]);
    site.accounts.grants.lock().unwrap().push(Arc::new(held));
    let mut browser = signed_in(&site).await;
    let page = site.get(&mut browser, PAGE).await;
    assert!(page.text.contains("replaces it"), "{}", page.text);
    begun(&site, &mut browser, PAGE).await;
    assert_eq!(site.accounts.departures.lock().unwrap()[0].2, ["read", "write"]);
}

#[tokio::test]
async fn what_the_provider_did_not_grant_is_said() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    let at_provider = begun(&site, &mut browser, &link(&site, &alice(), &["read", "write"])).await;
    let page = back(&site, &mut browser, &at_provider).await;
    assert!(page.text.contains("did not grant everything"), "{}", page.text);
}

#[tokio::test]
async fn people_see_their_own_grants_and_end_them() {
    let site = Site::start();
    let bob = UserIdentity { subject: "bob".into(), ..alice() };
    site.accounts.grants.lock().unwrap().extend([
        Arc::new(grant("g-alice", &alice(), "notes", &["read"])),
        Arc::new(grant("g-bob", &bob, "notes", &["secret-plans"])),
    ]);
    site.accounts.offers.lock().unwrap().push(offer("mail", None));
    let mut browser = signed_in(&site).await;
    let page = site.get(&mut browser, "/grants").await;
    assert!(page.text.contains("1970-01-01 00:16 UTC"), "{}", page.text);
    assert!(
        page.text.contains("g-alice") && !page.text.contains("g-bob") && !page.text.contains("secret-plans")
    );
    assert!(page.text.contains("/connect/dev/mail") && !page.text.contains("/connect/dev/notes"));
    let mut fields = page.form("/grants/end");
    let mut foreign = fields.clone();
    foreign.iter_mut().filter(|(name, _)| name == "grant").for_each(|(_, value)| *value = "g-bob".to_owned());
    let page = site.post(&mut browser, "/grants/end", &foreign).await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::NOT_FOUND, "connect.grant_unknown"));
    let page = site.post(&mut browser, "/grants/end", &fields).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("has taken the access back"));
    fields.retain(|(name, _)| name != "form_token");
    assert_eq!(site.post(&mut browser, "/grants/end", &fields).await.code(), "page.form_forged");
    let left: Vec<String> =
        site.accounts.grants.lock().unwrap().iter().map(|grant| grant.id.clone()).collect();
    assert_eq!(left, ["g-bob"]);
}

#[tokio::test]
async fn nothing_is_called_revoked_that_the_provider_did_not_confirm() {
    let site = Site::start();
    site.accounts.confirms.store(false, Ordering::SeqCst);
    site.accounts.grants.lock().unwrap().push(Arc::new(grant("g-1", &alice(), "notes", &["read"])));
    let mut browser = signed_in(&site).await;
    let fields = site.get(&mut browser, "/grants").await.form("/grants/end");
    let page = site.post(&mut browser, "/grants/end", &fields).await;
    assert!(
        page.text.contains("did not confirm") && page.text.contains("<code>not_offered</code>"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn a_stranger_is_sent_to_log_in_before_they_see_grants() {
    let site = Site::start();
    let mut browser = Browser::default();
    let gone = site.get(&mut browser, "/grants").await.location();
    let home = site.come_back(&mut browser, &gone).await.location();
    assert_eq!(home.as_str(), format!("{ORIGIN}/grants"));
}

#[tokio::test]
async fn an_outage_of_the_state_is_a_page_and_no_grant() {
    let site = Site::start();
    let mut browser = signed_in(&site).await;
    site.accounts.down.store(true, Ordering::SeqCst);
    for path in [PAGE, "/grants"] {
        assert_eq!(site.get(&mut browser, path).await.code(), "login.unavailable");
    }
}
