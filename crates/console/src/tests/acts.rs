use super::*;

const CARD: &str = "/console/bindings/production/bot-github";
const API_CARD: &str = "/v1/bindings/production/bot-github";

fn set(fields: &mut [(String, String)], name: &str, value: &str) {
    let field = fields.iter_mut().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}"));
    value.clone_into(&mut field.1);
}

#[tokio::test]
async fn a_signature_goes_to_the_revision_that_was_read_as_the_operator_who_read_it() {
    let site = Site::start();
    site.answers_card("active", pending());
    let waits = json!({ "code": "approval.dependency", "detail": "its server waits", "hint": "sign it first", "fixer": "you" });
    site.api.answers(&format!("{API_CARD}/effect"), 409, waits);
    site.api.answers(
        &format!("{API_CARD}/approve"),
        200,
        json!({ "object": "x", "revision": 4, "missing": [] }),
    );
    let mut browser = site.signed("carol").await;
    let form = site.get(&mut browser, CARD).await.form("/console/act/approve");
    let page = site.post(&mut browser, "/console/act/approve", &form).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let asked = site.api.asked.lock().unwrap().pop().unwrap();
    let (who, method, address, body) = asked;
    assert_eq!((who.as_str(), method.as_str()), ("https://idp.example|carol", "POST"));
    assert_eq!((address, body), (format!("{API_CARD}/approve"), json!({ "revision": 4 })));
}

#[tokio::test]
async fn a_revocation_needs_the_name_typed() {
    let site = Site::start();
    site.answers_card("active", Value::Null);
    site.api.answers(&format!("{API_CARD}/revoke"), 200, json!({ "ended": { "calls": 16 } }));
    let mut browser = site.signed("carol").await;
    let mut form = site.get(&mut browser, CARD).await.form("/console/act/revoke");
    for wrong in ["", "bot", "bot-github2"] {
        set(&mut form, "confirm", wrong);
        let page = site.post(&mut browser, "/console/act/revoke", &form).await;
        assert!(page.text.contains("Nothing was done"), "{wrong}: {}", page.text);
    }
    assert!(!site.api.asked().iter().any(|one| one.starts_with("POST")), "{:?}", site.api.asked());
    set(&mut form, "confirm", "bot-github");
    let page = site.post(&mut browser, "/console/act/revoke", &form).await;
    assert!(page.text.contains("calls: 16"), "the answer's evidence is shown: {}", page.text);
}

#[tokio::test]
async fn a_form_counts_in_its_own_browser_for_its_own_act_alone() {
    let site = Site::start();
    site.answers_card("active", Value::Null);
    let (mut carol, mut mallory) = (site.signed("carol").await, site.signed("mallory").await);
    let page = site.get(&mut carol, CARD).await;
    let form = page.form("/console/act/disable");
    // Another's browser, another act, no token, no login at all.
    let stolen = site.post(&mut mallory, "/console/act/disable", &form).await;
    let other = site.post(&mut carol, "/console/act/revoke", &form).await;
    let bare: Vec<_> = form.iter().filter(|(name, _)| name != "form_token").cloned().collect();
    let untold = site.post(&mut carol, "/console/act/disable", &bare).await;
    let nobody = site.post(&mut Browser::default(), "/console/act/disable", &form).await;
    for (page, status) in [(stolen, 403), (other, 403), (untold, 403), (nobody, 401)] {
        assert_eq!(page.status.as_u16(), status, "{}", page.text);
    }
    assert!(!site.api.asked().iter().any(|one| one.starts_with("POST")), "{:?}", site.api.asked());
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let site = Site::start();
    site.answers_card("active", Value::Null);
    let mut browser = site.signed("carol").await;
    let form = site.get(&mut browser, CARD).await.form("/console/act/disable");
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    let request = Request::post("/console/act/disable")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .body(Body::from(body))
        .unwrap();
    let page = site.send(&site.router, &mut browser, request).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(!site.api.asked().iter().any(|one| one.starts_with("POST")));
}

