use super::*;

fn shown(client: Client, login: Login) -> String {
    let door = Door {
        url: Url::parse("https://mcp.example.com/mcp/dev/github").unwrap(),
        name: "github".to_owned(),
    };
    let made = client_configuration(client, &door, login);
    format!("{}\n{}{}\n", made.file, made.text, made.steps.join("\n"))
}

macro_rules! snapshots {
    ($($name:ident: $client:ident;)+) => {$(
        #[test]
        fn $name() {
            for (login, word) in [(Login::Browser, "browser"), (Login::Token, "token"), (Login::Stdio, "stdio")] {
                insta::assert_snapshot!(format!("{}_{word}", Client::$client), shown(Client::$client, login));
            }
        }
    )+};
}

snapshots! {
    claude_code_takes_a_variable_in_a_header: ClaudeCode;
    claude_desktop_starts_a_bridge: ClaudeDesktop;
    cursor_takes_env_variables: Cursor;
    vscode_asks_for_an_input: VsCode;
    windsurf_calls_the_address_server_url: Windsurf;
    zed_calls_servers_context_servers: Zed;
    codex_names_the_variable_of_the_token: Codex;
    gemini_cli_calls_the_address_http_url: GeminiCli;
    cline_calls_the_transport_streamable_http: Cline;
    librechat_reads_yaml: LibreChat;
}

#[test]
fn what_is_pasted_is_read_back_as_a_server_without_a_key() {
    let files = ["mcp.json", "config.toml", "librechat.yaml"];
    for client in Client::ALL {
        for login in [Login::Browser, Login::Token, Login::Stdio] {
            let door = Door {
                url: Url::parse("https://mcp.example.com/mcp/dev/github").unwrap(),
                name: "github".to_owned(),
            };
            let made = client_configuration(client, &door, login);
            let file = match client {
                Client::Codex => files[1],
                Client::LibreChat => files[2],
                _ => files[0],
            };
            let scanned = crate::scan(file, made.text.as_bytes());
            assert!(scanned.findings.is_empty(), "{client} {login:?}: {:?}", scanned.findings);
            assert!(scanned.notes.is_empty(), "{client} {login:?}: {:?}", scanned.notes);
            assert_eq!(scanned.servers.len(), 1, "{client} {login:?}");
        }
    }
}

#[test]
fn a_gateway_without_tls_elsewhere_needs_the_bridges_consent() {
    let door = |url: &str| Door { url: Url::parse(url).unwrap(), name: "x".to_owned() };
    let text = |url| client_configuration(Client::ClaudeDesktop, &door(url), Login::Browser).text;
    assert!(text("http://gateway.internal/mcp/dev/x").contains("--allow-http"));
    assert!(!text("http://127.0.0.1:8080/mcp/dev/x").contains("--allow-http"));
}

#[test]
fn every_client_can_start_the_gateways_own_bridge() {
    let door = |url: &str| Door { url: Url::parse(url).unwrap(), name: "x".to_owned() };
    for client in Client::ALL {
        let text = |url| client_configuration(client, &door(url), Login::Stdio).text;
        let elsewhere = text("http://gateway.internal/mcp/dev/x");
        assert!(
            elsewhere.contains("\"connect\"") && elsewhere.contains("--plain-http"),
            "{client}: {elsewhere}"
        );
        assert!(!elsewhere.contains("npx") && !elsewhere.contains("Authorization"), "{client}: {elsewhere}");
        assert!(!text("https://gateway.internal/mcp/dev/x").contains("--plain-http"), "{client}");
    }
}
