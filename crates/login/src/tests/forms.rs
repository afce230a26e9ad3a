//! Forms that do not come from our page, and what every page says to the browser.

use super::*;

#[tokio::test]
async fn every_page_forbids_script_frames_and_storing() {
    let site = Site::start();
    let client = site.register().await;
    let mut browser = Browser::default();
    for path in
        ["/login", "/login/callback", "/oauth/authorize", &authorization(&client, &[]), "/login/nothing"]
    {
        let page = site.get(&mut browser, path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
        assert_eq!(page.headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert_eq!(page.headers["x-frame-options"], "DENY", "{path}");
        assert!(!page.text.contains("<script") && !page.text.contains("style=\""), "{path}");
    }
}

#[tokio::test]
async fn logging_out_needs_the_pages_own_form() {
    let site = Site::start();
    let mut browser = Browser::default();
    site.sign_in(&mut browser).await;
    let form = site.get(&mut browser, "/login").await.form("/login/out");
    let body = |fields: &[(String, String)]| {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    };
    let usual = || Request::post("/login/out").header("content-type", "application/x-www-form-urlencoded");
    let mut forged = form.clone();
    forged[0].1 = "invented".to_owned();
    let refused = [
        (usual(), body(&[]), "page.form_forged"),
        (usual(), body(&forged), "page.form_forged"),
        (usual().header("sec-fetch-site", "cross-site"), body(&form), "page.form_forged"),
        (usual().header("sec-fetch-site", "same-site"), body(&form), "page.form_forged"),
        (usual().header("origin", "https://evil.example"), body(&form), "page.form_forged"),
        (usual().header("origin", "null"), body(&form), "page.form_forged"),
        (
            Request::post("/login/out").header("content-type", "text/plain"),
            body(&form),
            "oauth.request_malformed",
        ),
    ];
    for (number, (request, body, code)) in refused.into_iter().enumerate() {
        let page = site.send(&mut browser, request, body).await;
        assert_eq!(page.code(), code, "{number}");
    }
    assert_eq!(
        site.get(&mut browser, "/login/out").await.status,
        StatusCode::NOT_FOUND,
        "a link logs nobody out"
    );
    assert_eq!(site.get(&mut browser, "/login").await.status, StatusCode::OK, "still logged in");
    let mut former = Browser(browser.0.clone());
    let page = site.post(&mut browser, "/login/out", &form).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(!browser.0.contains_key("__Host-mcpgw"));
    assert_eq!(site.get(&mut former, "/login").await.status, StatusCode::SEE_OTHER, "the session is gone");
}

#[tokio::test]
async fn one_browsers_form_is_none_of_anothers() {
    let site = Site::start();
    let client = site.register().await;
    let (mut attacker, mut victim) = (Browser::default(), Browser::default());
    let mut form = site.get(&mut attacker, &authorization(&client, &[])).await.form("/oauth/consent");
    form.push(("decision".to_owned(), "allow".to_owned()));
    site.get(&mut victim, &authorization(&client, &[])).await;
    assert_eq!(site.post(&mut victim, "/oauth/consent", &form).await.code(), "page.form_forged");
    site.sign_in(&mut victim).await;
    assert_eq!(site.post(&mut victim, "/oauth/consent", &form).await.code(), "page.form_forged");
    // A form of one page is none of another's either.
    let out = site.get(&mut victim, "/login").await.form("/login/out");
    let token = out.into_iter().find(|(name, _)| name == "form_token").unwrap();
    form.retain(|(name, _)| name != "form_token");
    form.push(token);
    assert_eq!(site.post(&mut victim, "/oauth/consent", &form).await.code(), "page.form_forged");
}

#[test]
fn texts_are_escaped_and_cannot_turn_the_writing() {
    let html = crate::page::Html::new().text("<b a='\"'>&\u{202e}\n");
    assert_eq!(html.as_str(), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}");
}
