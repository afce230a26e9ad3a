//! Assertions of the identity provider.

use super::*;

async fn bring(site: &Site, assertion: &str, more: &[(&str, &str)]) -> Page {
    let mut fields = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", "editor"),
        ("assertion", assertion),
    ];
    fields.extend(more);
    site.ask("/oauth/token", &fields).await
}

fn code(answer: &Page) -> String {
    let json = answer.json();
    json["error_description"].as_str().unwrap_or("granted").split(": ").next().unwrap().to_owned()
}

#[tokio::test]
async fn an_assertion_becomes_one_access_token_and_nothing_to_refresh() {
    let site = Site::start();
    let assertion = format!("one editor {RESOURCE}");
    let answer = bring(&site, &assertion, &[("resource", RESOURCE)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let json = answer.json();
    assert!(json.get("refresh_token").is_none());
    let claims = claims(json["access_token"].as_str().unwrap());
    assert_eq!(
        (claims["aud"].as_str(), claims["sub"].as_str()),
        (Some(RESOURCE), Some("https://idp.example|alice"))
    );
    assert!(claims.get("groups").is_none(), "what is not told is unknown");
    assert_eq!(site.kinds(), [EventKind::AccessTokenIssued]);
    assert_eq!(code(&bring(&site, &assertion, &[]).await), "oauth.assertion_replayed");
    assert_eq!(code(&bring(&site, &format!("two editor {RESOURCE}"), &[]).await), "granted");
}

#[tokio::test]
async fn an_assertion_for_another_client_or_resource_is_refused_and_not_used_up() {
    let site = Site::start();
    let elsewhere = "https://other.example/mcp/dev/tools";
    for (assertion, more, expected) in [
        (format!("one other {RESOURCE}"), &[][..], "oauth.assertion_refused"),
        ("malformed".to_owned(), &[], "oauth.assertion_refused"),
        (format!("one editor {elsewhere}"), &[], "oauth.resource"),
        (
            format!("one editor {RESOURCE}"),
            &[("resource", "https://mcp.example/mcp/dev/other")],
            "oauth.resource",
        ),
        ("one editor -".to_owned(), &[], "oauth.resource"),
        ("one editor -".to_owned(), &[("resource", elsewhere)], "oauth.resource"),
        (format!("one editor {RESOURCE}"), &[("client_secret", "s")], "oauth.client_authentication"),
    ] {
        assert_eq!(code(&bring(&site, &assertion, more).await), expected, "{assertion}");
    }
    assert_eq!(code(&bring(&site, "one editor -", &[("resource", RESOURCE)]).await), "granted");
    let closed = Site::with(ORIGIN, |settings| settings.assertions = false);
    assert_eq!(code(&bring(&closed, &format!("one editor {RESOURCE}"), &[]).await), "oauth.grant_type");
}
