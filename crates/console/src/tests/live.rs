use super::*;

fn waiting() -> Value {
    json!({ "items": [] })
}

#[tokio::test]
async fn a_live_page_marks_the_part_that_changes_and_keeps_forms_out_of_it() {
    let site = Site::start();
    site.api.answers("/v1/locks", 200, json!({ "items": [] }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/locks").await;
    let (_, rest) = page.text.split_once("<div data-live=\"5\">").unwrap_or_else(|| panic!("{}", page.text));
    let (live, still) = rest.split_once("</div><h2>Lock something").unwrap();
    assert!(live.contains("Nothing is locked") && still.contains("/console/act/lock"), "{}", page.text);
}

#[tokio::test]
async fn what_a_page_asks_by_itself_keeps_no_session_open() {
    let site = Site::start();
    site.api.answers("/v1/waiting", 200, waiting());
    let mut browser = site.signed("carol").await;
    // A desk that somebody has left: the page asks on, and the session ends all the same.
    let mut last = StatusCode::OK;
    for _ in 0..30 {
        site.clock.advance(Duration::from_secs(60));
        let request = Request::get("/console/approvals").header("x-live", "1").body(Body::empty()).unwrap();
        last = site.send(&site.router, &mut browser, request).await.status;
    }
    assert_eq!(last, StatusCode::SEE_OTHER, "it rests for more than 600 seconds");
    // Somebody who goes on working stays.
    let mut browser = site.signed("carol").await;
    for _ in 0..30 {
        site.clock.advance(Duration::from_secs(60));
        assert_eq!(site.get(&mut browser, "/console/approvals").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_script_is_served_by_the_gateway_and_makes_no_markup_of_texts() {
    let site = Site::start();
    let page = site.get(&mut Browser::default(), "/console/live.js").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/javascript"));
    for forbidden in
        ["eval(", "Function(", "innerHTML = ", "insertAdjacentHTML", "document.write", "outerHTML = "]
    {
        assert!(!page.text.contains(forbidden), "{forbidden}");
    }
}
