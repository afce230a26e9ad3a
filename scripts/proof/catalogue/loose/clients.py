"""Configurations of clients as people have them, keys in every place that can hold one."""

FILES = {
    "c01/Claude/claude_desktop_config.json": """{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "github": {
      "command": "npx", "args": ["-y", "~[@modelcontextprotocol/server-github@2025.4.8]"],
      "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "@{github}", "GITHUB_HOST": "~[https://github.example.com]" }
    },
    "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "~[/Users/anna/Library/Application Support/Notes-v2]"] }
  }
}
""",
    "c02/Claude/claude_desktop_config.json": """{
  "mcpServers": {
    "remote": { "command": "npx", "args": ["mcp-remote", "https://mcp.example.com/sse", "--header", "Authorization: Bearer @{url64}"] },
    "remote2": { "command": "npx", "args": ["mcp-remote@0.1.29", "https://b.example.com/mcp", "--header", "X-API-Key:@{base62}", "--transport", "~[http-only]"] },
    "search": { "command": "docker", "args": ["run", "-i", "--rm", "-e", "BRAVE_API_KEY=@{brave}", "-v", "~[/srv/data:/data:ro]", "~[mcp/brave-search:2.0.62]"] },
    "pg": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-postgres", "postgresql://reader:@{password}@db.internal:5432/orders"] },
    "kagi": { "command": "uvx", "args": ["kagimcp"], "env": { "KAGI_API_KEY": "@{url64}", "KAGI_SUMMARIZER_ENGINE": "~[cecil]" } }
  }
}
""",
    "c03/repo/.mcp.json": """{
  "mcpServers": {
    "issues": { "type": "http", "url": "https://issues.example.com/mcp", "headers": { "Authorization": "Bearer @{jwt}", "X-Request-Source": "~[claude-code-team-platform]" } },
    "docs": { "type": "http", "url": "https://docs.example.com/mcp", "headers": { "Authorization": "Bearer ~[${DOCS_TOKEN:-unset}]" } },
    "exa": { "type": "http", "url": "https://mcp.exa.example/mcp?exaApiKey=@{uuid}&tools=~[web_search_exa,crawling_exa]" },
    "context": { "command": "npx", "args": ["-y", "@upstash/context7-mcp", "--api-key", "@{hex40}"] }
  }
}
""",
    "c04/home/.claude.json": """{
  "numStartups": 188, "userID": "~{hex64}", "installMethod": "~[native]",
  "oauthAccount": { "accountUuid": "~{uuid}", "emailAddress": "~[anna@example.com]", "organizationUuid": "~{uuid}" },
  "customApiKeyResponses": { "approved": ["~[aB3xK9mQ2vT7nZ4cR8wY]"], "rejected": [] },
  "mcpServers": {
    "sentry": { "type": "stdio", "command": "npx", "args": ["@sentry/mcp-server@latest", "--access-token=@{sentry}", "--host=~[sentry.example.com]"], "env": {} }
  },
  "projects": {
    "/home/anna/src/app": {
      "allowedTools": ["~[Bash(git log --format=%H:*)]"], "history": [{ "display": "~[why does the token refresh fail?]" }],
      "mcpServers": { "linear": { "type": "http", "url": "https://mcp.linear.example/mcp", "headers": { "Authorization": "Bearer @{linear}" } } },
      "lastSessionId": "~{uuid}", "exampleFilesGeneratedAt": 1764112233445
    }
  }
}
""",
    "c05/.claude/settings.json": """{
  "env": { "ANTHROPIC_API_KEY": "@{anthropic}", "ANTHROPIC_MODEL": "~[claude-opus-4-5-20251101]", "BASH_DEFAULT_TIMEOUT_MS": "~[120000]" },
  "apiKeyHelper": "~[/usr/local/bin/fetch-anthropic-key.sh]", "permissions": { "allow": ["~[Read(~/.ssh/known_hosts)]"] }
}
""",
    "c06/app/.cursor/mcp.json": """{
  // shared with the team, please keep sorted
  "mcpServers": {
    "figma": { "command": "npx", "args": ["-y", "figma-developer-mcp", "--figma-api-key=@{figma}", "--stdio"], },
    "notion": {
      "command": "npx", "args": ["-y", "@notionhq/notion-mcp-server"],
      "env": { "OPENAPI_MCP_HEADERS": "{\\"Authorization\\": \\"Bearer @{notion}\\", \\"Notion-Version\\": \\"~[2022-06-28]\\" }" },
    },
    "supabase": { "url": "https://mcp.supabase.example/mcp?project_ref=~[abcdefghijklmnopqrst]", "headers": { "Authorization": "Bearer @{supabase}" } }, /* old */
  },
}
""",
    "c07/app/.cursor/mcp.json": """{"mcpServers":{"zap":{"url":"https://mcp.zapier.example/api/mcp/s/@{url64}/mcp"},"maps":{"url":"https://maps.example.com/mcp","headers":{"X-Goog-Api-Key":"@{google}"}},"login":{"url":"https://bot:@{base62}@legacy.example.com/mcp"}}}
""",
    "c08/app/.vscode/mcp.json": """{
  "inputs": [
    { "type": "promptString", "id": "tracker-token", "description": "~[Personal access token of the tracker]", "password": true },
  ],
  "servers": {
    "tracker": { "type": "http", "url": "https://tracker.example.com/mcp", "headers": { "Authorization": "Bearer ~[${input:tracker-token}]" } },
    "github": { "type": "http", "url": "https://api.githubcopilot.example/mcp/", "headers": { "Authorization": "Bearer @{github-fine}" } },
    "azure": { "type": "stdio", "command": "npx", "args": ["-y", "@azure/mcp@latest", "server", "start"],
               "env": { "AZURE_TENANT_ID": "~{uuid}", "AZURE_CLIENT_ID": "~{uuid}", "AZURE_CLIENT_SECRET": "@{azure-client}" } },
    "db": { "command": "uvx", "args": ["postgres-mcp"], "env": { "DATABASE_URI": "postgresql://app:@{password}@db:5432/x?sslmode=~[require]" }, "envFile": "~[${workspaceFolder}/.env]" }
  }
}
""",
    "c09/User/settings.json": """{
  "editor.fontSize": 13, "workbench.colorTheme": "~[Default Dark Modern]", "telemetry.machineId": "~{hex64}",
  "github.copilot.chat.codeGeneration.useInstructionFiles": true,
  "mcp": { "servers": { "wiki": { "url": "https://wiki.example.com/mcp", "headers": { "X-Api-Key": "@{uuid}" } } }, "inputs": [] },
  "rest-client.environmentVariables": { "$shared": { "apiToken": "@{base62-40}", "host": "~[api.example.com]" } },
  "sync.gist": "~{hex32}",
}
""",
    "c10/.codeium/windsurf/mcp_config.json": """{
  "mcpServers": {
    "crm": { "serverUrl": "https://crm.example.com/mcp", "headers": { "Authorization": "Bearer @{jwt}" } },
    "safe": { "serverUrl": "https://safe.example.com/mcp", "headers": { "Authorization": "Bearer ~[${env:CRM_TOKEN}]" } },
    "mail": { "command": "node", "args": ["~[/opt/mail/dist/index.js]"], "env": { "SENDGRID_API_KEY": "@{sendgrid}", "FROM": "~[team@example.com]" }, "disabledTools": ["~[send_bulk]"] }
  }
}
""",
    "c11/.config/zed/settings.json": """// Zed settings
{
  "theme": "~[Ayu Mirage]", "buffer_font_family": "~[Zed Plex Mono]",
  "context_servers": {
    "postgres": { "source": "custom", "command": "pg-mcp", "args": ["--dsn", "postgres://reader:@{password}@10.0.0.5/reporting"], "env": {} },
    "old": { "command": { "path": "linear-mcp", "args": [], "env": { "LINEAR_API_KEY": "@{linear}" } } },
    "remote": { "url": "https://remote.example.com/mcp", "headers": { "Authorization": "Bearer @{base62}" } }, // trailing
    "github": { "source": "extension", "settings": { "github_personal_access_token": "@{github}" } },
  },
}
""",
    "c12/.codex/config.toml": """model = "~[gpt-5.1-codex-max]"
approval_policy = "~[on-request]"

[projects."/home/anna/src/0f3a9d2b7c"]
trust_level = "~[trusted]"

[mcp_servers.stripe]
command = "npx"
args = ["-y", "@stripe/mcp", "--tools=all", "--api-key=@{stripe-restricted}"]

[mcp_servers.sendgrid.env]
SENDGRID_API_KEY = "@{sendgrid}" # the shared account
LOG_LEVEL = "~[debug]"

[mcp_servers.figma]
url = "https://mcp.figma.example/mcp"
bearer_token_env_var = "~[FIGMA_OAUTH_TOKEN]"
http_headers = { "X-Figma-Region" = "~[us-east-1]" }
""",
    "c13/.codex/config.toml": """[mcp_servers.logs]
url = 'https://logs.example.com/mcp'
http_headers = { Authorization = 'Bearer @{url64}', X-Scope = "~[read:logs write:none]" }
startup_timeout_sec = 20

[mcp_servers.metrics]
url = "https://metrics.example.com/mcp"
env_http_headers = { "X-Metrics-Token" = "~[METRICS_TOKEN]" }

[mcp_servers.metrics.http_headers]
X-Api-Key = "@{hex64}"

[model_providers.azure]
base_url = "~[https://team.openai.azure.example/openai/v1]"
env_key = "~[AZURE_OPENAI_API_KEY]"
experimental_bearer_token = "@{base62-40}"
""",
    "c14/.codex/auth.json": """{ "OPENAI_API_KEY": "@{openai}", "tokens": { "id_token": "@{jwt}", "access_token": "@{jwt}", "refresh_token": "rt_@{url64}", "account_id": "~{uuid}" }, "last_refresh": "~[2026-11-20T09:12:31.512Z]" }
""",
    "c15/.gemini/settings.json": """{
  "security": { "auth": { "selectedType": "~[oauth-personal]" } }, "ui": { "theme": "~[GitHub]" },
  "mcpServers": {
    "github": { "httpUrl": "https://api.githubcopilot.example/mcp/", "headers": { "Authorization": "Bearer @{github}" }, "timeout": 5000 },
    "safe": { "command": "python", "args": ["-m", "server"], "env": { "API_KEY": "~[$MY_API_TOKEN]" }, "trust": false },
    "atlas": { "command": "npx", "args": ["mongodb-mcp-server", "--connectionString", "mongodb+srv://app:@{base62}@cluster0.ab1cd.mongodb.net/?retryWrites=~[true]"] },
    "slack": { "command": "npx", "args": ["slack-mcp"], "env": { "SLACK_BOT_TOKEN": "@{slack}", "SLACK_TEAM_ID": "~[T01ABCDEF23]", "SLACK_APP_TOKEN": "@{slack-app}" } }
  }
}
""",
    "c16/settings/cline_mcp_settings.json": """{
  "mcpServers": {
    "tavily": { "autoApprove": [], "disabled": false, "timeout": 60, "type": "stdio", "command": "npx", "args": ["-y", "tavily-mcp@0.1.3"], "env": { "TAVILY_API_KEY": "@{tavily}" } },
    "awkward": { "type": "streamableHttp", "url": "https://awkward.example.com/mcp", "headers": { "X-Api-Key": "@{json:awkward}" } },
    "kube": { "command": "kubectl-mcp", "env": { "KUBECONFIG": "~[/home/anna/.kube/config-prod-eu1]" } }
  }
}
""",
    "c17/librechat.yaml": """version: 1.2.8
cache: true
registration:
  socialLogins: ['~[github]', '~[google]']
endpoints:
  custom:
    - name: Mistral
      apiKey: '~[${MISTRAL_API_KEY}]'
      baseURL: ~[https://api.mistral.ai/v1]
      models: { default: ['~[mistral-large-2411]', '~[codestral-2501]'] }
    - name: Groq
      apiKey: @{groq}
mcpServers:
  jira:
    type: streamable-http
    url: https://jira.example.com/mcp
    headers:
      Authorization: Bearer @{base62}
      X-User-ID: '~[{{LIBRECHAT_USER_ID}}]'
  obsidian: # local
    command: npx
    args: [-y, mcp-obsidian, ~[/vault/Notes-2026]]
    env:
      OBSIDIAN_API_KEY: '@{hex64}'
  proxied:
    type: sse
    url: "https://svc:@{password}@proxied.example.com/sse"
""",
    "c18/agent/mcp-servers.json": """{
  "mcpServers": {
    "apify": { "url": "https://mcp.apify.example/?token=@{apify}" },
    "deploy": { "command": "uv", "args": ["run", "deploy.py", "--token", "@{digitalocean}", "--region", "~[fra1]", "--app", "~{uuid}"] },
    "telegram": { "command": "tg-mcp", "env": { "TELEGRAM_BOT_TOKEN": "@{telegram}", "TELEGRAM_CHAT_ID": "~[-1001234567890]" } },
    "discord": { "command": "java", "args": ["-jar", "~[/opt/discord-mcp-0.0.1-SNAPSHOT.jar]"], "env": { "DISCORD_TOKEN": "@{discord}", "DISCORD_GUILD_ID": "~[123456789012345678]" } }
  }
}
""",
    "c19/continue/config.yaml": """name: Local
version: 0.0.1
models:
  - name: Sonnet
    provider: anthropic
    model: ~[claude-sonnet-4-5-20250929]
    apiKey: @{anthropic}
  - name: Embeddings
    provider: voyage
    apiKey: ~[${{ secrets.VOYAGE_API_KEY }}]
mcpServers:
  - name: SQLite
    command: npx
    args: ["-y", "mcp-sqlite", "~[./data/orders.db]"]
    env:
      DB_PASSPHRASE: "@{password}"
""",
    "c20/opencode/opencode.json": """{
  "$schema": "~[https://opencode.ai/config.json]",
  "mcp": { "jira": { "type": "remote", "url": "https://jira.example.com/mcp", "headers": { "Authorization": "Bearer @{url64}" }, "enabled": true },
           "gh": { "type": "local", "command": ["docker", "run", "-e", "GITHUB_TOKEN=@{github-oauth}", "~[ghcr.io/github/github-mcp-server:v0.13.0]"], "environment": { "NPM_TOKEN": "@{npm}" } } },
  "provider": { "openrouter": { "options": { "apiKey": "@{openrouter}", "baseURL": "~[https://openrouter.ai/api/v1]" } } }
}
""",
    "c21/Roo/mcp_settings.json": "\ufeff{\r\n  \"mcpServers\": {\r\n    \"hub\": {\r\n      \"type\": \"streamable-http\",\r\n      \"url\": \"https://hub.example.com/mcp\",\r\n      \"headers\": {\r\n        \"PRIVATE-TOKEN\": \"@{gitlab}\",\r\n        \"X-Tenant\": \"~{uuid}\"\r\n      }\r\n    }\r\n  }\r\n}\r\n",
}
