//! Locks: whom they stop gets no token and connects nothing.

use gateway_core::lock::LockSelector;

use super::*;

fn lock(site: &Site, parts: Value) {
    let lock: LockSelector = serde_json::from_value(parts).unwrap();
    *site.accounts.locks.lock().unwrap() = vec![lock];
}

#[tokio::test]
async fn a_locked_person_client_or_server_gets_no_token_and_others_do() {
    let site = Site::start();
    let client = site.register().await;
    for stopped in [
        json!({"user": "https://idp.example|alice"}),
        json!({"surface": client}),
        json!({"environment": "dev"}),
        json!({"everything": true}),
    ] {
        lock(&site, stopped.clone());
        let code = site.code(&mut Browser::default(), &client).await;
        let answer = site.redeem(&client, &code).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{stopped} {}", answer.text);
        let text = answer.json()["error_description"].as_str().unwrap().to_owned();
        assert!(text.starts_with("login.locked") && !text.contains("lock-1"), "{text}");
    }
    lock(&site, json!({"user": "https://idp.example|bob"}));
    let code = site.code(&mut Browser::default(), &client).await;
    assert_eq!(site.redeem(&client, &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refresh_under_a_lock_is_refused_and_the_client_keeps_its_token() {
    let site = Site::start();
    let client = site.register().await;
    let code = site.code(&mut Browser::default(), &client).await;
    let first = site.redeem(&client, &code).await.json();
    let refresh = first["refresh_token"].as_str().unwrap();
    lock(&site, json!({"surface": client}));
    assert_eq!(site.refresh(&client, refresh).await.status, StatusCode::FORBIDDEN);
    site.accounts.locks.lock().unwrap().clear();
    assert_eq!(site.refresh(&client, refresh).await.status, StatusCode::OK, "the lock is over");
}

#[tokio::test]
async fn a_locked_person_or_provider_connects_nothing() {
    let site = Site::start();
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    for stopped in
        [json!({"user": "https://idp.example|alice"}), json!({"environment": "dev", "provider": "notes"})]
    {
        let page = site.get(&mut browser, "/connect/dev/notes").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        lock(&site, stopped);
        let page = site.post(&mut browser, "/connect/begin", &page.form("/connect/begin")).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text);
        assert!(page.text.contains("access is stopped for now"), "{}", page.text);
        site.accounts.locks.lock().unwrap().clear();
    }
    assert!(site.accounts.departures.lock().unwrap().is_empty());
}
