use super::*;

#[tokio::test]
async fn the_card_says_what_a_reviewer_has_to_know() {
    let site = Site::start();
    site.answers_card("active", pending());
    let gain = json!({
        "agent": "bot", "environment": "production", "server": "github", "tool": "close", "method": "tools/call",
        "calls": 3, "last": "2026-11-26T09:00:00Z", "before": null, "after": "bot-github@4"
    });
    let effect =
        json!({ "calls": 9, "unchanged": 5, "untold": 1, "gains": [gain], "losses": [], "moves": [] });
    site.api.answers("/v1/bindings/production/bot-github/effect", 200, effect);
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/bindings/production/bot-github").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("let through from now on") && page.text.contains("bot-github@4"));
    for told in [
        "agent bot",
        "https://github.internal/mcp",
        "vault://kv/support/bot#token",
        "revision 2 must permit as well",
        "Approve revision 4",
        "an approver of the environment or an approver of platform, which owns the path",
        "<del>write</del>",
        "<ins>destructive</ins>",
    ] {
        assert!(
            page.text.replace("</span>", "").replace("<wbr>", "").contains(told),
            "no {told:?} in {}",
            page.text
        );
    }
}

#[tokio::test]
async fn who_cannot_sign_is_told_so_and_has_no_button() {
    let site = Site::start();
    let mut waits = pending();
    waits["yours"] = json!(false);
    site.answers_card("active", waits);
    let mut browser = site.signed("alice").await;
    let page = site.get(&mut browser, "/console/bindings/production/bot-github").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("waits for signatures") && page.text.contains("It is not yours to sign."));
    assert!(!page.text.contains("/console/act/approve"), "{}", page.text);
}

#[tokio::test]
async fn whatever_a_manifest_says_is_text() {
    let site = Site::start();
    let mut odd = card("active", Value::Null);
    odd["who"] = json!("<script>alert(1)</script> \"' & \u{202e}nimda");
    site.api.answers("/v1/bindings", 200, json!({ "items": [odd], "next": "Binding/a/<b>&\"" }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/bindings").await;
    let text = page.text.replace("<wbr>", "");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &quot;&#39; &amp; \u{fffd}nimda"));
    assert!(page.text.contains("cursor=Binding%2Fa%2F%3Cb%3E%26%22"), "{}", page.text);
}

#[tokio::test]
async fn filters_and_pages_reach_the_api_as_they_were_said() {
    let site = Site::start();
    site.api.answers("/v1/bindings", 200, json!({ "items": [], "next": null }));
    let mut browser = site.signed("carol").await;
    let page =
        site.get(&mut browser, "/console/bindings?environment=dev&status=active&unknown=1&server=").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("There is no binding here"), "an empty page says what to do");
    assert_eq!(site.api.asked(), ["GET /v1/bindings?environment=dev&status=active"]);
}

#[tokio::test]
async fn what_the_api_refuses_is_told_in_its_own_words_with_its_status() {
    let site = Site::start();
    let problem = json!({
        "status": 403, "code": "operator.forbidden", "detail": "this takes the role `auditor`",
        "hint": "ask an administrator", "fixer": "an administrator"
    });
    site.api.answers("/v1/audit", 403, problem);
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/audit").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    for told in ["this takes the role `auditor`", "ask an administrator", "operator.forbidden"] {
        assert!(page.text.contains(told), "{}", page.text);
    }
}

#[tokio::test]
async fn unknown_and_forbidden_look_the_same_and_odd_names_never_reach_the_api() {
    let site = Site::start();
    let mut browser = site.signed("carol").await;
    assert_eq!(site.get(&mut browser, "/console/bindings/dev/nothing").await.status, StatusCode::NOT_FOUND);
    for odd in [
        "/console/bindings/dev/..%2F..%2Fv1%2Fexport",
        "/console/bindings/%2e%2e/x",
        "/console/bindings/dev/a%3Fb",
        "/console/audit/..%2Fverify",
    ] {
        assert_eq!(site.get(&mut browser, odd).await.status, StatusCode::NOT_FOUND, "{odd}");
    }
    let asked = site.api.asked();
    let paths: Vec<_> = asked.iter().map(|one| one.split('?').next().unwrap()).collect();
    assert_eq!(paths, ["GET /v1/bindings/dev/nothing", "GET /v1/audit"], "{asked:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_no_empty_page() {
    let site = Site::start();
    site.api.answers("/v1/sessions", 200, json!({ "things": [] }));
    let mut browser = site.signed("carol").await;
    assert_eq!(site.get(&mut browser, "/console/sessions").await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn every_page_keeps_browsers_from_scripts_frames_and_caches() {
    let site = Site::start();
    let mut browser = site.signed("carol").await;
    for path in [
        "/console",
        "/console/style.css",
        "/console/live.js",
        "/console/nothing-here",
        "/console/bindings/dev/x",
    ] {
        let page = site.get(&mut browser, path).await;
        let said = |name: &str| page.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let policy = said("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        // What is nowhere is the login's to say, which has no script at all.
        let scripts = if path.ends_with("nothing-here") { "" } else { "script-src 'self'; " };
        assert!(policy.starts_with(&format!("default-src 'none'; {scripts}")), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(said("x-frame-options").as_deref(), Some("DENY"), "{path}");
        let fixed = path.ends_with(".css") || path.ends_with(".js");
        assert!(fixed || said("cache-control").as_deref() == Some("no-store"), "{path}");
    }
}

#[tokio::test]
async fn the_story_of_one_call_shows_every_field_in_the_order_of_the_chain() {
    let site = Site::start();
    let record = |sequence: u64, kind: &str| {
        json!({ "sequence": sequence, "hash": "00", "event": {
            "time": "2026-11-26T10:00:00.5Z", "kind": kind, "binding": "bot@3", "environment": "dev", "server": "github",
            "tool": "close", "user": "https://idp|a&b", "outcome": { "upstream_status": 200 }
        }})
    };
    site.api.answers(
        "/v1/audit",
        200,
        json!({ "records": [record(7, "intent"), record(8, "outcome")], "more": false }),
    );
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/audit/01KB0J1WZ00000000000000000").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let (intent, outcome) = (page.text.find("Record 7").unwrap(), page.text.find("Record 8").unwrap());
    assert!(intent < outcome && page.text.contains("upstream_status: 200"));
    assert!(site.api.asked().iter().any(|one| one.contains("order=oldest_first")), "{:?}", site.api.asked());
    let now = "question=why&amp;environment=dev&amp;server=github&amp;tool=close&amp;user=https%3A%2F%2Fidp%7Ca%26b";
    assert!(page.text.contains(now), "{}", page.text);
}
