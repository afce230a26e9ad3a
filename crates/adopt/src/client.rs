//! The clients whose configurations are known, and what to paste into each: never a secret.

use std::fmt;

use serde_json::{Value, json};
use url::{Host, Url};

/// A client, by its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    /// Claude Code.
    ClaudeCode,
    /// Claude Desktop.
    ClaudeDesktop,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// Windsurf.
    Windsurf,
    /// Zed.
    Zed,
    /// Codex.
    Codex,
    /// Gemini CLI.
    GeminiCli,
    /// Cline.
    Cline,
    /// LibreChat.
    LibreChat,
    /// Any other with `mcpServers`.
    Other,
}

/// A server behind the gateway, as a client sees it.
#[derive(Clone, Debug)]
pub struct Door {
    /// `{public_url}/mcp/{environment}/{server}`.
    pub url: Url,
    /// The name under which the client knows it.
    pub name: String,
}

/// How the client gets its token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// The person logs in by the browser; the client keeps its own token.
    Browser,
    /// An agent's token from the client's environment or from a private file.
    Token,
    /// The person logs in through `mcp-gateway connect`, which the client starts and speaks stdio to.
    Stdio,
}

/// What to paste, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientConfiguration {
    /// The file, as the client's own documentation names it.
    pub file: &'static str,
    /// The text; merged into the file by hand.
    pub text: String,
    /// What else there is to do, in order.
    pub steps: Vec<String>,
}

/// The variable that holds the agent's token.
pub const VARIABLE: &str = "MCP_GATEWAY_TOKEN";
/// The file that holds it for clients that expand no variable.
const TOKEN_FILE: &str = "$HOME/.config/mcp-gateway/agent.token";

impl Client {
    /// All that have a name of their own.
    pub const ALL: [Self; 10] = [
        Self::ClaudeCode,
        Self::ClaudeDesktop,
        Self::Cursor,
        Self::VsCode,
        Self::Windsurf,
        Self::Zed,
        Self::Codex,
        Self::GeminiCli,
        Self::Cline,
        Self::LibreChat,
    ];

