use super::*;

#[tokio::test]
async fn nobody_sees_a_page_without_logging_in_and_is_led_back_to_it() {
    let site = Site::start();
    for path in ["/console", "/console/bindings?environment=dev", "/console/audit", "/console/bindings/dev/x"]
    {
        let mut browser = Browser::default();
        let gone = site.get(&mut browser, path).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER, "{path}");
        assert!(gone.location().starts_with("https://idp.example/authorize"), "{path}: {gone:?}");
        let back = site.come_back(&site.router.clone(), &mut browser, &gone).await;
        assert_eq!(back.location(), format!("{ORIGIN}{path}"));
    }
    assert!(site.api.asked().is_empty(), "the API was asked for nobody");
}

#[tokio::test]
async fn a_login_is_an_operators_in_the_evidence() {
    let site = Site::start();
    site.signed("alice").await;
    let events = site.chain.0.lock().unwrap();
    let login =
        events.iter().find(|event| event.kind == gateway_core::audit::EventKind::OperatorLogin).unwrap();
    assert_eq!(login.operator.as_ref().unwrap().as_str(), "https://idp.example|alice");
}

#[tokio::test]
async fn a_person_without_a_role_gets_no_page_and_the_api_is_not_asked() {
    let site = Site::start();
    let mut browser = site.signed("nobody").await;
    let page = site.get(&mut browser, "/console/bindings").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("no role"), "{}", page.text);
    assert!(site.api.asked().is_empty());
}

#[tokio::test]
async fn a_session_of_the_peoples_pages_opens_no_console() {
    let site = Site::start();
    let mut browser = Browser::default();
    let people = site.people.clone();
    let gone = site.send(&people, &mut browser, Request::get("/login").body(Body::empty()).unwrap()).await;
    site.come_back(&people, &mut browser, &gone).await;
    let session = browser.0["__Host-mcpgw"].clone();
    // Under its own name, and under the console's.
    for name in ["__Host-mcpgw", "__Host-mcpgw-console"] {
        let mut browser = Browser([(name.to_owned(), session.clone())].into());
        let page = site.get(&mut browser, "/console").await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{name}: {page:?}");
    }
    assert!(site.api.asked().is_empty());
}

#[tokio::test]
async fn a_session_ends_by_resting_and_by_the_button() {
    let site = Site::start();
    site.api.answers("/v1/grants", 200, json!({ "items": [] }));
    let mut browser = site.signed("alice").await;
    let page = site.get(&mut browser, "/console/grants").await;
    assert_eq!(page.status, StatusCode::OK);
    let mut left = Browser(browser.0.clone());
    assert_eq!(site.post(&mut left, "/login/out", &page.form("/login/out")).await.status, StatusCode::OK);
    assert_eq!(site.get(&mut browser, "/console/grants").await.status, StatusCode::SEE_OTHER);
    let mut browser = site.signed("alice").await;
    site.clock.advance(Duration::from_secs(601));
    assert_eq!(site.get(&mut browser, "/console/grants").await.status, StatusCode::SEE_OTHER);
}
