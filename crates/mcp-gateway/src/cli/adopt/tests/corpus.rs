//! Configurations, `.env` files, source and logs as people have them, with keys planted where `@{kind}`
//! stands (`@{json:kind}` where JSON must escape it).

/// The path in the corpus, and the text.
pub(super) type Sample = (&'static str, &'static str);

/// Client configurations.
pub(super) const CLIENTS: &[Sample] = &[
    (
        "01/Claude/claude_desktop_config.json",
        r#"{
  "mcpServers": {
    "github": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-github"], "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "@{github}"}},
    "filesystem": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/anna/Documents"]}
  },
  "globalShortcut": "Ctrl+Space"
}"#,
    ),
    (
        "02/Claude/claude_desktop_config.json",
        r#"{
  "mcpServers": {
    "notes": {"command": "npx", "args": ["-y", "mcp-remote", "https://notes.example.com/mcp", "--header", "Authorization:Bearer @{base62}"]},
    "brave": {"command": "docker", "args": ["run", "-i", "--rm", "-e", "BRAVE_API_KEY=@{base62}", "mcp/brave-search"]}
  }
}"#,
    ),
    (
        "03/project/.mcp.json",
        r#"{
  "mcpServers": {
    "issues": {"type": "http", "url": "https://issues.example.com/mcp", "headers": {"Authorization": "Bearer @{base64url}"}},
    "docs": {"type": "http", "url": "https://docs.example.com/mcp", "headers": {"Authorization": "Bearer ${DOCS_TOKEN:-none}"}}
  }
}"#,
    ),
    (
        "04/home/.claude.json",
        r#"{
  "numStartups": 42, "userID": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "projects": {"/home/anna/app": {"allowedTools": ["Bash(git log:*)"], "mcpServers": {
    "sentry": {"type": "stdio", "command": "npx", "args": ["@sentry/mcp-server@0.20.0", "--access-token=@{hex64}", "--host=sentry.example.com"], "env": {}}
  }, "lastSessionId": "3b1f9a52-5a55-4d1f-9d36-2f0a2f9f8f11"}}
}"#,
    ),
    (
        "05/app/.cursor/mcp.json",
        r#"{
  // shared with the team
  "mcpServers": {
    "linear": {"url": "https://mcp.linear.example/sse", "headers": {"Authorization": "@{linear}"},},
    "figma": {"command": "npx", "args": ["-y", "figma-developer-mcp", "--figma-api-key=@{base62}", "--stdio"]},
  },
}"#,
    ),
    (
        "06/app/.cursor/mcp.json",
        r#"{"mcpServers":{"search":{"url":"https://search.example.com/mcp?api_key=@{base62}&profile=default"},"maps":{"url":"https://maps.example.com/mcp","headers":{"X-Goog-Api-Key":"@{google}"}}}}"#,
    ),
    (
        "07/app/.vscode/mcp.json",
        r#"{
  "inputs": [{"type": "promptString", "id": "token", "description": "Token for the tracker", "password": true}],
  "servers": {
    "tracker": {"type": "http", "url": "https://tracker.example.com/mcp", "headers": {"Authorization": "Bearer ${input:token}"}},
    "database": {"type": "stdio", "command": "uvx", "args": ["postgres-mcp"], "env": {"DATABASE_URI": "postgresql://app:@{password}@db.internal:5432/orders?sslmode=require"}}
  }
}"#,
    ),
    (
        "08/User/settings.json",
        r#"{
  "editor.fontSize": 13, "workbench.colorTheme": "Default Dark+",
  "mcp": {"servers": {"wiki": {"url": "https://wiki.example.com/mcp", "headers": {"X-Api-Key": "@{uuid}"}}}}
}"#,
    ),
    (
        "09/.codeium/windsurf/mcp_config.json",
        r#"{
  "mcpServers": {
    "crm": {"serverUrl": "https://crm.example.com/mcp", "headers": {"Authorization": "Bearer @{jwt}"}},
    "mail": {"command": "node", "args": ["/opt/mail/index.js"], "env": {"SENDGRID_API_KEY": "@{sendgrid}", "FROM": "team@example.com"}}
  }
}"#,
    ),
    (
        "10/.config/zed/settings.json",
        r#"// Zed settings
{
  "theme": "One Dark",
  "context_servers": {
    "postgres": {"source": "custom", "command": {"path": "pg-mcp", "args": ["--dsn", "postgres://reader:@{password}@10.0.0.5/reporting"], "env": {}}, "settings": {}},
    "remote": {"url": "https://remote.example.com/mcp", "headers": {"Authorization": "Bearer @{base62}"}}, // trailing
  },
}"#,
    ),
    (
        "11/.codex/config.toml",
        r#"model = "gpt-5-codex"
approval_policy = "on-request"

[mcp_servers.stripe]
command = "npx"
args = ["-y", "@stripe/mcp", "--tools=all"]

[mcp_servers.stripe.env]
STRIPE_SECRET_KEY = "@{stripe}" # test account

[mcp_servers.figma]
url = "https://mcp.figma.example/mcp"
bearer_token_env_var = "FIGMA_OAUTH_TOKEN"
http_headers = { "X-Figma-Region" = "us-east-1" }
"#,
    ),
    (
        "12/.codex/config.toml",
        r#"[mcp_servers.logs]
url = 'https://logs.example.com/mcp'
http_headers = { Authorization = 'Bearer @{base64url}', X-Scope = "read" }
startup_timeout_sec = 20
"#,
    ),
    (
        "13/.gemini/settings.json",
        r#"{
  "selectedAuthType": "oauth-personal", "theme": "GitHub",
  "mcpServers": {
    "github": {"httpUrl": "https://api.githubcopilot.example/mcp/", "headers": {"Authorization": "Bearer @{github-fine}"}, "timeout": 5000},
    "safe": {"command": "python", "args": ["-m", "server"], "env": {"API_KEY": "$MY_API_TOKEN"}}
  }
}"#,
    ),
    (
        "14/settings/cline_mcp_settings.json",
        r#"{
  "mcpServers": {
    "slack": {"command": "npx", "args": ["-y", "slack-mcp"], "env": {"SLACK_BOT_TOKEN": "@{slack}", "SLACK_TEAM_ID": "T01234567"}, "disabled": false, "autoApprove": []},
    "awkward": {"type": "streamableHttp", "url": "https://awkward.example.com/mcp", "headers": {"X-Api-Key": "@{json:awkward}"}}
  }
}"#,
    ),
    (
        "15/librechat.yaml",
        r"version: 1.2.8
cache: true
endpoints:
  custom:
    - name: Mistral
      apiKey: '${MISTRAL_API_KEY}'
      baseURL: https://api.mistral.ai/v1
mcpServers:
  jira:
    type: streamable-http
    url: https://jira.example.com/mcp
    headers:
      Authorization: Bearer @{base62}
      X-User-ID: '{{LIBRECHAT_USER_ID}}'
  obsidian: # local
    command: npx
    args: [-y, mcp-obsidian, /vault]
    env:
      OBSIDIAN_API_KEY: '@{hex64}'
",
    ),
    (
        "16/agent/mcp-servers.json",
        r#"{"mcpServers": {"zap": {"url": "https://mcp.zap.example/api/mcp/s/@{base62}/mcp"}, "plain": {"url": "https://plain.example/v1/mcp"}}}"#,
    ),
    (
        "17/smithery/.cursor/mcp.json",
        r#"{"mcpServers": {"exa": {"command": "npx", "args": ["-y", "@smithery/cli@latest", "run", "exa", "--key", "@{uuid}", "--config", "{\"exaApiKey\":\"@{uuid}\"}"]}}}"#,
    ),
    (
        "18/app/.cursor/mcp.json",
        r#"{"mcpServers": {"aws": {"command": "uvx", "args": ["awslabs.core-mcp-server@latest"], "env": {"AWS_ACCESS_KEY_ID": "@{aws-id}", "AWS_SECRET_ACCESS_KEY": "@{base64url}", "AWS_REGION": "eu-central-1", "FASTMCP_LOG_LEVEL": "ERROR"}}}}"#,
    ),
    (
        "19/app/.roo/mcp.json",
        r#"{"mcpServers": {"gateway": {"type": "streamable-http", "url": "http://127.0.0.1:8080/mcp/dev/issues", "headers": {"Authorization": "Bearer @{gateway}"}}}}"#,
    ),
    (
        "20/broken/mcp.json",
        r#"{"mcpServers": {"x": {"command": "npx", "env": {"OPENAI_API_KEY": "@{openai}"}
"#,
    ),
    (
        "21/continue/config.yaml",
        r"name: Local
models:
  - name: Claude
    provider: anthropic
    apiKey: @{anthropic}
    roles: [chat, edit]
mcpServers:
  - name: sqlite
    command: uvx
    args: [mcp-server-sqlite, --db-path, ./test.db]
",
    ),
];

