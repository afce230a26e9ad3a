use serde_json::{Value, json};

use super::search::Search;
use super::{DemoOptions, adopt, key, manifests};

fn configuration(header: &str, text: &str) -> Value {
    json!({"mcpServers": {
        "issues": {"url": "http://127.0.0.1:1/mcp", "headers": {header: text}},
        "local": {"command": "npx", "args": ["server"]},
    }})
}

fn found(document: &Value) -> Vec<adopt::LooseKey> {
    adopt::find("client/mcp.json", &document.to_string())
}

#[test]
fn finds_pasted_keys_and_leaves_references_alone() {
    let fresh = key::Key::fresh().unwrap().text();
    let pasted = found(&configuration("Authorization", &format!("Bearer {fresh}")));
    assert_eq!(pasted.len(), 1);
    assert_eq!((pasted[0].server.as_str(), pasted[0].format.as_str()), ("issues", "Bearer {secret}"));
    assert_eq!(found(&configuration("X-Api-Key", &fresh))[0].format, "{secret}");
    assert!(found(&configuration("Authorization", "Bearer ${SOME_LONG_VARIABLE}")).is_empty());
    assert!(found(&configuration("X-Trace", "abcdefghijklmnop")).is_empty());
}

#[test]
fn neither_the_rewritten_configuration_nor_the_backup_holds_the_key() {
    let fresh = key::Key::fresh().unwrap();
    let mut document = configuration("Authorization", &format!("Bearer {}", fresh.text()));
    let found = found(&document);
    let search = Search::new(&[&fresh]).unwrap();
    assert!(search.finds(document.to_string()));
    let backup = adopt::backup(&document, &found[0], "local://a#b");
    adopt::rewrite(&mut document, "issues", "http://127.0.0.1:2/mcp/dev/issues");
    assert!(!search.finds(document.to_string()));
    assert!(!search.finds(backup.to_string()));
    assert!(backup.to_string().contains("moved to local://a#b"));
    assert_eq!(document["mcpServers"]["local"]["command"], "npx");
}

#[test]
fn a_fresh_key_is_long_awkward_and_fits_into_a_header() {
    let fresh = key::Key::fresh().unwrap();
    assert!(fresh.secret().len() >= 40 && fresh.secret().is_header_safe());
    let json = serde_json::to_string(&fresh.text()).unwrap();
    assert!(json.len() > fresh.text().len() + 2, "JSON has to escape it");
    assert_ne!(fresh.text(), key::Key::fresh().unwrap().text());
}

#[test]
fn every_manifest_of_the_demo_is_valid() {
    let url = url::Url::parse("http://127.0.0.1:1/mcp").unwrap();
    let adopted = manifests::development(&url, "Authorization", "Bearer {secret}");
    assert_eq!(manifests::specs("a", &adopted).unwrap().as_array().unwrap().len(), 8);
    assert_eq!(manifests::specs("p", &manifests::production(&url)).unwrap().as_array().unwrap().len(), 5);
}

#[test]
fn each_form_is_found_by_itself_and_nothing_else_is() {
    let (fresh, other) = (key::Key::fresh().unwrap(), key::Key::fresh().unwrap());
    let search = Search::new(&[&fresh]).unwrap();
    assert_eq!(search.forms(), 14);
    let json = serde_json::to_string(&fresh.text()).unwrap();
    let shifted =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x{}y", fresh.text()));
    for text in [fresh.text(), json, shifted, hex::encode(fresh.text())] {
        assert!(search.finds(format!("before {text} after")));
    }
    assert!(!search.finds(other.text()) && !search.finds(&fresh.sha256));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_holds() {
    let options = DemoOptions { output_json: true, keep: false };
    assert!(Box::pin(super::play(options)).await.unwrap(), "the JSON above says which act did not hold");
}
