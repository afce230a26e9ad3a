use super::*;

/// Every item of a list, a page of `limit` at a time, by the cursor in the answer.
async fn turned(office: &Office, path: &str, limit: u32) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = office.get("carol", &format!("{path}limit={limit}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let here = page.body["items"].as_array().unwrap();
        assert!(here.len() <= limit as usize, "{}", page.body);
        items.extend(here.iter().cloned());
        let link = page.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        let Some(next) = page.body["next"].as_str() else {
            assert_eq!(link, None);
            return items;
        };
        assert!(link.unwrap().ends_with(&format!("cursor={next}>; rel=\"next\"")));
        cursor = format!("&cursor={next}");
    }
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

async fn peopled() -> Office {
    let office = Office::production().await;
    let agents: Vec<Value> = ["alder", "alder-tree", "birch", "cedar"]
        .iter()
        .map(|name| {
            json!({"kind": "Agent", "name": name, "environments": ["production"], "owner": "support",
            "risk_ceiling": "read", "proofs": ["agent_token"]})
        })
        .collect();
    let answer = office.apply("alice", &agents).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    office
}

#[tokio::test]
async fn pages_hold_every_object_once_in_one_order_whatever_their_size() {
    let office = peopled().await;
    let all = office.get("carol", "/v1/agents").await.body;
    assert_eq!((&all["next"], all["items"].as_array().unwrap().len()), (&Value::Null, 5));
    for limit in [1, 2, 3, 5, 500] {
        let turned = turned(&office, "/v1/agents?", limit).await;
        assert_eq!(names(&turned), ["alder", "alder-tree", "birch", "bot", "cedar"], "{limit}");
    }
}

#[tokio::test]
async fn a_page_goes_on_behind_its_last_item_although_that_is_gone() {
    let office = peopled().await;
    let first = office.get("carol", "/v1/agents?limit=2").await;
    let next = first.body["next"].as_str().unwrap();
    assert_eq!(office.post("root", "/v1/agents/bot/revoke", Value::Null).await.status, 200);
    let second = office.get("carol", &format!("/v1/agents?limit=2&cursor={next}")).await;
    assert_eq!(names(second.body["items"].as_array().unwrap()), ["birch", "cedar"]);
}

#[tokio::test]
async fn lists_of_objects_filter_by_owner_status_and_text() {
    let office = peopled().await;
    for (query, found) in [
        ("owner=support&status=active", vec!["bot"]),
        ("status=pending&text=ALDER", vec!["alder", "alder-tree"]),
        ("text=supp&environment=production&limit=500", vec!["alder", "alder-tree", "birch", "bot", "cedar"]),
        ("owner=nobody", vec![]),
        ("text=nothing-like-it", vec![]),
    ] {
        let answer = office.get("carol", &format!("/v1/agents?{query}")).await;
        assert_eq!(names(answer.body["items"].as_array().unwrap()), found, "{query}");
    }
    let cards = office.get("carol", "/v1/bindings?text=KV/Support").await;
    assert_eq!(names(cards.body["items"].as_array().unwrap()), ["bot-github"]);
    let none = office.get("carol", "/v1/bindings?text=elsewhere").await;
    assert_eq!(none.body["items"], json!([]));
}

#[tokio::test]
async fn a_cursor_or_limit_that_is_none_is_refused() {
    let office = peopled().await;
    for list in [
        "agents",
        "bindings",
        "grants",
        "locks",
        "sessions",
        "revocations",
        "agents/bot/tokens",
        "waiting",
        "expiring",
        "stores",
    ] {
        for (query, status, code) in [
            ("limit=0", 400, "request.malformed"),
            ("limit=1001", 400, "request.malformed"),
            ("limit=-1", 400, "request.malformed"),
            ("cursor=", 400, "request.malformed"),
            ("cursor=%2F%2F", 400, "request.malformed"),
            ("cursor=_w", 422, "page.cursor"),
        ] {
            let answer = office.get("root", &format!("/v1/{list}?{query}")).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{list}?{query}: {}", answer.body);
        }
    }
    let answer = office.get("dora", "/v1/audit?limit=1001").await;
    assert_eq!((answer.status, answer.code()), (400, "request.malformed"));
    let answer = office.get("root", "/v1/revocations?cursor=YWJj").await;
    assert_eq!((answer.status, answer.code()), (422, "page.cursor"), "a place of another list");
}

#[tokio::test]
async fn what_waits_what_ends_soon_and_the_stores_come_in_pages_too() {
    let office = peopled().await;
    assert_eq!(
        office.apply("alice", &[policy("DENY bot"), binding("tools", json!(["x"]))]).await.status,
        202
    );
    for days in [5, 3, 4] {
        let wish =
            json!({ "entries": [{ "environment": "production" }], "lifetime_seconds": days * 24 * 3600 });
        for _ in 0..2 {
            assert_eq!(office.post("alice", "/v1/agents/bot/tokens", wish.clone()).await.status, 201);
        }
    }
    for (list, count) in [("waiting", 6), ("expiring", 6), ("stores", 2)] {
        let all = office.get("carol", &format!("/v1/{list}")).await.body;
        let all = all["items"].as_array().unwrap();
        assert_eq!(all.len(), count, "{list}: {all:?}");
        for limit in [1, 2, 3, 6, 500] {
            assert_eq!(turned(&office, &format!("/v1/{list}?"), limit).await, *all, "{list} by {limit}");
        }
    }
    let waiting = office.get("carol", "/v1/waiting").await.body;
    let kinds = waiting["items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap());
    assert_eq!(kinds.clone().next_back(), Some("Binding"), "it rests on all others");
    let soon = office.get("carol", "/v1/expiring").await.body;
    let times: Vec<&str> =
        soon["items"].as_array().unwrap().iter().map(|one| one["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_span_that_is_none_is_refused_and_not_made_to_fit() {
    let office = peopled().await;
    for path in [
        "expiring?days=0",
        "expiring?days=367",
        "calls?minutes=0",
        "calls?minutes=10081",
        "servers/production/github/calls?minutes=0",
        "servers/production/github/calls?environment=dev",
        "agents/bot/calls?minutes=10081",
    ] {
        let answer = office.get("root", &format!("/v1/{path}")).await;
        assert_eq!((answer.status, answer.code()), (400, "request.malformed"), "{path}: {}", answer.body);
    }
    assert_eq!(office.get("root", "/v1/expiring?days=366").await.status, 200);
    assert_eq!(office.get("root", "/v1/calls?minutes=10080").await.status, 200);
}