/// `.env` files, deployments and documents.
pub(super) const FILES: &[Sample] = &[
    (
        "31/api/.env",
        "# local\nNODE_ENV=development\nPORT=3000\nOPENAI_API_KEY=@{openai}\nDATABASE_URL=\"postgres://app:@{password}@localhost:5432/app\"\nSESSION_SECRET='@{hex32}'\nexport NOTION_TOKEN=@{notion}  # shared\nLOG_LEVEL=debug\n",
    ),
    (
        "32/api/.env.production",
        "REDIS_URL=redis://:@{hex32}@redis.internal:6379/0\r\nJWT_SECRET=@{base62}\r\nPUBLIC_URL=https://app.example.com\r\nFEATURE_FLAGS=checkout,search\r\n",
    ),
    (
        "33/web/staging.env",
        "NEXT_PUBLIC_API_URL=https://api.example.com\nSTRIPE_SECRET_KEY=@{stripe}\nSENTRY_DSN=https://o1.ingest.sentry.example/42\n#OLD_API_KEY=@{base62}\n",
    ),
    (
        "34/compose.yaml",
        "services:\n  db:\n    image: postgres:17\n    environment:\n      POSTGRES_USER: app\n      POSTGRES_PASSWORD: @{password}\n  web:\n    image: registry.example.com/web:1.4.2\n    environment:\n      - API_TOKEN=@{base62}\n      - NODE_ENV=production\n",
    ),
    (
        "35/k8s/deploy.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {app.kubernetes.io/name: web}}\nspec:\n  template:\n    spec:\n      containers:\n        - name: web\n          image: web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n          env:\n            - name: API_KEY\n              value: @{base62}\n            - name: DB_PASSWORD\n              valueFrom: {secretKeyRef: {name: db, key: password}}\n",
    ),
    (
        "36/gcp/service-account.json",
        r#"{"type": "service_account", "project_id": "acme-prod", "private_key_id": "d41d8cd98f00b204e9800998ecf8427e0a1b2c3d", "private_key": "@{json:pem}", "client_email": "bot@acme-prod.iam.example.com"}"#,
    ),
    (
        "37/pyproject.toml",
        "[project]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"httpx>=0.27\", \"mcp>=1.2\"]\n\n[tool.publish]\nurl = \"https://upload.example.org/legacy/\"\npassword = \"@{base64url}\"\n",
    ),
    (
        "38/README.md",
        "# Server\n\nSet `GITHUB_TOKEN=<your token>` or `export API_KEY=your-api-key-here`, then call\n\n    curl -H \"Authorization: Bearer $TOKEN\" https://api.example.com/v1/items\n\nThe key looks like `sk-xxxxxxxxxxxxxxxxxxxxxxxx` or `ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`.\n",
    ),
    (
        "39/web/package.json",
        r#"{"name": "web", "version": "2.1.0", "packageManager": "pnpm@9.12.3+sha512.cce0f9de9c5a7c95bef944169cc5dfe8741abfb145078c0d508b868056848a87c81e626246cb60967cbd7fd29a6c062ef73ff840d96b3c86c40ac92cf4a813ee", "scripts": {"test": "vitest run", "token": "node scripts/token.js"}, "dependencies": {"@modelcontextprotocol/sdk": "^1.20.0", "jsonwebtoken": "^9.0.2"}}"#,
    ),
    (
        "40/web/package-lock.json",
        r#"{"lockfileVersion": 3, "packages": {"node_modules/zod": {"version": "3.23.8", "resolved": "https://registry.example.org/zod/-/zod-3.23.8.tgz", "integrity": "sha512-XBx9AXhXktjUqnepgTiE5flcKIYWi/rme0Eaj+5Y0lftuGBq+jyRu/md4WnuxqgP1ubdpNCsYEYPxrzVHD8d6g=="}}}"#,
    ),
    (
        "41/.github/workflows/ci.yml",
        "name: ci\non: [push]\njobs:\n  test:\n    runs-on: ubuntu-24.04\n    env:\n      GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}\n      CACHE_KEY: v3-${{ hashFiles('**/Cargo.lock') }}\n    steps:\n      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683\n      - run: cargo test --locked\n",
    ),
    (
        "42/terraform/main.tf",
        "variable \"api_token\" {\n  type      = string\n  sensitive = true\n}\n\nresource \"vault_kv_secret_v2\" \"app\" {\n  mount = \"kv\"\n  name  = \"app/token\"\n  data_json = jsonencode({ token = var.api_token })\n}\n\nprovider \"grafana\" {\n  url  = \"https://grafana.example.com\"\n  auth = \"@{base62}\"\n}\n",
    ),
    (
        "43/clean/.env.example",
        "OPENAI_API_KEY=sk-your-key-here\nDATABASE_URL=postgres://user:password@localhost:5432/app\nJWT_SECRET=changeme\nTOKEN_TTL=3600\nAPI_KEY_HEADER=X-Api-Key\nGITHUB_TOKEN=\nSECRET_NAME=prod/app/db\nKEYCLOAK_URL=https://sso.example.com/realms/acme\nTOKENIZERS_PARALLELISM=false\nMAX_TOKENS=4096\n",
    ),
    (
        "44/clean/.mcp.json",
        r#"{"mcpServers": {"a": {"type": "http", "url": "https://mcp.example.com/mcp/dev/a"}, "b": {"command": "node", "args": ["dist/index.js", "--log-level", "debug"], "env": {"TOKEN_FILE": "/run/secrets/token", "API_KEY": "${API_KEY}", "TRACE_ID": "4bf92f3577b34da6a3ce929d0e0e4736"}}}}"#,
    ),
    (
        "45/clean/openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: Tokens, version: 1.0.0}\npaths:\n  /tokens:\n    post:\n      operationId: createAccessToken\n      security: [{bearerAuth: []}]\n      responses:\n        '200':\n          description: The token, shown once. Keep the access token secret.\ncomponents:\n  securitySchemes:\n    bearerAuth: {type: http, scheme: bearer, bearerFormat: JWT}\n    apiKey: {type: apiKey, in: header, name: X-Api-Key}\n",
    ),
];

