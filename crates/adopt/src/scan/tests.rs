use gateway_core::secret::FingerprintKey;

use super::*;
use crate::client::Client;

const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
const OTHER: &str = "Zt81kq0PLm22vXb7Jd5Rc9Wn";

/// `line:column rule kind path` of every finding.
fn shown(file: &str, text: &str) -> Vec<String> {
    let scanned = scan(file, text.as_bytes());
    let line = |one: &Finding| format!("{} {} {} {}", one.start, one.rule.id(), one.kind, one.place.path);
    scanned.findings.iter().map(line).collect()
}

#[test]
fn a_server_of_a_client_is_read_by_its_places() {
    let text = format!(
        r#"{{
  // pasted on a Friday
  "mcpServers": {{
    "issues": {{
      "url": "https://issues.example.com/mcp?api_key={OTHER}",
      "headers": {{ "Authorization": "Bearer {KEY}" }},
    }},
    "local": {{
      "command": "npx",
      "args": ["-y", "server", "--api-key", "{KEY}", "--header", "X-Api-Key: {OTHER}", "-e", "TOKEN={KEY}"],
      "env": {{ "API_TOKEN": "{KEY}", "LOG_LEVEL": "debug", "OTHER_TOKEN": "${{OTHER_TOKEN}}" }}
    }}
  }}
}}
"#
    );
    insta::assert_snapshot!(shown(".cursor/mcp.json", &text).join("\n"), @r"
    5:54 place/url-query key in a URL mcpServers.issues.url
    6:45 place/header HTTP credential mcpServers.issues.headers.Authorization
    10:46 place/argument API key mcpServers.local.args[3]
    10:97 place/header API key mcpServers.local.args[5]
    10:137 place/argument token mcpServers.local.args[7]
    11:30 place/server-environment token mcpServers.local.env.API_TOKEN
    ");
    let scanned = scan(".cursor/mcp.json", text.as_bytes());
    assert!(scanned.findings.iter().all(|one| one.client == Some(Client::Cursor) && one.exact && one.strong));
    for finding in &scanned.findings {
        assert!(
            [KEY, OTHER].contains(&text.get(finding.span.clone()).unwrap()),
            "the span is the value alone"
        );
    }
}

