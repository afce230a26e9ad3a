"""Somebody's home directory: the same server in the configurations of eleven clients, each with a key of its own,
and what makes it hard to change them."""

import json


# path -> template; @URL@ and @KEY@ as the syntax writes them.
CLIENTS = {
    ".cursor/mcp.json": """{
  // shared with the team
  "mcpServers": {
    "cursor-issues": { "url": "@URL@", "headers": { "Authorization": "Bearer @KEY@" }, },
    "other": { "command": "npx", "args": ["-y", "other-mcp"] }, /* stays */
  },
}
""",
    "repo/.mcp.json": """{"mcpServers":{"team-issues":{"type":"http","url":"@URL@","headers":{"Authorization":"Bearer @KEY@"}}}}""",
    ".claude.json": """{
  "numStartups": 12,
  "projects": { "/home/anna/app": { "mcpServers": {
    "project-issues": { "type": "http", "url": "@URL@", "headers": { "Authorization": "Bearer @KEY@" } }
  }, "hasTrustDialogAccepted": true } }
}
""",
    ".vscode/mcp.json": """{
\t"inputs": [{ "type": "promptString", "id": "x", "description": "X", "password": true }],
\t"servers": {
\t\t"code-issues": {
\t\t\t"type": "http",
\t\t\t"url": "@URL@",
\t\t\t"headers": { "Authorization": "Bearer @KEY@" }
\t\t}
\t}
}
""",
    ".codeium/windsurf/mcp_config.json": "\ufeff{\r\n  \"mcpServers\": {\r\n    \"surf-issues\": {\r\n      \"serverUrl\": \"@URL@\",\r\n"
                                         "      \"headers\": { \"Authorization\": \"Bearer @KEY@\" }\r\n    }\r\n  }\r\n}\r\n",
    ".gemini/settings.json": """{ "ui": { "theme": "GitHub" }, "mcpServers": { "gemini-issues": { "httpUrl": "@URL@", "headers": { "Authorization": "Bearer @KEY@" }, "timeout": 5000 } } }
""",
    "librechat.yaml": """version: 1.2.8 # of ours
mcpServers:
  chat-issues:
    type: streamable-http
    url: @URL@
    headers:
      Authorization: 'Bearer @KEY@'
    timeout: 30000
""",
    ".config/zed/settings.json": "// Zed\r\n{\r\n  \"theme\": \"One Dark\",\r\n  \"context_servers\": {\r\n    \"zed-issues\": {\r\n"
                                 "      \"url\": \"@URL@\", // the tracker\r\n      \"headers\": { \"Authorization\": \"Bearer @KEY@\" }\r\n    },\r\n  },\r\n}\r\n",
    "settings/cline_mcp_settings.json": """{
  "mcpServers": {
    "cline-issues": {
      "type": "streamableHttp",
      "url": "@URL@",
      "headers": { "Authorization": "Bearer @KEY@" },
      "disabled": false,
      "autoApprove": ["echo"]
    }
  }
}
""",
    "Claude/claude_desktop_config.json": """{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "desktop-issues": {
      "command": "npx",
      "args": ["-y", "mcp-remote", "@URL@", "--header", "Authorization: Bearer @KEY@"]
    }
  }
}
""",
    ".codex/config.toml": """model = "gpt-5.1-codex" # mine

[mcp_servers.codex-issues]
url = "@URL@"
http_headers = { Authorization = 'Bearer @KEY@' }
startup_timeout_sec = 20
""",
}


class Home:
    """The files, their bytes before, and the keys in them."""

    def __init__(self, folder, stage, url, files=None):
        self.folder, self.keys, self.before = folder, {}, {}
        for path, template in (files or CLIENTS).items():
            key = stage.mint.make(f"a key in {path}")
            raw = path.endswith((".toml", ".yaml"))
            written = key.value if raw else json.dumps(key.value)[1:-1]
            self.keys[path] = key
            self.write(path, template.replace("@URL@", url).replace("@KEY@", written).encode())

    def write(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o640)
        self.before[path] = content

    def now(self):
        """Every file that is there: path -> bytes."""
        return {str(path.relative_to(self.folder)): path.read_bytes()
                for path in sorted(self.folder.rglob("*")) if path.is_file() and not path.is_symlink()}

    def restore(self):
        for path, content in self.before.items():
            (self.folder / path).write_bytes(content)

    def modes(self):
        return {path: (self.folder / path).stat().st_mode & 0o7777 for path in self.before}