/// Source and logs.
pub(super) const TEXTS: &[Sample] = &[
    (
        "51/server.py",
        "import os\nfrom mcp.server.fastmcp import FastMCP\n\nAPI_KEY = \"@{base62}\"\nBASE = \"https://api.example.com/v2\"\nmcp = FastMCP(\"issues\")\n\n@mcp.tool()\ndef search(query: str, page_token: str | None = None) -> dict:\n    headers = {\"Authorization\": f\"Bearer {API_KEY}\", \"Accept\": \"application/json\"}\n    return httpx.get(f\"{BASE}/search\", params={\"q\": query}, headers=headers).json()\n",
    ),
    (
        "52/src/index.ts",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst apiKey = process.env.API_KEY ?? \"@{hex32}\";\nconst client = new Client({ token: '@{notion}', baseUrl: \"https://api.notion.example/v1\" });\nexport function authHeader(token: string) { return { Authorization: `Bearer ${token}` }; }\n",
    ),
    (
        "53/main.go",
        "package main\n\nconst defaultToken = \"@{gitlab}\"\n\nfunc client() *http.Client {\n\treq.Header.Set(\"PRIVATE-TOKEN\", os.Getenv(\"GITLAB_TOKEN\"))\n\tapiKey := \"@{base62}\"\n\treturn newClient(apiKey)\n}\n",
    ),
    (
        "54/App.java",
        "public final class App {\n    private static final String SECRET_KEY = \"@{base64url}\";\n    private static final long serialVersionUID = 7526472295622776147L;\n    String bean = \"userAuthenticationTokenProviderFactory\";\n}\n",
    ),
    (
        "55/config.rb",
        "Rails.application.configure do\n  config.secret_key_base = '@{hex64}'\n  config.token_url = 'https://sso.example.com/oauth/token'\n  config.cache_store = :memory_store\nend\n",
    ),
    (
        "56/client.rs",
        "const TOKEN: &str = \"@{github}\";\nlet header = format!(\"Bearer {token}\");\nlet digest = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\";\nassert_eq!(token_kind(\"refresh_token\"), Kind::Refresh);\n",
    ),
    (
        "57/index.php",
        "<?php\ndefine('API_KEY', '@{base62}');\n$password = getenv('DB_PASSWORD');\n$dsn = 'mysql:host=localhost;dbname=app';\n",
    ),
    (
        "58/Program.cs",
        "var client = new SlackClient(token: \"@{slack}\");\nvar key = configuration[\"Api:Key\"];\nconst string ContentType = \"application/vnd.api+json\";\n",
    ),
    (
        "59/deploy.sh",
        "#!/bin/sh\nset -eu\nexport NPM_TOKEN=@{npm}\ncurl -fsS -H \"Authorization: Bearer @{base62}\" https://deploy.example.com/hooks/run\ncurl -u \"ci:$CI_PASSWORD\" https://repo.example.com/\n",
    ),
    (
        "60/Dockerfile",
        "FROM node:22-slim@sha256:b2c8e0eb8fcbfa4ff5ca2b1ef3a9d7ee2e9bbd4e9a0c1f0d6b1ec1d1e9a6a9d3\nARG HF_TOKEN=@{hf}\nENV NODE_ENV=production\nRUN --mount=type=secret,id=npm npm ci\n",
    ),
    (
        "61/logs/server.log",
        "2026-11-26T09:00:00.123Z INFO request_id=01jdk3v9x2f6q8t7w5y4z3a2b1 method=tools/call tool=list_issues status=200 duration_ms=41\n2026-11-26T09:00:01.004Z DEBUG upstream request GET /v1/issues?api_key=@{base62}&state=open\n2026-11-26T09:00:01.377Z WARN 401 from upstream, headers: {\"authorization\": \"Bearer @{jwt}\", \"user-agent\": \"mcp/1.2\"}\n2026-11-26T09:00:02.000Z INFO commit=11bd71901bbe5b1630ceea73d27597364c9af683 deployed\n",
    ),
    (
        "62/logs/events.jsonl",
        "{\"time\":\"2026-11-26T09:00:00Z\",\"event\":\"login\",\"user\":\"anna\",\"session_id\":\"3b1f9a52-5a55-4d1f-9d36-2f0a2f9f8f11\"}\n{\"time\":\"2026-11-26T09:00:05Z\",\"event\":\"config\",\"env\":{\"API_TOKEN\":\"@{base62}\",\"REGION\":\"eu-west-1\"}}\n",
    ),
    (
        "63/clean/auth.py",
        "def check(token: str, secret: bytes) -> bool:\n    \"\"\"Checks the bearer token against the secret key.\"\"\"\n    token_type = \"access_token\"\n    password = getpass.getpass(\"Password: \")\n    key = f\"session:{user_id}:token\"\n    api_key = config[\"api_key\"]\n    return hmac.compare_digest(sign(token, secret), token.signature)\n",
    ),
    (
        "64/clean/app.js",
        "const token = localStorage.getItem('access_token');\nconst KEY_EVENTS = { secretKey: 'ctrl+shift+k', apiKeyField: '#api-key-input' };\nif (password.length < 8) throw new Error('The password must have at least 8 characters');\nexport const PUBLIC_KEY = 'MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=';\n",
    ),
    (
        "65/clean/build.log",
        "[INFO] Downloading crate serde v1.0.219 (checksum 5f0e2c6ed6606019b4e29e69dbaba95b11854410e5347d525002456dbbb786b6)\n[INFO] token bucket refilled: tokens=100 rate=50/s\n[INFO] password reset mail sent to u-17\n[INFO] trace 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    ),
    (
        "66/clean/schema.sql",
        "CREATE TABLE tokens (id uuid PRIMARY KEY, token_hash bytea NOT NULL, secret_name text, api_key_id text REFERENCES api_keys (id));\nINSERT INTO settings VALUES ('token_ttl', '3600'), ('password_policy', 'strong');\n",
    ),
];

/// All of them.
pub(super) fn samples() -> impl Iterator<Item = Sample> {
    [CLIENTS, FILES, TEXTS].into_iter().flatten().copied()
}
