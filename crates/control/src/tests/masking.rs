use super::*;

const PLACE: &str = "kv/support/bot";

/// Production, where viewers and auditors do not see the paths of secrets.
async fn masked() -> Office {
    let presentation =
        Presentation { masked: [Role::Viewer, Role::Auditor].into(), ..Presentation::default() };
    let office = Office::showing(State::default(), presentation);
    assert_eq!(office.apply("alice", &world()).await.status, 202);
    office
}

#[tokio::test]
async fn no_answer_tells_a_masked_role_where_a_secret_is() {
    let office = masked().await;
    office.chain.events.lock().unwrap().push({
        let mut event = Event::new(EventKind::SecretChecked, Timestamp::from_seconds(1_795_000_000));
        event.environment = Some("production".parse().unwrap());
        event.reference =
            Some(gateway_core::reference::SecretReference::parse("vault://kv/support/bot#token").unwrap());
        event
    });
    let paths = [
        "/v1/bindings",
        BINDING,
        "/v1/bindings/production/bot-github/versions",
        "/v1/bindings/production/bot-github/health",
        "/v1/objects/binding/production/bot-github",
        "/v1/waiting",
        "/v1/expiring",
        "/v1/stores",
        "/v1/providers",
        "/v1/servers",
        "/v1/export",
    ];
    for path in paths {
        let answer = office.get("carol", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.to_string().contains(PLACE), "{path}: {}", answer.body);
    }
    for path in ["/v1/audit", "/v1/audit?environment=production", "/v1/audit/tail"] {
        let answer = office.get("dora", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.to_string().contains(PLACE), "{path}: {}", answer.body);
    }
    let card = office.get("carol", BINDING).await.body;
    assert_eq!(card["reference"], "vault://(masked)", "the store stays, and nothing that could be compared");
    for who in ["alice", "bob"] {
        let card = office.get(who, BINDING).await.body;
        assert_eq!(card["reference"], "vault://kv/support/bot#token", "{who} writes or signs it");
    }
}

#[tokio::test]
async fn a_masked_role_finds_no_path_by_guessing() {
    let office = masked().await;
    for path in ["/v1/audit?reference=vault://kv/support/bot%23token", "/v1/audit?fingerprint=abc"] {
        let answer = office.get("dora", path).await;
        assert_eq!((answer.status, answer.code()), (403, "operator.forbidden"), "{path}");
    }
    // A search finds the binding by its name, and not by what one may not see.
    for (text, count) in [("bot-git", 1), ("kv/supp", 0), ("#token", 0)] {
        let text = text.replace('#', "%23");
        let found = office.get("carol", &format!("/v1/bindings?text={text}")).await.body;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{text}: {found}");
    }
    assert_eq!(
        office.get("alice", "/v1/bindings?text=kv/supp").await.body["items"].as_array().unwrap().len(),
        1
    );
    let guess = json!({ "specs": world() });
    assert_eq!(office.post("carol", "/v1/diff", guess.clone()).await.status, 403);
    assert_eq!(office.post("alice", "/v1/diff", guess).await.status, 200);
}

#[tokio::test]
async fn without_the_option_everybody_who_sees_a_card_sees_its_path() {
    let office = Office::production().await;
    assert_eq!(office.get("carol", BINDING).await.body["reference"], "vault://kv/support/bot#token");
}
