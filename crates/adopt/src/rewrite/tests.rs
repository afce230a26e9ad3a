use super::*;
use crate::scan;

const KEY: &str = "q7Zk29fLmP0xW4tR8vN1bC5y";
const REFERENCE: &str = "local://adopted/issues#authorization";

fn door() -> Url {
    Url::parse("https://mcp.example.com/mcp/dev/issues").unwrap()
}

fn plain(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn changed(file: &str, text: &str) -> Result<(String, String), Stuck> {
    let scanned = scan(file, text.as_bytes());
    let finding = &scanned.findings[0];
    let server = &scanned.servers[finding.place.server.unwrap()];
    let ours: Vec<&Finding> =
        scanned.findings.iter().filter(|one| one.place.server == finding.place.server).collect();
    let changes = redirect(text.as_bytes(), server, &ours, &scanned.findings, REFERENCE, &door())?;
    let (made, back) = rewritten(text.as_bytes(), &changes).unwrap();
    let undone = String::from_utf8(reversed(&made, &back, plain).unwrap().to_vec()).unwrap();
    let whole = reversed(&made, &back, |stands| Zeroizing::new(stands.replace(REFERENCE, KEY))).unwrap();
    assert_eq!(whole.as_slice(), text.as_bytes(), "with the value it is the file that was");
    assert!(!format!("{changes:?} {back:?}").contains(KEY));
    Ok((String::from_utf8(made.to_vec()).unwrap(), undone))
}

#[test]
fn only_address_and_header_change_and_undoing_restores_every_other_byte() {
    let text = format!(
        "// mine\r\n{{ \"mcpServers\" : {{\r\n  \"issues\": {{ \"url\":\"https://issues.example.com/mcp\", // old\r\n    \
         \"timeout\": 5, \"headers\": {{\"X-Api-Key\": \"{KEY}\",}} }},\r\n}} }}\r\n"
    );
    let (made, undone) = changed(".cursor/mcp.json", &text).unwrap();
    let wanted = text
        .replace("https://issues.example.com/mcp", "https://mcp.example.com/mcp/dev/issues")
        .replace("X-Api-Key", "Authorization")
        .replace(KEY, "Bearer ${env:MCP_GATEWAY_TOKEN}");
    assert_eq!(made, wanted);
    assert_eq!(undone, text.replace(KEY, REFERENCE));
    assert!(scan(".cursor/mcp.json", made.as_bytes()).findings.is_empty());
}

#[test]
fn yaml_is_changed_in_place_too() {
    let text = format!(
        "mcpServers:\n  issues: # the tracker\n    url: https://issues.example.com/mcp\n    headers:\n      Authorization: 'Bearer {KEY}'\n"
    );
    let (made, undone) = changed("librechat.yaml", &text).unwrap();
    assert!(made.contains("'Bearer ${MCP_GATEWAY_TOKEN}'") && made.contains("# the tracker"));
    assert_eq!(undone, text.replace(KEY, REFERENCE));
}

#[test]
fn entries_that_a_program_cannot_change_are_left_alone() {
    let flow = format!("mcpServers: {{a: {{url: 'https://h/mcp', headers: {{X-Api-Key: {KEY}}}}}}}\n");
    assert_eq!(changed("librechat.yaml", &flow).unwrap_err(), Stuck::Form);
}

#[test]
fn clients_that_expand_no_variable_get_an_entry_that_reads_a_file() {
    for (file, key, more) in [
        ("settings.json", "context_servers", ""),
        ("claude_desktop_config.json", "mcpServers", ""),
        (
            "cline_mcp_settings.json",
            "mcpServers",
            ",\n      \"disabled\": false,\n      \"autoApprove\": [\"a\"]",
        ),
    ] {
        let text = format!(
            "{{\n  // mine\n  \"{key}\": {{\n    \"issues\": {{\n      \"url\": \"https://h/mcp\",\n      \"headers\": {{\"X-Api-Key\": \"{KEY}\"}}{more}\n    }}\n  }}\n}}\n"
        );
        let (made, undone) = changed(file, &text).unwrap();
        assert_eq!(undone, text.replace(KEY, REFERENCE), "{file}");
        assert!(
            made.contains("// mine") && made.contains("mcp-remote") && made.contains(door().as_str()),
            "{made}"
        );
        assert_eq!(made.contains("\n      \"autoApprove\": [\"a\"]\n    }\n"), !more.is_empty(), "{made}");
        let scanned = scan(file, made.as_bytes());
        assert!(scanned.findings.is_empty() && scanned.notes.is_empty(), "{made}");
    }
}

#[test]
fn keys_of_programs_addresses_and_bridges_leave_with_the_whole_entry() {
    let bridge = format!(
        r#""command": "npx", "args": ["-y", "mcp-remote", "https://h/mcp", "--header", "Authorization: Bearer {KEY}"]"#
    );
    for (entry, way) in [
        (format!(r#""command": "/opt/mcp/server", "env": {{"API_KEY": "{KEY}"}}"#), true),
        (format!(r#""url": "https://h/mcp?api_key={KEY}""#), true),
        (bridge, true),
        (format!(r#""command": "npx", "env": {{"API_KEY": "{KEY}"}}"#), false),
        (format!(r#""url": "https://h/mcp?project=a&api_key={KEY}""#), false),
    ] {
        let text = format!("{{\"mcpServers\":{{\"issues\":{{{entry}, \"timeout\": 5}}}}}}");
        let (made, undone) = changed(".cursor/mcp.json", &text).unwrap();
        let wanted = format!(
            r#"{{"mcpServers":{{"issues":{{"url":"{}","headers":{{"Authorization":"Bearer ${{env:MCP_GATEWAY_TOKEN}}"}},"timeout":5}}}}}}"#,
            door()
        );
        assert_eq!(made, wanted);
        assert_eq!(undone, text.replace(KEY, REFERENCE));
        assert_eq!(scan(".cursor/mcp.json", text.as_bytes()).servers[0].way.is_declarable(), way, "{text}");
    }
}

#[test]
fn other_headers_stay_or_keep_their_entry() {
    let entry = format!(
        r#"{{"mcpServers":{{"a":{{"url":"https://h/mcp?api_key={KEY}","headers":{{"X-Tenant":"blue"}}}}}}}}"#
    );
    let (made, _) = changed(".cursor/mcp.json", &entry).unwrap();
    assert!(made.contains(r#""X-Tenant":"blue""#) && made.contains("Bearer ${env:"), "{made}");
    let both = entry.replace("X-Tenant\":\"blue", "authorization\":\"${env:OLD}");
    assert_eq!(changed(".cursor/mcp.json", &both).unwrap_err(), Stuck::Headers);
    let zed = format!(
        r#"{{"context_servers":{{"a":{{"url":"https://h/mcp","headers":{{"X-Api-Key":"{KEY}","X-Tenant":"blue"}}}}}}}}"#
    );
    assert_eq!(changed("settings.json", &zed).unwrap_err(), Stuck::Headers);
    let bridge = format!(
        r#"{{"mcpServers":{{"a":{{"command":"npx","args":["mcp-remote","https://h/mcp","--header","X-Api-Key:{KEY}","--header","X-Tenant:blue"]}}}}}}"#
    );
    assert_eq!(changed("claude_desktop_config.json", &bridge).unwrap_err(), Stuck::Headers);
}

#[test]
fn headers_and_variables_in_lists_of_pairs_leave_with_their_entry_and_the_others_stay() {
    let entry = |fields: &str| format!(r#"{{"mcpServers":{{"issues":{{{fields}}}}}}}"#);
    let text = entry(&format!(
        r#""url":"https://h/mcp","headers":[{{"key":"X-Api-Key","value":"{KEY}"}},{{"key":"X-Tenant","value":"blue"}}]"#
    ));
    for file in ["cline_mcp_settings.json", ".cursor/mcp.json"] {
        let made = changed(file, &text);
        if file.starts_with("cline") {
            assert_eq!(made.unwrap_err(), Stuck::Headers, "its bridge sends one header");
            continue;
        }
        let (made, undone) = made.unwrap();
        assert!(made.contains(r#""X-Tenant":"blue""#) && !made.contains(KEY), "{made}");
        assert_eq!(undone, text.replace(KEY, REFERENCE));
    }
    let line = entry(&format!(r#""url":"https://h/mcp","headers":["X-Api-Key: {KEY}","X-Tenant: blue"]"#));
    assert_eq!(
        changed(".cursor/mcp.json", &line).unwrap_err(),
        Stuck::Headers,
        "no pair: nothing is guessed"
    );
    for variables in [format!(r#"[{{"name":"API_KEY","value":"{KEY}"}}]"#), format!(r#"["API_KEY={KEY}"]"#)] {
        let text = entry(&format!(r#""command":"/opt/server","env":{variables}"#));
        let scanned = scan(".cursor/mcp.json", text.as_bytes());
        assert!(scanned.servers[0].way.is_declarable(), "{text}");
        assert_eq!(scanned.findings[0].place.slot, Slot::Environment("API_KEY".to_owned()));
        let (made, undone) = changed(".cursor/mcp.json", &text).unwrap();
        assert!(!made.contains(KEY) && made.contains(door().as_str()), "{made}");
        assert_eq!(undone, text.replace(KEY, REFERENCE));
    }
}

#[test]
fn a_second_copy_of_the_value_in_a_kept_field_does_not_stay() {
    let text = format!(
        r#"{{"mcpServers":{{"issues":{{"url":"https://h/mcp","headers":{{"X-Api-Key":"{KEY}"}},"apiKey":"{KEY}","timeout":5}}}}}}"#
    );
    let (made, undone) = changed(".cursor/mcp.json", &text).unwrap();
    assert!(!made.contains(KEY) && made.contains(r#""timeout":5"#), "{made}");
    assert_eq!(undone, text.replace(KEY, REFERENCE));
}

#[test]
fn codex_names_the_variable_in_a_field_of_its_own() {
    let text = format!(
        "[mcp_servers.issues] # mine\nurl = 'https://h/mcp'\nhttp_headers = {{ Authorization = \"Bearer {KEY}\", X-Scope = 'read' }}\ntimeout = 5\n"
    );
    let (made, undone) = changed(".codex/config.toml", &text).unwrap();
    let wanted = format!(
        "[mcp_servers.issues] # mine\nurl = '{}'\nbearer_token_env_var = \"MCP_GATEWAY_TOKEN\"\nhttp_headers = {{ \"X-Scope\" = 'read' }}\ntimeout = 5\n",
        door()
    );
    assert_eq!(made, wanted);
    assert_eq!(undone, text.replace(KEY, REFERENCE));
    let apart = format!(
        "[mcp_servers.a]\nurl = 'https://h/mcp'\n[mcp_servers.a.http_headers]\nX-Api-Key = '{KEY}'\n"
    );
    assert_eq!(changed(".codex/config.toml", &apart).unwrap_err(), Stuck::Form);
}

#[test]
fn an_old_key_in_a_comment_keeps_its_entry_from_the_journal() {
    let text = format!(
        "{{\"context_servers\": {{\"a\": {{ // api_key=Zt81kq0PLm22vXb7Jd5Rc9Wn\n\"url\": \"https://h/mcp\", \"headers\": {{\"X-Api-Key\": \"{KEY}\"}}}}}}}}"
    );
    let scanned = scan("settings.json", text.as_bytes());
    let ours: Vec<&Finding> = scanned.findings.iter().filter(|one| one.place.server.is_some()).collect();
    assert_eq!((scanned.findings.len(), ours.len()), (2, 1));
    let server = &scanned.servers[0];
    let stuck = redirect(text.as_bytes(), server, &ours, &scanned.findings, REFERENCE, &door()).unwrap_err();
    assert_eq!(stuck, Stuck::Further);
}

#[test]
fn byte_order_marks_line_breaks_and_tabs_are_kept() {
    let text = format!(
        "\u{feff}{{\r\n\t\"context_servers\": {{\r\n\t\t\"a\": {{\r\n\t\t\t\"url\": \"https://h/mcp\",\r\n\t\t\t\"headers\": {{ \"X-Api-Key\": \"{KEY}\" }}\r\n\t\t}}\r\n\t}}\r\n}}\r\n"
    );
    let (made, _) = changed("settings.json", &text).unwrap();
    assert!(
        made.starts_with("\u{feff}{\r\n\t\"context_servers\"") && made.contains("{\r\n\t\t\t\"command\""),
        "{made:?}"
    );
    assert!(!made.replace("\r\n", "").contains('\n'), "{made:?}");
}

#[test]
fn changes_that_overlap_or_lie_outside_are_refused() {
    let change = |span: Range<usize>| Change { span, text: "x".to_owned(), before: "y".to_owned() };
    assert!(rewritten(b"abcd", &[change(0..2), change(1..3)]).is_none());
    assert!(rewritten(b"abcd", &[change(3..9)]).is_none());
    let (made, back) = rewritten(b"abcd", &[change(2..3), change(0..1)]).unwrap();
    assert_eq!(
        (made.as_slice(), reversed(&made, &back, plain)),
        (&b"xbxd"[..], Some(Zeroizing::new(b"ybyd".to_vec())))
    );
    assert_eq!(reversed(b"x", &back, plain), None);
}
