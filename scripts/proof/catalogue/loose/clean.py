"""The clean twins: no key at all, and everything that a hasty scanner takes for one."""

FILES = {
    "n01/Claude/claude_desktop_config.json": """{
  "mcpServers": {
    "github": { "command": "npx", "args": ["-y", "~[@modelcontextprotocol/server-github@2025.4.8]"], "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "~[<YOUR_TOKEN>]" } },
    "pg": { "command": "npx", "args": ["~[postgresql://localhost:5432/orders]"] },
    "kagi": { "command": "uvx", "args": ["kagimcp"], "env": { "KAGI_API_KEY": "~[YOUR_API_KEY_HERE]" } },
    "bridge": { "command": "sh", "args": ["-c", "MCP_GATEWAY_AUTHORIZATION=\\"Bearer ~[$(cat $HOME/.config/mcp-gateway/agent.token)]\\" exec npx -y mcp-remote https://h/mcp"] }
  }
}
""",
    "n02/.mcp.json": """{ "mcpServers": {
  "a": { "type": "http", "url": "https://a.example.com/mcp/~{uuid}/v2", "headers": { "Authorization": "Bearer ~[${A_TOKEN}]", "X-Tenant-Id": "~{uuid}", "X-Trace": "~{trace}" } },
  "b": { "command": "~[/opt/tools-2026.11/bin/server-9f86d081]", "args": ["--token-file", "~[/run/secrets/b-token]", "--commit", "~{commit}", "--key-id", "~{hex40}"] },
  "c": { "command": "c", "args": ["--model", "~[claude-3-5-haiku-20241022]", "--port", "~[18443]", "--cache-key", "~[builds:main:linux-x64]"], "env": { "TOKEN_ENDPOINT": "~[https://sso.example.com/oauth2/v1/token]", "PATH": "~[/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin]" } }
} }
""",
    "n03/.cursor/mcp.json": """{ "mcpServers": {
  "a": { "url": "https://a.example.com/mcp", "headers": { "Authorization": "Bearer ~[${env:A_TOKEN}]" } }, // nothing here
  "b": { "url": "https://b.example.com/mcp?project=~{uuid}&features=~[docs,search,account]&api_key=~[${env:B_KEY}]", },
} }
""",
    "n04/.vscode/mcp.json": """{ "inputs": [{ "id": "api-key", "type": "promptString", "password": true, "description": "~[The API key, from https://example.com/keys]" }],
  "servers": { "a": { "url": "https://a.example.com/mcp", "headers": { "X-Api-Key": "~[${input:api-key}]" } } } }
""",
    "n05/.codex/config.toml": """[mcp_servers.a]
url = "https://a.example.com/mcp"
bearer_token_env_var = "~[A_SERVICE_TOKEN_PRODUCTION_EU1]"
[mcp_servers.b]
command = "b"
env_vars = ["~[B_ACCESS_TOKEN]", "~[B_SECRET_KEY]"]
[mcp_servers.b.env]
B_TOKEN = "~[vault-prod://kv/team/b#token]"
[shell_environment_policy]
exclude = ["~[AWS_*]", "~[*_SECRET_KEY]"]
""",
    "n06/librechat.yaml": """endpoints:
  openAI: { apiKey: '~[${OPENAI_API_KEY}]', models: { default: ['~[gpt-4o-2024-11-20]'] } }
  custom:
    - { name: a, apiKey: '~[user_provided]', baseURL: '~[https://a.example.com/v1]' }
mcpServers:
  a: { type: streamable-http, url: 'https://a.example.com/mcp', headers: { Authorization: 'Bearer ~[{{LIBRECHAT_OPENID_ACCESS_TOKEN}}]' } }
""",
    "n07/.env.example": """GITHUB_TOKEN=~[ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]
OPENAI_API_KEY=~[sk-...]
STRIPE_SECRET_KEY=~{example:stripe}
AWS_ACCESS_KEY_ID=~{example:aws-id}
AWS_SECRET_ACCESS_KEY=~{example:aws-secret}
DB_PASSWORD=~[changeme]
SESSION_SECRET=~[generate-with-openssl-rand-hex-32]
API_KEY=~[replace_me_with_a_real_key]
JWT=~{example:jwt}
SECRET_KEY=~[your-super-secret-key-here]
""",
    "n08/.env": """PORT=~[3000]
LOG_LEVEL=~[info]
TOKEN_FILE=~[/run/secrets/token]
OTEL_RESOURCE_ATTRIBUTES=~[service.name=app,service.version=1.4.2,service.instance.id=9f86d081-884c-4d65-9a2f-eaa0c55ad015]
GIT_COMMIT=~{commit}
SENTRY_DSN=~[https://o123456.ingest.sentry.example/4504123456789012]
GOOGLE_CLOUD_PROJECT=~[acme-prod-1a2b3]
PUBLIC_KEY="~{spki}"
VAPID_PUBLIC_KEY=~[BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U]
OAUTH_CLIENT_ID=~[104512345678-a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6.apps.googleusercontent.com]
KEYCLOAK_REALM=~[acme]
MAX_TOKENS=~[8192]
PASSWORD_HASH_ROUNDS=~[12]
API_KEY_HEADER=~[X-Acme-Api-Key]
AUTH_SECRET_NAME=~[prod/app/auth-secret-v2]
""",
    "n10/package-lock.json": """{ "name": "app", "lockfileVersion": 3, "packages": {
  "node_modules/a": { "version": "1.2.3", "resolved": "~[https://registry.npmjs.org/a/-/a-1.2.3.tgz]", "integrity": "~{integrity}" },
  "node_modules/b": { "version": "4.5.6", "resolved": "~[https://registry.npmjs.org/b/-/b-4.5.6.tgz]", "integrity": "~{integrity}" } } }
""",
    "n11/yarn.lock": """"@babel/core@^7.0.0":
  version "7.26.0"
  resolved "~[https://registry.yarnpkg.com/@babel/core/-/core-7.26.0.tgz#d78b6023cc8f3114ccf049eb219613f74a747b40]"
  integrity ~{integrity}
""",
    "n12/Cargo.lock": """[[package]]
name = "serde"
version = "1.0.219"
source = "~[registry+https://github.com/rust-lang/crates.io-index]"
checksum = "~{hex64}"
""",
    "n13/go.sum": """github.com/acme/lib v1.2.3 ~{go-sum}
github.com/acme/lib v1.2.3/go.mod ~{go-sum}
""",
    "n14/poetry.lock": """[[package]]
name = "mcp"
files = [
    {file = "mcp-1.12.0-py3-none-any.whl", hash = "~{digest}"},
]
""",
    "n15/flake.lock": """{ "nodes": { "nixpkgs": { "locked": { "lastModified": 1764112233, "narHash": "sha256-~[47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=]", "rev": "~{commit}" } } } }
""",
    "n16/index.html": """<link rel="stylesheet" href="~[https://cdn.example.com/app.4f2a9c1b.css]" integrity="~{integrity}" crossorigin="anonymous">
<img src="~{image}" alt="~[logo]">
<meta name="google-site-verification" content="~[rXOxyZounnZasA8Z7oaD3c14JdjS9aKSWvsR1EbUSIQ]">
<script nonce="~[${nonce}]">window.__BUILD__ = "~{hex40}";</script>
""",
    "n20/auth.py": '''def check(token: str, secret: bytes) -> bool:
    """Checks the bearer token against the secret key."""
    token_type = "~[access_token]"
    password = getpass.getpass("~[Password: ]")
    key = f"~[session:{user_id}:token]"
    api_key = ~[config["api_key"]]
    secret_name = "~[prod/app/database-credentials-v2]"
    REVISION = "~{commit}"
    NAMESPACE = uuid.UUID("~{uuid}")
    raise AuthError("~[API key missing: set ACME_API_KEY or pass api_key=...]")
    assert hashlib.sha256(data).hexdigest() == "~{hex64}"
    ALPHABET = "~[ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/]"
    return hmac.compare_digest(sign(token, secret), token.signature)
''',
    "n21/app.ts": """const token = ~[localStorage.getItem('access_token')];
const KEYS = { secretKey: '~[ctrl+shift+k]', apiKeyField: '~[#api-key-input]', tokenCookie: '~[__Host-session]' };
if (password.length < 8) throw new Error('~[The password must have at least 8 characters]');
export const queryKey = ['~[workspace]', id, '~[members]'];
const model = "~[gemini-2.5-flash-preview-09-2025]";
const font = "~[d09GMgABAAAAAAQMAA4AAAAACAAAAAOzAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]";
type Props = { apiKey?: string; onTokenChange: (token: string) => void };
const testId = "~[SettingsPage2FATokenInputField7]";
const path = "~[/api/v1/organizations/9f86d081884c7d65/tokens]";
const className = "~[mt-4 flex w-full items-center rounded-lg2]";
const regex = /~[^gh[pousr]_[A-Za-z0-9]{36}$]/;
""",
    "n22/server.go": """const userAgent = "~[acme-mcp/1.4.2 (+https://acme.example.com)]"
var keyID = "~[projects/acme/locations/eu/keyRings/main/cryptoKeys/app1]"
func (s *Server) Token(ctx context.Context) (string, error) { return s.tokens.~[Get(ctx, "service-account")] }
var errToken = errors.New("~[token is expired by 5m0s]")
const fixture = "~{trace}"
""",
    "n23/lib.rs": """/// Reads `~[Authorization: Bearer <token>]`.
pub const HEADER: &str = "~[x-acme-signature-256]";
let secret = ~[Secret::new(bytes)];
let checksum = "~{hex64}";
#[serde(rename = "~[apiKey2]")] api_key: Option<String>,
""",
    "n24/tests/fixtures.json": """{ "id": "~{uuid}", "etag": "~{hex32}", "cursor": "~[eyJvZmZzZXQiOjUwfQ==]", "next_page_token": "~[CAUQAA]", "ulid": "~{ulid}", "sha": "~{commit}",
  "avatar_url": "~[https://avatars.example.com/u/12345678?v=4&s=80]", "html_url": "~[https://github.com/acme/app/commit/4bf92f3577b34da6a3ce929d0e0e473600f067aa]",
  "node_id": "~[MDQ6VXNlcjU4MzIzMQ==]", "public_key": "~{ssh-public} ~[anna@laptop]", "tokens": 4096, "token_type": "~[Bearer]" }
""",
    "n25/.ssh/authorized_keys": "~{ssh-public} ~[anna@laptop]\n~{ssh-public} ~[deploy@ci-runner-7]\n",
    "n26/.ssh/known_hosts": "~[github.com] ~{ssh-public}\n",
    "n27/certs/ca.pem": "~{spki}\n",
    "n30/build.log": """[INFO] Downloading crate serde v1.0.219 (checksum ~{hex64})
[INFO] token bucket refilled: tokens=~[100] rate=~[50/s]
[INFO] password reset mail sent to ~[u-17]
[INFO] trace ~{trace}
[INFO] uploaded ~[s3://acme-artifacts/builds/2026/11/26/app-9f86d081.tar.zst]
[WARN] Authorization: Bearer ~[***]
[WARN] api_key=~[[REDACTED]]
[INFO] layer ~{digest} pushed
[INFO] secret "~[prod/app/db]" version ~{uuid} resolved
[INFO] model=~[claude-opus-4-1-20250805] prompt_tokens=~[1834] completion_tokens=~[211]
""",
    "n31/compose.yaml": """services:
  app:
    image: ghcr.io/acme/app@~{digest}
    environment:
      API_TOKEN: ~[${API_TOKEN:?set it}]
      DB_PASSWORD_FILE: ~[/run/secrets/db_password]
      KAFKA_CLUSTER_ID: ~[MkU3OEVBNTcwNTJENDM2Qk]
    ports: ["~[127.0.0.1:8443:443]"]
secrets: { db_password: { file: ~[./secrets/db_password.txt] } }
""",
    "n32/.github/workflows/ci.yml": """jobs:
  test:
    steps:
      - uses: actions/checkout@~{commit}
      - run: npm ci
        env: { NODE_AUTH_TOKEN: "~[${{ secrets.NPM_TOKEN }}]", CACHE_KEY: "~[npm-linux-x64-v3-20261126]" }
""",
    "n33/main.tf": """data "aws_secretsmanager_secret" "db" { name = "~[prod/app/db-password]" }
resource "aws_s3_object" "a" { source_hash = "~{hex32}" }
locals { token = ~[var.token], ami = "~[ami-0a1b2c3d4e5f67890]", subnet = "~[subnet-0123456789abcdef0]" }
""",
    "n34/README.md": """Set `OPENAI_API_KEY=~[sk-your-key]`, then `curl -H "Authorization: Bearer ~[$TOKEN]"`.
A token looks like `~[ghp_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX]`; see [tokens](~[https://docs.example.com/en/authentication/keeping-your-account-and-data-secure/creating-a-personal-access-token]).
Verify: `~{hex64}  app.tar.gz`. Try it with `password: ~[hunter2-example]`. The docs' JWT is `~{example:jwt}`.
The example key `~{example:aws-id}` is AWS's own.
""",
    "n35/.zsh_history": """: 1764112233:0;export API_KEY=~[$(op read op://dev/acme/key)]
: 1764112240:0;curl -H "Authorization: Bearer ~[$(gcloud auth print-access-token)]" https://api.example.com
: 1764112250:0;git show ~{commit}
: 1764112260:0;aws s3 cp ~[s3://acme-logs-7f3a9c2d/2026/11/26/part-00017.gz] .
: 1764112270:0;read -rs TOKEN
""",
    "n36/schema.sql": """CREATE TABLE tokens (id uuid PRIMARY KEY, token_hash bytea NOT NULL, secret_name text, api_key_id text);
INSERT INTO settings VALUES ('token_ttl', '~[3600]'), ('password_policy', '~[strong-with-2fa]'), ('theme_key', '~[solarized-dark-2]');
INSERT INTO users VALUES ('~{uuid}', 'anna', '~[$2b$12$KIXQ4Yb1n0N1bq1Jm9n8uOeWwQ8Zr0v1JH0n8mWc1u3k5Yx7Zt2aS]');
""",
    "n37/Dockerfile": """FROM ~[rust:1.91-slim]@~{digest}
RUN --mount=type=secret,id=~[npm_token] npm ci
ARG COMMIT=~{commit}
ENV JAVA_OPTS=~[-Djavax.net.ssl.trustStore=/etc/ssl/truststore.jks]
""",
    "n38/openapi.yaml": """components:
  securitySchemes:
    apiKey: { type: apiKey, in: header, name: ~[X-Acme-Api-Key] }
  schemas:
    Token: { type: object, properties: { access_token: { type: string, example: "~{example:jwt}" }, id: { type: string, format: uuid, example: "~{uuid}" } } }
""",
}
