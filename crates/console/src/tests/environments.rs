use super::*;

#[tokio::test]
async fn an_environment_tells_its_rule_its_stores_and_how_much_is_in_it() {
    let site = Site::start();
    let spec = json!({
        "kind": "Environment", "name": "production", "tier": "production", "approvals": 2,
        "reviews": { "every_days": 90, "remind_days_before": 14, "on_expiry": "disable" }
    });
    site.api.answers("/v1/objects/environment/-/production", 200, whole("production", None, spec));
    let counts = json!({ "bindings": { "active": 41, "pending": 2 }, "agents": { "disabled": 1 } });
    site.api.answers("/v1/summary", 200, counts);
    let store = |name: &str, environment: &str| {
        json!({
            "name": name, "kind": "vault", "class": "external", "environments": [environment], "takes_values": false,
            "per_caller": false, "references": 3, "reachable": true, "resting": false, "fetches": 7, "failures": 0,
            "served_from_memory": 0
        })
    };
    let stores = json!({ "items": [store("bao", "production"), store("dev-only", "dev")], "next": null });
    site.api.answers("/v1/stores", 200, stores);
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/environments/production").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in [
        "2 signatures of others",
        "every 90 days, told 14 days before; switched off where nobody looks",
        "may not enter",
        "the tier below",
        ">41<",
        "/console/bindings?environment=production",
        "bao",
        "old-team",
    ] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    assert!(!page.text.contains("dev-only"), "a store of elsewhere: {}", page.text);
    assert!(site.api.asked().contains(&"GET /v1/summary?environment=production".to_owned()));
    for odd in ["..%2Fx", "%2e%2e", "a%3Fb"] {
        let page = site.get(&mut browser, &format!("/console/environments/{odd}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{odd}");
    }
}

#[tokio::test]
async fn the_list_says_what_each_environment_asks_for_and_an_empty_one_says_what_to_do() {
    let site = Site::start();
    site.api.answers("/v1/environments", 200, json!({ "items": [], "next": null }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/environments").await;
    assert!(page.text.contains("There is no environment"), "{}", page.text);
    let object = |name: &str, spec: Value| {
        json!({
            "name": name, "environment": null, "revision": 1, "status": "active", "author": "idp|alice", "spec": spec,
            "pending": null
        })
    };
    let items = [
        object("dev", json!({ "tier": "dev", "approvals": 0 })),
        object("production", json!({ "tier": "production", "approvals": 0 })),
    ];
    site.api.answers("/v1/environments", 200, json!({ "items": items, "next": "cursor" }));
    let page = site.get(&mut browser, "/console/environments").await;
    // Production asks for one, whatever it declares.
    for told in
        ["no signature", "one signature of somebody else", "may enter", "may not enter", "cursor=cursor"]
    {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
}
