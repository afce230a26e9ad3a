use super::*;

fn way() -> Value {
    json!({
        "who": "agent bot by client bot", "environment": "production", "server": "github", "tools": ["close"],
        "every_other": true, "binding": "bot-github@3", "mode": "service_account", "reference": "bao://(masked)",
        "policies": ["calls"], "conditions": ["until <b>tomorrow</b>"]
    })
}

fn barred() -> Value {
    json!({
        "who": "agent other", "environment": "production", "server": "github", "tools": ["delete"], "every_other": false,
        "refusal": "tool.unknown", "because": "the policies deny", "change": ["policy `calls` would have to permit it"]
    })
}

#[tokio::test]
async fn who_reaches_a_tool_is_asked_of_the_api_and_told_with_the_way_to_each_card() {
    let site = Site::start();
    let told = json!({
        "epoch": 7, "environment": "production", "server": "github", "tool": "close", "risk": "write", "named": false,
        "reaches": [way()], "nearly": [barred()], "nobody": [{ "who": "workload ci" }], "words": ["a word"],
        "limited": "only a part is told", "more": false
    });
    site.api.answers("/v1/access/who", 200, told);
    let mut browser = site.signed("carol").await;
    let page = site
        .get(&mut browser, "/console/access?question=who&environment=production&server=github&tool=close")
        .await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in [
        "agent bot by client bot",
        "href=\"/console/bindings/production/bot-github\"",
        "until &lt;b&gt;tomorrow&lt;/b&gt;",
        "no manifest names the tool",
        "the policies deny",
        "would have to permit it",
        "workload ci",
        "only a part is told",
    ] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    let asked = site.api.asked();
    assert_eq!(asked, ["GET /v1/access/who?environment=production&server=github&tool=close"]);
    // Labels lead to their own fields: every id is there once.
    for id in page.text.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(page.text.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[tokio::test]
async fn what_somebody_reaches_is_asked_by_kind_and_a_kind_that_is_none_reaches_nothing() {
    let site = Site::start();
    site.api.answers(
        "/v1/access/what",
        200,
        json!({ "reaches": [way()], "nearly": [barred()], "words": [] }),
    );
    let mut browser = site.signed("carol").await;
    let page =
        site.get(&mut browser, "/console/access?question=what&subject=group&name=support%20team").await;
    for told in [
        "close and every tool that no manifest names",
        "tool.unknown",
        "support team",
        "value=\"support team\"",
    ] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    assert_eq!(site.api.asked(), ["GET /v1/access/what?group=support+team"]);
    for odd in ["question=what&subject=etag&name=x", "question=whom"] {
        let page = site.get(&mut browser, &format!("/console/access?{odd}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{odd}");
    }
    assert_eq!(site.api.asked().len(), 1);
}

#[tokio::test]
async fn why_a_call_would_be_refused_is_told_with_what_would_change_it() {
    let site = Site::start();
    let told = json!({
        "epoch": 7, "allowed": false, "refusal": "lock.active", "because": "a lock stops it", "change": ["lift the lock"],
        "candidates": [{ "binding": "bot-github@3", "matches": true, "wins": true, "mode": "service_account",
            "because": ["serves agent bot"], "change": [] }],
        "winner": "bot-github@3", "verdict": { "reasons": ["`calls[0]` permits"], "policies": ["calls"], "version": "00ff" }
    });
    site.api.answers("/v1/policies/explain", 200, told);
    let mut browser = site.signed("carol").await;
    let question =
        "question=why&environment=production&server=github&tool=close&agent=bot&groups=one,%20two,";
    let page = site.get(&mut browser, &format!("/console/access?{question}")).await;
    for told in [
        "It would be refused: a lock stops it",
        "lift the lock",
        "decides",
        "`calls[0]` permits",
        "value=\"bot\"",
    ] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    let (_, method, address, body) = site.api.asked.lock().unwrap().pop().unwrap();
    assert_eq!((method.as_str(), address.as_str()), ("POST", "/v1/policies/explain"));
    let call = json!({
        "environment": "production", "server": "github", "tool": "close",
        "actor": { "agent": "bot", "groups": ["one", "two"] }
    });
    assert_eq!(body, call);
}

#[tokio::test]
async fn a_question_that_the_api_refuses_stays_to_be_mended() {
    let site = Site::start();
    let problem = json!({ "code": "request.malformed", "detail": "server `No` is not valid", "hint": "mend it", "fixer": "you" });
    site.api.answers("/v1/access/who", 400, problem);
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/access?question=who&environment=dev&server=No&tool=x").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("is not valid") && page.text.contains("value=\"No\""), "{}", page.text);
    let empty = site.get(&mut browser, "/console/access").await;
    assert!(
        empty.text.contains("Who can reach this tool?") && !empty.text.contains("value=\"No\""),
        "{}",
        empty.text
    );
}