#[test]
fn every_client_has_a_dialect() {
    let json = |key: &str, entry: &str| format!(r#"{{"{key}": {{"s": {entry}}}}}"#);
    let http = format!(r#"{{"url": "https://h/mcp", "headers": {{"X-Api-Key": "{KEY}"}}}}"#);
    let env = format!(r#"{{"command": "x", "env": {{"API_KEY": "{KEY}"}}}}"#);
    let old_zed = format!(r#"{{"command": {{"path": "x", "args": [], "env": {{"API_KEY": "{KEY}"}}}}}}"#);
    let cases = [
        ("claude_desktop_config.json", json("mcpServers", &env), Client::ClaudeDesktop),
        (".mcp.json", json("mcpServers", &http), Client::ClaudeCode),
        ("proj/.cursor/mcp.json", json("mcpServers", &http), Client::Cursor),
        (".vscode/mcp.json", json("servers", &http), Client::VsCode),
        (".codeium/windsurf/mcp_config.json", json("mcpServers", &http), Client::Windsurf),
        (".config/zed/settings.json", json("context_servers", &http), Client::Zed),
        (".config/zed/settings.json", json("context_servers", &old_zed), Client::Zed),
        (
            ".codex/config.toml",
            format!("[mcp_servers.s]\ncommand = \"x\"\n[mcp_servers.s.env]\nAPI_KEY = \"{KEY}\"\n"),
            Client::Codex,
        ),
        (".gemini/settings.json", json("mcpServers", &http), Client::GeminiCli),
        ("cline_mcp_settings.json", json("mcpServers", &env), Client::Cline),
        (
            "librechat.yaml",
            format!("mcpServers:\n  s:\n    url: https://h/mcp\n    headers:\n      X-Api-Key: '{KEY}'\n"),
            Client::LibreChat,
        ),
        ("agents.json", json("mcpServers", &http), Client::Other),
    ];
    for (file, text, client) in cases {
        let scanned = scan(file, text.as_bytes());
        assert_eq!(scanned.findings.len(), 1, "{file}: {text}");
        assert_eq!((scanned.findings[0].client, scanned.servers.len()), (Some(client), 1), "{file}");
        assert_eq!(text.get(scanned.findings[0].span.clone()).unwrap(), KEY, "{file}");
    }
}

#[test]
fn broken_documents_are_told_with_a_place_and_searched_as_text() {
    let text = format!("{{\"mcpServers\": {{\n  \"headers\": {{\"Authorization\": \"Bearer {KEY}\" \n");
    let scanned = scan("mcp.json", text.as_bytes());
    assert_eq!(scanned.findings.len(), 1);
    assert_eq!(scanned.notes.len(), 1);
    assert!(scanned.notes[0].at.is_some() && !scanned.notes[0].what.contains(KEY));
}

#[test]
fn byte_order_marks_line_ends_and_bytes_that_are_no_text_do_not_move_a_finding() {
    let mut bytes = b"\xef\xbb\xbf# caf\xe9\r\nAPI_KEY=".to_vec();
    bytes.extend_from_slice(KEY.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let scanned = scan("x/.env", &bytes);
    let found = &scanned.findings[0];
    assert_eq!((found.start.line, found.start.column, &bytes[found.span.clone()]), (2, 9, KEY.as_bytes()));
    assert_eq!(scanned.notes.len(), 1);
}

#[test]
fn nothing_that_is_reported_can_show_a_value() {
    let text = format!("API_KEY={KEY}\nDATABASE_URL=postgres://a:{OTHER}@h/x\n");
    let scanned = scan(".env", text.as_bytes());
    assert_eq!(scanned.findings.len(), 2);
    let debug = format!("{scanned:?}");
    assert!(!debug.contains(KEY) && !debug.contains(OTHER) && !debug.contains(KEY.get(..8).unwrap()));
    let key = FingerprintKey::new([7; 32]);
    let prints: Vec<String> =
        scanned.findings.iter().map(|one| one.secret.fingerprint(&key).to_string()).collect();
    assert_ne!(prints[0], prints[1]);
}

#[test]
fn lock_files_are_searched_for_known_formats_alone() {
    let text = format!(r#"{{"integrity": "sha512-{KEY}{OTHER}==", "token": "{KEY}"}}"#);
    assert!(shown("package-lock.json", &text).is_empty());
    assert_eq!(shown("package.json", &text).len(), 1);
}

#[test]
fn a_private_key_in_a_field_is_one_finding() {
    let label = "PRIVATE KEY";
    let text = format!(
        r#"{{"type": "service_account", "private_key": "-----BEGIN {label}-----\n{KEY}{OTHER}\n-----END {label}-----\n"}}"#
    );
    insta::assert_snapshot!(shown("account.json", &text).join("\n"), @"1:45 format/private-key private key private_key");
}

#[test]
fn a_line_break_behind_a_key_does_not_hide_it() {
    const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
    for (file, text) in [
        (".env", format!("API_KEY=\"{KEY}\\n\"\n")),
        ("a.yaml", format!("a:\n  secret: |\n    {KEY}\n  b: c\n")),
        ("a.json", format!("{{\"apiKey\": \"{KEY}\\n\"}}")),
    ] {
        let findings = scan(file, text.as_bytes()).findings;
        assert_eq!(findings.len(), 1, "{file}");
    }
}

#[test]
fn pairs_and_assignments_in_lists_are_found_by_their_names() {
    // Hardly mixed: no key by its randomness alone.
    const PLAIN: &str = "kqzvwtrmplxcbndfghjkstwvzqrmpl77";
    let servers = |fields: &str| format!("{{\"mcpServers\": {{\"a\": {{{fields}}}}}}}");
    for (file, text) in [
        (
            "cline_mcp_settings.json",
            servers(&format!(
                "\"url\": \"https://h/mcp\", \"headers\": [{{\n\"key\": \"X-Api-Key\",\n\"value\": \"{PLAIN}\"\n}}]"
            )),
        ),
        (
            "mcp_config.json",
            servers(&format!(
                "\"command\": \"x\", \"env\": [{{\n\"name\": \"API_KEY\",\n\"value\": \"{PLAIN}\"\n}}]"
            )),
        ),
        ("mcp.json", servers(&format!("\"command\": \"x\", \"env\": [\"API_KEY={PLAIN}\"]"))),
        (
            "mcp.json",
            servers(&format!("\"command\": \"docker\", \"args\": [\"run\", \"-e\", \"API_KEY={PLAIN}\"]")),
        ),
        (
            "mcp.json",
            servers(&format!("\"command\": \"docker\", \"args\": [\"run\", \"--env=API_KEY={PLAIN}\"]")),
        ),
        ("mcp.json", servers(&format!("\"url\": \"https://h/mcp\", \"headers\": [\"X-Api-Key: {PLAIN}\"]"))),
        ("app.json", format!("{{\"variables\": [{{\n\"key\": \"API_KEY\",\n\"value\": \"{PLAIN}\"\n}}]}}")),
        ("compose.yaml", format!("services:\n  a:\n    environment:\n      - API_KEY={PLAIN}\n")),
    ] {
        assert_eq!(scan(file, text.as_bytes()).findings.len(), 1, "{file}: {text}");
        // The same under a name that tells nothing.
        let other = text.replace("X-Api-Key", "X-Region").replace("API_KEY", "REGION");
        assert!(scan(file, other.as_bytes()).findings.is_empty(), "{file}: {other}");
    }
}