#[tokio::test]
async fn fields_that_would_lead_elsewhere_never_reach_the_api() {
    let site = Site::start();
    site.api.answers(
        "/v1/grants",
        200,
        json!({ "items": [{
            "id": "g1", "environment": "dev", "provider": "p", "user": "idp|a", "scopes": [],
            "created_at": "2026-11-26T10:00:00Z"
        }]}),
    );
    let mut browser = site.signed("carol").await;
    let mut form = site.get(&mut browser, "/console/grants").await.form("/console/act/end-grant");
    for odd in ["../bindings/production/bot", "g1/revoke?x=", "..", "g 1", "g%31"] {
        set(&mut form, "id", odd);
        assert_eq!(
            site.post(&mut browser, "/console/act/end-grant", &form).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert!(!site.api.asked().iter().any(|one| one.starts_with("POST")), "{:?}", site.api.asked());
}

#[tokio::test]
async fn what_the_api_refuses_is_not_called_done() {
    let site = Site::start();
    site.answers_card("active", pending());
    let waits = json!({ "code": "approval.dependency", "detail": "its server waits", "hint": "sign it first", "fixer": "you" });
    site.api.answers(&format!("{API_CARD}/effect"), 409, waits);
    let own = json!({ "code": "approval.own_work", "detail": "you wrote it", "hint": "another person signs", "fixer": "another approver" });
    site.api.answers(&format!("{API_CARD}/approve"), 403, own);
    let mut browser = site.signed("alice").await;
    let form = site.get(&mut browser, CARD).await.form("/console/act/approve");
    let page = site.post(&mut browser, "/console/act/approve", &form).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("you wrote it") && !page.text.contains("Signed"), "{}", page.text);
}

#[tokio::test]
async fn a_lock_names_what_was_filled_in_and_nothing_else() {
    let site = Site::start();
    let lock = json!({
        "id": "a1", "stops": "agent bot", "reason": "odd calls", "author": "idp|carol",
        "until": "2026-11-26T12:00:00Z", "stands": true
    });
    site.api.answers("/v1/locks", 200, json!({ "items": [lock] }));
    site.api.answers("/v1/locks/a1/lift", 200, json!({ "everywhere": true }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/locks").await;
    assert!(page.text.contains("odd calls"), "{}", page.text);
    let mut form = page.form("/console/act/lock");
    set(&mut form, "agent", " bot ");
    set(&mut form, "minutes", "5");
    set(&mut form, "reason", "a loop");
    site.post(&mut browser, "/console/act/lock", &form).await;
    let (_, _, address, body) = site.api.asked.lock().unwrap().pop().unwrap();
    assert_eq!(address, "/v1/locks");
    assert_eq!(body, json!({ "selector": { "agent": "bot" }, "reason": "a loop", "seconds": 300 }));
    for odd in ["", "soon", "-1", "1.5"] {
        set(&mut form, "minutes", odd);
        let page = site.post(&mut browser, "/console/act/lock", &form).await;
        assert!(page.text.contains("Nothing was done"), "{odd}: {}", page.text);
    }
    site.post(&mut browser, "/console/act/lift-lock", &page.form("/console/act/lift-lock")).await;
    assert_eq!(site.api.asked().last().unwrap(), "POST /v1/locks/a1/lift");
}

/// Fills in what a form wants typed, sends it, and tells what the API was told to match.
async fn sent(site: &Site, browser: &mut Browser, place: &str, act: &str) -> Option<String> {
    let action = format!("/console/act/{act}");
    let mut form = site.get(browser, place).await.form(&action);
    for (field, value) in &mut form {
        if field.starts_with("confirm") {
            *value = place.rsplit('/').next().unwrap().to_owned();
        }
    }
    site.post(browser, &action, &form).await;
    site.api.matched.lock().unwrap().pop().unwrap_or_else(|| panic!("{act} sent nothing"))
}

#[tokio::test]
async fn what_lets_something_through_is_done_only_on_what_the_page_showed_and_what_stops_is_done_anyway() {
    let site = Site::start();
    let tag = Some("\"3-0011aabb\"".to_owned());
    let mut browser = site.signed("carol").await;
    site.answers_card("active", pending());
    for (act, expected) in
        [("approve", &tag), ("rotate", &tag), ("review", &tag), ("disable", &None), ("revoke", &None)]
    {
        assert_eq!(sent(&site, &mut browser, CARD, act).await, *expected, "{act}");
    }
    site.answers_card("disabled", Value::Null);
    assert_eq!(sent(&site, &mut browser, CARD, "enable").await, tag);
    let mut bot = whole("bot", None, json!({ "kind": "Agent" }));
    bot["status"] = json!("disabled");
    site.api.answers("/v1/objects/agent/-/bot", 200, bot);
    site.api.answers("/v1/agents/bot/calls", 403, json!({ "code": "operator.forbidden" }));
    site.api.answers("/v1/agents/bot/tokens", 200, json!({ "items": [] }));
    site.api.answers("/v1/bindings", 200, json!({ "items": [], "next": null }));
    let page = "/console/agents/bot";
    assert_eq!(sent(&site, &mut browser, page, "enable-agent").await.as_deref(), Some("\"2-ccdd\""));
    assert_eq!(sent(&site, &mut browser, page, "revoke-agent").await, None);
}

#[tokio::test]
async fn a_thing_that_has_moved_on_is_left_as_it_is_and_a_plain_page_says_so() {
    let site = Site::start();
    site.answers_card("disabled", Value::Null);
    let moved = json!({ "code": "object.changed", "detail": "it is at `4-00` now", "hint": "read it", "fixer": "you" });
    site.api.answers(&format!("{API_CARD}/enable"), 412, moved);
    let mut browser = site.signed("carol").await;
    let form = site.get(&mut browser, CARD).await.form("/console/act/enable");
    let page = site.post(&mut browser, "/console/act/enable", &form).await;
    assert_eq!(page.status, StatusCode::PRECONDITION_FAILED);
    for told in ["It has changed meanwhile", "Nothing was done", "as it is now", CARD] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    assert!(!page.text.contains("Enabled"), "{}", page.text);
}

#[tokio::test]
async fn a_form_without_a_tag_or_with_an_odd_one_never_reaches_the_api() {
    let site = Site::start();
    site.answers_card("disabled", Value::Null);
    let mut browser = site.signed("carol").await;
    let mut form = site.get(&mut browser, CARD).await.form("/console/act/enable");
    for odd in ["", "*", "a\", \"b", "W/\"x\"", "a,b"] {
        set(&mut form, "seen", odd);
        let page = site.post(&mut browser, "/console/act/enable", &form).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{odd}");
    }
    assert!(!site.api.asked().iter().any(|one| one.starts_with("POST")), "{:?}", site.api.asked());
}

#[tokio::test]
async fn a_lock_that_is_refused_keeps_what_was_filled_in() {
    let site = Site::start();
    site.api.answers("/v1/locks", 200, json!({ "items": [] }));
    let mut browser = site.signed("carol").await;
    let mut form = site.get(&mut browser, "/console/locks").await.form("/console/act/lock");
    set(&mut form, "agent", "bot");
    set(&mut form, "minutes", "soon");
    set(&mut form, "reason", "a long reason that nobody wants to type <twice>");
    let page = site.post(&mut browser, "/console/act/lock", &form).await;
    assert!(page.text.contains("Nothing was done"), "{}", page.text);
    let again = page.form("/console/act/lock");
    let said = |name: &str| again.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!((said("agent").as_str(), said("minutes").as_str()), ("bot", "soon"));
    assert_eq!(said("reason"), "a long reason that nobody wants to type &lt;twice&gt;");
    let wide = json!({ "code": "lock.everything", "detail": "it names nothing", "hint": "name more", "fixer": "you" });
    site.api.answers("/v1/locks", 422, wide);
    set(&mut form, "minutes", "5");
    let page = site.post(&mut browser, "/console/act/lock", &form).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("it names nothing") && page.text.contains("value=\"bot\""), "{}", page.text);
}