    /// The word used on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::ClaudeDesktop => "claude-desktop",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Zed => "zed",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini-cli",
            Self::Cline => "cline",
            Self::LibreChat => "librechat",
            Self::Other => "other",
        }
    }

    /// By its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.word() == word)
    }

    /// By the file's path and the key that holds its servers.
    pub(crate) fn of(file: &str, key: &str) -> Self {
        let file = file.to_ascii_lowercase();
        let name = file.rsplit('/').next().unwrap_or_default();
        let within = |part: &str| file.split('/').any(|segment| segment == part);
        match key {
            "context_servers" => return Self::Zed,
            "mcp_servers" if file.ends_with(".toml") => return Self::Codex,
            "servers" => return Self::VsCode,
            _ => {}
        }
        match name {
            "claude_desktop_config.json" => Self::ClaudeDesktop,
            ".mcp.json" | ".claude.json" => Self::ClaudeCode,
            "cline_mcp_settings.json" => Self::Cline,
            "librechat.yaml" | "librechat.yml" => Self::LibreChat,
            "mcp_config.json" => Self::Windsurf,
            _ if within(".cursor") => Self::Cursor,
            _ if within(".gemini") => Self::GeminiCli,
            _ if within(".claude") => Self::ClaudeCode,
            _ if within(".codeium") || within(".windsurf") => Self::Windsurf,
            _ if within(".vscode") => Self::VsCode,
            _ => Self::Other,
        }
    }

    /// How this client writes the token's variable in a header, where it expands one at all.
    #[must_use]
    pub fn placeholder(self) -> Option<String> {
        Some(match self {
            Self::ClaudeCode | Self::GeminiCli | Self::LibreChat | Self::Other => format!("${{{VARIABLE}}}"),
            Self::Cursor | Self::Windsurf => format!("${{env:{VARIABLE}}}"),
            Self::VsCode => "${input:mcp-gateway-token}".to_owned(),
            // Codex names the variable in a field of its own; the others send the text as it is.
            Self::Codex | Self::ClaudeDesktop | Self::Zed | Self::Cline => return None,
        })
    }

    /// The same for an entry that is changed in place, where no question to the person can be added.
    #[must_use]
    pub fn variable(self) -> Option<String> {
        if self == Self::VsCode { Some(format!("${{env:{VARIABLE}}}")) } else { self.placeholder() }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::ClaudeCode => ".mcp.json",
            Self::ClaudeDesktop => "claude_desktop_config.json",
            Self::Cursor => ".cursor/mcp.json",
            Self::VsCode => ".vscode/mcp.json",
            Self::Windsurf => "~/.codeium/windsurf/mcp_config.json",
            Self::Zed => "settings.json (\"zed: open settings file\")",
            Self::Codex => "~/.codex/config.toml",
            Self::GeminiCli => "~/.gemini/settings.json",
            Self::Cline => "cline_mcp_settings.json",
            Self::LibreChat => "librechat.yaml",
            Self::Other => "the client's configuration",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What to paste so that the client reaches the server through the gateway. No part of it is a secret.
#[must_use]
pub fn client_configuration(client: Client, door: &Door, login: Login) -> ClientConfiguration {
    let (url, name) = (door.url.as_str(), door.name.as_str());
    let text = match client {
        Client::Codex => codex(name, &door.url, login),
        Client::LibreChat => librechat(name, &door.url, login),
        _ => pretty(&json_of(client, door, login)),
    };
    ClientConfiguration { file: client.file(), text, steps: steps(client, name, url, login) }
}

fn json_of(client: Client, door: &Door, login: Login) -> Value {
    let name = door.name.as_str();
    let header = client.placeholder().filter(|_| login == Login::Token);
    let entry = entry(client, &door.url, login, header.as_deref());
    match client {
        Client::Zed => json!({"context_servers": {name: entry}}),
        Client::VsCode if login == Login::Token => json!({
            "inputs": [{
                "type": "promptString", "id": "mcp-gateway-token", "password": true,
                "description": "Agent token of the MCP gateway",
            }],
            "servers": {name: entry},
        }),
        Client::VsCode => json!({"servers": {name: entry}}),
        _ => json!({"mcpServers": {name: entry}}),
    }
}

/// What takes the place of an adopted entry: the gateway's door with an agent's token. Not for Codex, whose
/// file is no JSON.
pub(crate) fn adopted_entry(client: Client, url: &Url) -> Value {
    entry(client, url, Login::Token, client.variable().as_deref())
}

fn entry(client: Client, url: &Url, login: Login, header: Option<&str>) -> Value {
    let bridged = client == Client::ClaudeDesktop || login == Login::Token && client.placeholder().is_none();
    let entry = match client {
        Client::VsCode | Client::ClaudeCode if login == Login::Stdio => {
            json!({"type": "stdio", "command": OWN_BRIDGE, "args": own_arguments(url)})
        }
        _ if login == Login::Stdio => json!({"command": OWN_BRIDGE, "args": own_arguments(url)}),
        _ if bridged => bridge(url, login),
        Client::Windsurf => json!({"serverUrl": url.as_str()}),
        Client::GeminiCli => json!({"httpUrl": url.as_str()}),
        Client::ClaudeCode | Client::VsCode => json!({"type": "http", "url": url.as_str()}),
        Client::Cline => json!({"type": "streamableHttp", "url": url.as_str(), "disabled": false}),
        _ => json!({"url": url.as_str()}),
    };
    if bridged { entry } else { with_header(entry, header) }
}

/// The gateway's own bridge: it logs the person in, and keeps the login in their keyring.
const OWN_BRIDGE: &str = "mcp-gateway";

fn own_arguments(url: &Url) -> Vec<String> {
    let mut arguments = vec!["connect".to_owned(), url.to_string()];
    if is_plain(url) {
        arguments.push("--plain-http".to_owned());
    }
    arguments
}

/// Whether what is sent there leaves this machine in clear text.
fn is_plain(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !loopback
}

fn with_header(mut entry: Value, placeholder: Option<&str>) -> Value {
    if let (Some(fields), Some(placeholder)) = (entry.as_object_mut(), placeholder) {
        let headers = json!({"Authorization": format!("Bearer {placeholder}")});
        fields.insert("headers".to_owned(), headers);
    }
    entry
}

/// A client that starts programs only, or sends headers as they are written: `mcp-remote` speaks HTTP for
/// it. The token comes from a private file, and reaches no argument: `mcp-remote` itself puts the variable
/// into the header.
fn bridge(url: &Url, login: Login) -> Value {
    let mut arguments = vec!["-y".to_owned(), "mcp-remote@^0.1.16".to_owned(), url.to_string()];
    if is_plain(url) {
        arguments.push("--allow-http".to_owned());
    }
    if login == Login::Browser {
        return json!({"command": "npx", "args": arguments});
    }
    let quoted: Vec<String> = arguments.iter().map(|one| format!("'{}'", one.replace('\'', "%27"))).collect();
    let line = format!(
        "MCP_GATEWAY_AUTHORIZATION=\"Bearer $(cat \"{TOKEN_FILE}\")\" exec npx {} --header \
         'Authorization:${{MCP_GATEWAY_AUTHORIZATION}}'",
        quoted.join(" ")
    );
    json!({"command": "sh", "args": ["-c", line]})
}

fn codex(name: &str, url: &Url, login: Login) -> String {
    if login == Login::Stdio {
        let arguments = json!(own_arguments(url));
        return format!("[mcp_servers.{name}]\ncommand = \"{OWN_BRIDGE}\"\nargs = {arguments}\n");
    }
    let mut text = format!("[mcp_servers.{name}]\nurl = {}\n", json!(url.as_str()));
    if login == Login::Token {
        text.push_str(&format!("bearer_token_env_var = \"{VARIABLE}\"\n"));
    }
    text
}

fn librechat(name: &str, url: &Url, login: Login) -> String {
    if login == Login::Stdio {
        let arguments = json!(own_arguments(url));
        return format!(
            "mcpServers:\n  {name}:\n    type: stdio\n    command: {OWN_BRIDGE}\n    args: {arguments}\n"
        );
    }
    let mut text =
        format!("mcpServers:\n  {name}:\n    type: streamable-http\n    url: {}\n", json!(url.as_str()));
    text.push_str(&match login {
        Login::Browser => "    requiresOAuth: true\n".to_owned(),
        Login::Token | Login::Stdio => {
            format!("    headers:\n      Authorization: \"Bearer ${{{VARIABLE}}}\"\n")
        }
    });
    text
}

fn steps(client: Client, name: &str, url: &str, login: Login) -> Vec<String> {
    let issue =
        |file: &str| format!("mcp-gateway agent token issue AGENT --environment ENVIRONMENT --write {file}");
    let steps: &[String] = &match (login, client) {
        (Login::Browser, Client::ClaudeCode) => {
            vec![format!("or: claude mcp add --transport http {name} {url}"), "log in with /mcp".to_owned()]
        }
        (Login::Browser, Client::Codex) => vec![format!("log in with: codex mcp login {name}")],
        (Login::Browser, Client::GeminiCli) => vec![format!("log in with: /mcp auth {name}")],
        (Login::Browser, Client::ClaudeDesktop) => vec![
            "restart Claude Desktop; the browser opens for the login".to_owned(),
            "where the gateway is reachable from the internet, Settings > Connectors takes the URL as well"
                .to_owned(),
        ],
        (Login::Stdio, _) => vec![
            format!(
                "log in beforehand, or the browser opens at the first message: {OWN_BRIDGE} connect login {url}"
            ),
            "the login stays in the keyring of this machine; the client needs `mcp-gateway` in its PATH"
                .to_owned(),
        ],
        (Login::Browser, _) => vec!["the client opens the browser for the login at its first use".to_owned()],
        (Login::Token, Client::VsCode) => vec![
            issue("FILE"),
            "VS Code asks for the token once and keeps it in its secret storage".to_owned(),
        ],
        (Login::Token, _) if client.placeholder().is_none() && client != Client::Codex => vec![
            issue("~/.config/mcp-gateway/agent.token"),
            "this client expands no variable in a header: the entry reads the token from that file"
                .to_owned(),
        ],
        (Login::Token, _) => vec![
            issue("FILE"),
            format!("start the client with {VARIABLE} in its environment: export {VARIABLE}=\"$(cat FILE)\""),
        ],
    };
    steps.to_vec()
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
