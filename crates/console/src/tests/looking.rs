use super::*;

fn store(name: &str, health: Value) -> Value {
    let mut store = json!({
        "name": name, "kind": "vault", "class": "external", "environments": ["production"], "takes_values": false,
        "per_caller": false, "references": 3, "reachable": null, "resting": false, "fetches": 7, "failures": 2,
        "served_from_memory": 11
    });
    for (field, value) in health.as_object().unwrap() {
        store[field] = value.clone();
    }
    store
}

fn calls() -> Value {
    json!({
        "since": "2026-11-26T10:00:00Z", "uses": 41, "refusals": 2, "more": false,
        "by": [{
            "who": "bot", "environment": "production", "server": "github", "mode": "service_account",
            "outcome": "answered", "detail": "200", "calls": 41, "last": "2026-11-27T09:00:00Z"
        }],
        "latest": [{
            "time": "2026-11-27T09:00:00Z", "request_id": "01KB0J1WZ00000000000000000", "who": "bot",
            "environment": "production", "server": "github", "tool": "list", "binding": "bot-github@3",
            "outcome": "answered", "detail": "200"
        }]
    })
}

#[tokio::test]
async fn the_stores_page_tells_health_and_asks_by_a_button() {
    let site = Site::start();
    let refusal = json!({ "code": "store.unavailable", "at": "2026-11-26T10:00:00Z" });
    let items = [
        store("bao", json!({ "reachable": true, "answered_at": "2026-11-26T10:00:00Z" })),
        store("down", json!({ "reachable": false, "resting": true, "last_refusal": refusal })),
        store("new", json!({})),
    ];
    site.api.answers("/v1/stores", 200, json!({ "items": items }));
    site.api.answers(
        "/v1/stores/bao/probe",
        200,
        json!({ "store": "bao", "reachable": true, "milliseconds": 3 }),
    );
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/stores").await;
    for told in ["answers", "left alone", "not asked yet", "store.unavailable", "7 times, 2 failed"] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    let form = page.form("/console/act/probe-store");
    let answer = site.post(&mut browser, "/console/act/probe-store", &form).await;
    assert!(answer.text.contains("Asked"), "{}", answer.text);
    assert_eq!(site.api.asked().last().unwrap(), "POST /v1/stores/bao/probe");
    assert!(answer.text.contains("The store answers"), "{}", answer.text);
    let down =
        json!({ "store": "bao", "reachable": false, "code": "store.unavailable", "milliseconds": 3000 });
    site.api.answers("/v1/stores/bao/probe", 200, down);
    let answer = site.post(&mut browser, "/console/act/probe-store", &form).await;
    assert!(
        answer.text.contains("does not answer") && answer.text.contains("store.unavailable"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn the_owner_of_a_server_sees_the_door_the_bindings_and_the_receipts() {
    let site = Site::start();
    let spec =
        json!({ "kind": "Server", "owner": "support", "route": { "url": "https://github.internal/mcp" } });
    site.api.answers("/v1/objects/server/production/github", 200, whole("github", Some("production"), spec));
    site.api.answers("/v1/servers/production/github/calls", 200, calls());
    site.api.answers("/v1/bindings", 200, json!({ "items": [card("active", Value::Null)], "next": null }));
    site.api.answers("/v1/servers/production/github/revoke", 200, json!({ "ended": { "calls": 2 } }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/servers/production/github").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in
        ["<strong>41</strong> uses", "service_account", "bot-github", "receipt.json", "old-team", "its story"]
    {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    let mut form = page.form("/console/act/revoke-server");
    let refused = site.post(&mut browser, "/console/act/revoke-server", &form).await;
    assert!(refused.text.contains("Nothing was done"), "{}", refused.text);
    form.iter_mut().find(|(name, _)| name == "confirm").unwrap().1 = "github".to_owned();
    site.post(&mut browser, "/console/act/revoke-server", &form).await;
    assert_eq!(site.api.asked().last().unwrap(), "POST /v1/servers/production/github/revoke");
}

#[tokio::test]
async fn an_agent_is_switched_off_only_by_its_typed_name() {
    let site = Site::start();
    let spec = json!({ "kind": "Agent", "purpose": "triage", "risk_ceiling": "write" });
    site.api.answers("/v1/objects/agent/-/bot", 200, whole("bot", None, spec));
    site.api.answers("/v1/agents/bot/calls", 403, json!({ "code": "operator.forbidden" }));
    site.api.answers("/v1/bindings", 200, json!({ "items": [card("active", Value::Null)], "next": null }));
    let token = json!({
        "id": "t1", "entries": [{ "environment": "production" }], "created_at": "2026-11-26T10:00:00Z",
        "expires_at": "2026-12-26T10:00:00Z", "revoked_at": null, "issued_by": "idp|alice"
    });
    site.api.answers("/v1/agents/bot/tokens", 200, json!({ "items": [token] }));
    for verb in ["disable", "revoke"] {
        site.api.answers(&format!("/v1/agents/bot/{verb}"), 200, json!({ "ended": {} }));
    }
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/agents/bot").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in ["What it may reach", "bot-github", "Who calls is told to auditors", "t1"] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
    for (act, field) in [("disable", "confirm"), ("revoke", "confirm_revoke")] {
        let action = format!("/console/act/{act}-agent");
        let mut form = page.form(&action);
        let before = site.api.asked().len();
        let refused = site.post(&mut browser, &action, &form).await;
        assert!(refused.text.contains("Nothing was done"), "{}", refused.text);
        assert_eq!(site.api.asked().len(), before);
        form.iter_mut().find(|(name, _)| name == field).unwrap().1 = "bot".to_owned();
        site.post(&mut browser, &action, &form).await;
        assert_eq!(*site.api.asked().last().unwrap(), format!("POST /v1/agents/bot/{act}"));
    }
}

#[tokio::test]
async fn a_policy_shows_its_versions_line_by_line() {
    let site = Site::start();
    let mut policy =
        whole("triage", Some("production"), json!({ "kind": "Policy", "cedar": "permit (x);\nnew;" }));
    let cedar = json!({ "field": "cedar", "effect": "loosening", "before": "permit (x);\nold;", "after": "permit (x);\nnew;" });
    policy["history"][0]["changes"] = json!([cedar]);
    site.api.answers("/v1/objects/policy/production/triage", 200, policy);
    site.api.answers("/v1/bindings", 200, json!({ "items": [], "next": null }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console/policies/production/triage").await;
    for told in ["<del>- old;</del>", "<ins>+ new;</ins>", "  permit (x);", "Revision 1", "No binding."] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
}

#[tokio::test]
async fn an_approval_of_an_object_shows_its_effect_and_a_button_to_those_who_may_sign() {
    let site = Site::start();
    let waits = |yours: bool| {
        json!({ "items": [{
            "kind": "Policy", "environment": "production", "name": "triage", "yours": yours, "revision": 2,
            "author": "idp|alice", "created_at": "2026-11-26T10:00:00Z", "spec": { "cedar": "permit (x);" },
            "approvals": [], "missing": [{ "any_of": ["environment"], "count": 1 }], "changes": []
        }]})
    };
    let gain = json!({
        "agent": "bot", "environment": "production", "server": "github", "tool": "close", "method": "tools/call",
        "calls": 3, "last": "2026-11-26T09:00:00Z", "before": null, "after": "bot-github@4"
    });
    let effect =
        json!({ "calls": 9, "unchanged": 6, "untold": 0, "gains": [gain], "losses": [], "moves": [] });
    site.api.answers("/v1/objects/policy/production/triage/effect", 200, effect);
    let policy = whole("triage", Some("production"), json!({ "kind": "Policy" }));
    site.api.answers("/v1/objects/policy/production/triage", 200, policy);
    let mut browser = site.signed("carol").await;
    for (path, yours) in [
        ("/console/approvals", true),
        ("/console/approvals/policy/production/triage", true),
        ("/console/approvals", false),
    ] {
        site.api.answers("/v1/waiting", 200, waits(yours));
        let page = site.get(&mut browser, path).await;
        assert!(page.text.contains("let through from now on"), "{path}: {}", page.text);
        assert_eq!(page.text.contains("/console/act/approve-object"), yours, "{path}: {}", page.text);
        assert_eq!(page.text.contains("name=\"seen\" value=\"2-ccdd\""), yours, "{path}: {}", page.text);
    }
    assert_eq!(
        site.get(&mut browser, "/console/approvals/policy/dev/triage").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_signed_document_is_downloaded_as_it_is_and_odd_ids_never_reach_the_api() {
    let site = Site::start();
    let revocation = json!({
        "id": "r1", "serial": 2, "status": "complete", "subject": "Binding production/bot", "requested_by": "idp|alice",
        "requested_at": "2026-11-26T10:00:00Z", "signed_at": "2026-11-26T10:00:01Z", "outstanding": 0,
        "claims": { "ended": { "calls": 4 }, "things": [{ "kind": "binding", "name": "bot@3" }], "outside": [] },
        "documents": ["a.b.c", "d.e.f"]
    });
    site.api.answers("/v1/revocations", 200, json!({ "items": [revocation.clone()] }));
    site.api.answers("/v1/revocations/r1", 200, revocation.clone());
    let mut browser = site.signed("carol").await;
    assert!(site.get(&mut browser, "/console/revocations").await.text.contains("/console/revocations/r1"));
    let page = site.get(&mut browser, "/console/revocations/r1").await;
    assert!(
        page.text.contains("calls: 4") && page.text.contains("/console/revocations/r1/2"),
        "{}",
        page.text
    );
    let document = site.get(&mut browser, "/console/revocations/r1/2").await;
    assert_eq!(
        (document.text.as_str(), &document.headers[header::CONTENT_TYPE]),
        ("d.e.f", &"application/jose".parse().unwrap())
    );
    assert!(document.headers[header::CONTENT_DISPOSITION].to_str().unwrap().starts_with("attachment"));
    let asked = site.api.asked().len();
    for odd in [
        "/console/revocations/..%2Fexport",
        "/console/revocations/r1/0",
        "/console/revocations/r1/3",
        "/console/revocations/r1/x",
    ] {
        assert_eq!(site.get(&mut browser, odd).await.status, StatusCode::NOT_FOUND, "{odd}");
    }
    assert!(
        site.api.asked().iter().skip(asked).all(|one| one == "GET /v1/revocations/r1"),
        "{:?}",
        site.api.asked()
    );
    // For roles that do not see paths there is nothing to download.
    let mut masked = revocation;
    masked.as_object_mut().unwrap().remove("documents");
    site.api.answers("/v1/revocations/r1", 200, masked);
    assert!(site.get(&mut browser, "/console/revocations/r1").await.text.contains("cannot be masked"));
    assert_eq!(site.get(&mut browser, "/console/revocations/r1/1").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_overview_says_what_waits_for_me_what_ends_and_what_ails() {
    let site = Site::start();
    let waits = json!({
        "kind": "Binding", "environment": "production", "name": "bot-github", "yours": true, "revision": 2,
        "author": "idp|alice", "created_at": "2026-11-26T10:00:00Z", "spec": {}, "approvals": [], "missing": [],
        "changes": []
    });
    let soon = json!({ "at": "2026-11-30", "due": "review", "environment": "production", "name": "bot-github", "overdue": true });
    site.api.answers("/v1/summary", 200, json!({ "bindings": { "active": 12, "disabled": 1 } }));
    site.api.answers("/v1/waiting", 200, json!({ "items": [waits] }));
    site.api.answers("/v1/sessions", 200, json!({ "items": [] }));
    site.api.answers("/v1/stores", 200, json!({ "items": [store("down", json!({ "reachable": false }))] }));
    site.api.answers("/v1/expiring", 200, json!({ "items": [soon] }));
    site.api.answers("/v1/calls", 200, calls());
    site.api.answers("/v1/audit", 403, json!({ "code": "operator.forbidden" }));
    let mut browser = site.signed("carol").await;
    let page = site.get(&mut browser, "/console").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for told in [
        "<strong>1</strong> wait for me",
        "<strong>12</strong> active",
        "<strong>41</strong> calls",
        "review a binding",
        "overdue",
        "Stores that do not answer",
    ] {
        assert!(page.text.contains(told), "no {told:?} in {}", page.text);
    }
}
