use super::*;
use crate::scan;

const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
const OTHER: &str = "Zt81kq0PLm22vXb7Jd5Rc9Wn";

fn options() -> PlanOptions {
    PlanOptions {
        environment: "dev".to_owned(),
        store: "local".to_owned(),
        below: "adopted".to_owned(),
        owner: "support".to_owned(),
        agent: "triage-bot".to_owned(),
        gateway: Url::parse("https://mcp.example.com").unwrap(),
    }
}

fn planned(files: &[(&str, String)]) -> Plan {
    let mut all = Scanned::default();
    for (file, text) in files {
        all.absorb(scan(file, text.as_bytes()));
    }
    let made = plan(&all, &options(), &FingerprintKey::new([3; 32]));
    assert!(!format!("{made:?}").contains(KEY) && !format!("{made:?}").contains(OTHER));
    made
}

#[test]
fn a_plan_names_store_paths_objects_and_changes() {
    let http = format!(
        r#"{{"mcpServers": {{
            "Issues": {{"url": "https://issues.example.com/mcp", "headers": {{"Authorization": "Bearer {KEY}"}}}},
            "files": {{"command": "npx", "args": ["-y", "@acme/files"], "env": {{"FILES_TOKEN": "{OTHER}"}}}}
        }}}}"#
    );
    let made = planned(&[(".cursor/mcp.json", http), ("app/.env", format!("ISSUES_TOKEN={KEY}\n"))]);
    let moves: Vec<String> =
        made.moves.iter().map(|one| format!("{} {} {:?}", one.reference, one.kind, one.findings)).collect();
    let edits: Vec<String> = made
        .edits
        .iter()
        .map(|one| format!("{} {}: {} -> {}", one.file, one.field, one.before, one.after))
        .collect();
    let open: Vec<String> = made.open.iter().map(|one| format!("{}: {}", one.file, one.what)).collect();
    let shown = [moves.join("\n"), made.manifests(), edits.join("\n"), open.join("\n")].join("\n\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn a_key_that_no_binding_can_place_is_left_to_a_person() {
    let text = format!(
        r#"{{"mcpServers": {{
            "a": {{"command": "npx", "args": ["--api-key", "{KEY}"]}},
            "b": {{"url": "https://h/s/{OTHER}/mcp"}}
        }}}}"#
    );
    let made = planned(&[("mcp.json", text)]);
    assert!(made.moves.is_empty() && made.drafts.is_empty());
    assert_eq!(made.open.len(), 2);
    assert!(made.open[0].what.contains("argument") && made.open[1].what.contains("address"));
}

#[test]
fn two_servers_of_one_name_get_names_of_their_own() {
    let text = |key: &str| {
        format!(
            r#"{{"mcpServers": {{"my server": {{"url": "https://h/mcp", "headers": {{"X-Api-Key": "{key}"}}}}}}}}"#
        )
    };
    let made = planned(&[("a/mcp.json", text(KEY)), ("b/mcp.json", text(OTHER))]);
    let objects: Vec<&str> = made.drafts.iter().map(|draft| draft.object.as_str()).collect();
    assert!(
        objects.contains(&"Server/dev/my-server") && objects.contains(&"Server/dev/my-server-2"),
        "{objects:?}"
    );
}

#[test]
fn one_server_with_one_key_in_two_clients_is_declared_once() {
    let text = format!(
        r#"{{"mcpServers": {{"issues": {{"url": "https://h/mcp", "headers": {{"X-Api-Key": "{KEY}"}}}}}}}}"#
    );
    let made = planned(&[(".cursor/mcp.json", text.clone()), (".mcp.json", text)]);
    assert_eq!((made.moves.len(), made.drafts.len(), made.adoptions.len()), (1, 3, 2));
    assert_eq!(made.adoptions[0].name, made.adoptions[1].name);
}

#[test]
fn what_was_not_found_is_not_shown_either() {
    // Neither a name nor a form gives these away: they must not appear all the same.
    let hidden = "kjhgf-1a2b3c4d5e-poiuy";
    let text = format!(
        r#"{{"mcpServers": {{
            "a": {{"url": "https://h/{hidden}/mcp?workspace={hidden}", "headers": {{"X-Api-Key": "{KEY}"}}}},
            "b": {{"command": "npx", "args": ["{hidden}", "--x={hidden}"], "env": {{"API_KEY": "{OTHER}", "SEED": "{hidden}"}}}}
        }}}}"#
    );
    let made = planned(&[("mcp.json", text)]);
    assert!(!format!("{made:?}").contains(hidden), "{made:?}");
}

#[test]
fn slugs_are_names_that_manifests_take() {
    for (text, slug_of) in [
        ("My Server", "my-server"),
        ("GITHUB_TOKEN", "github-token"),
        ("7zip", "x-7zip"),
        ("é!", "server"),
        ("@a/b", "a-b"),
    ] {
        assert_eq!(slug(text), slug_of, "{text}");
    }
}

#[test]
fn a_bridge_is_planned_as_the_server_behind_it() {
    let text = format!(
        r#"{{"mcpServers": {{"a": {{"command": "npx", "args": ["-y", "mcp-remote", "https://h/mcp", "--header", "X-Api-Key: {KEY}"]}}}}}}"#
    );
    let made = planned(&[("claude_desktop_config.json", text)]);
    assert!(made.manifests().contains("route: { url: \"https://h/mcp\" }"), "{}", made.manifests());
    assert!(made.manifests().contains("inject: { header: \"X-Api-Key\" }"), "{}", made.manifests());
    assert!(made.open.is_empty(), "{:?}", made.open);
}
