"""`.env` files, source, logs, images and histories with keys in them, beside much that only looks like one."""

FILES = {
    "t01/.env": """# local
export GITHUB_TOKEN="@{github}"
OPENAI_API_KEY='@{openai}'
DATABASE_URL=postgres://app:@{password}@localhost:5432/app?schema=~[public]
REDIS_URL=redis://:@{base62}@cache:6379/0
AWS_ACCESS_KEY_ID=@{aws-id}
AWS_SECRET_ACCESS_KEY=@{aws-secret}
AWS_DEFAULT_REGION=~[eu-central-1]
S3_BUCKET=~[acme-prod-assets-7f3a9c2d]
SESSION_SECRET = @{hex64}   # rotate yearly
DB_PASSWORD=@{password}
NEXT_PUBLIC_STRIPE_KEY=~{publishable}
NODE_OPTIONS=~[--max-old-space-size=4096]
""",
    "t02/.env.production": """SLACK_WEBHOOK_SECRET=@{base62}
STRIPE_SECRET_KEY=@{stripe}
STRIPE_WEBHOOK_SECRET=@{webhook}
JWT_PRIVATE_KEY="@{pem}"
SENTRY_RELEASE=~{commit}
IMAGE=~[registry.example.com/team/app@sha256:4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736]
TWILIO_ACCOUNT_SID=~[AC00000000000000000000000000000000]
TWILIO_AUTH_TOKEN=@{hex32}
AZURE_STORAGE_CONNECTION_STRING=DefaultEndpointsProtocol=https;AccountName=~[acmestore];AccountKey=@{azure-storage};EndpointSuffix=core.windows.net
""",
    "t03/deploy/prod.env": "\ufeffAPI_TOKEN=@{base62}\r\nTOKEN_TTL=~[3600]\r\nPUBLIC_URL=~[https://app.example.com/a/9f86d081]\r\nSMTP_PASSWORD=@{password}\r\nLICENSE_KEY=@{uuid}\r\n",
    "t04/.env.local": """ANTHROPIC_API_KEY=@{anthropic}
HF_TOKEN=@{huggingface}
REPLICATE_API_TOKEN=@{replicate}
NVIDIA_API_KEY=@{nvidia}
CEREBRAS_API_KEY=@{cerebras}
FIREWORKS_API_KEY=@{fireworks}
LANGSMITH_API_KEY=@{langsmith}
PINECONE_API_KEY=@{pinecone}
FIRECRAWL_API_KEY=@{firecrawl}
JINA_API_KEY=@{jina}
XAI_API_KEY=@{xai}
PERPLEXITY_API_KEY=@{perplexity}
DEEPSEEK_API_KEY=@{deepseek}
MODEL=~[meta-llama/Llama-3.3-70B-Instruct-Turbo]
EMBEDDING_MODEL=~[text-embedding-3-large]
LANGSMITH_PROJECT=~[pr-cold-canary-71]
""",
    "t05/infra/.env": """CLOUDFLARE_API_TOKEN=@{base62-40}
CLOUDFLARE_ACCOUNT_ID=~{hex32}
CLOUDFLARE_ZONE_ID=~{hex32}
DD_API_KEY=@{hex32}
DD_SITE=~[datadoghq.eu]
PLANETSCALE_SERVICE_TOKEN=@{planetscale}
NEON_API_KEY=@{neon}
CONTENTFUL_MANAGEMENT_TOKEN=@{contentful}
NETLIFY_AUTH_TOKEN=@{netlify}
HEROKU_API_KEY=@{heroku}
POSTHOG_PERSONAL_API_KEY=@{posthog}
RESEND_API_KEY=@{resend}
MAILGUN_API_KEY=@{mailgun}
NEW_RELIC_API_KEY=@{newrelic}
PULUMI_ACCESS_TOKEN=@{pulumi}
DOPPLER_TOKEN=@{doppler}
TS_AUTHKEY=@{tailscale}
""",
    "t10/server/main.py": '''"""A server of the Model Context Protocol."""
import os

from mcp.server.fastmcp import FastMCP

API_KEY = "@{base62}"
COMMIT = "~{commit}"
GITHUB = {"token": "@{github}", "owner": "~[acme]"}
TOKEN_URL = "~[https://auth.example.com/oauth2/token]"
client = Client(api_key="@{hex40}", project_id="~{uuid}", timeout=~[30])
fallback = os.getenv("SEARCH_KEY", "@{url64}")
headers = {"Authorization": f"Bearer {os.environ['API_TOKEN']}", "Idempotency-Key": "~{uuid}"}
# curl -H "X-Api-Key: @{base62}" https://api.example.com/v1/notes
LOGO = "~{image}"
''',
    "t11/server/index.ts": """import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";

const apiKey: string = "@{openai}";
const client = new Linear({ apiKey: '@{linear}', workspace: '~[acme-inc]' });
const url = `https://maps.example.com/geocode?key=@{google}&language=~[de]`;
const db = "mysql://root:@{password}@127.0.0.1:3306/shop";
const token = process.env.TOKEN ?? "@{base62}";
const trace = "~{trace}";
export const schema = z.object({ password: z.string().min(8).describe("~[The password of the account]") });
fetch(url, { headers: { authorization: "Bearer @{jwt}", "if-none-match": 'W/"~{hex32}"' } });
""",
    "t12/server/main.go": """package main

const apiToken = "@{gitlab}"

var (
	clientSecret = []byte("@{base62-40}")
	buildID      = "~{hex40}"
	cfg          = Config{APIKey: "@{sendgrid}", Region: "~[us-east-1]", TraceHeader: "~[X-Cloud-Trace-Context]"}
)

func init() { req.Header.Set("Authorization", "Bearer @{url64}") }
func page() { req.Header.Set("X-Request-Id", "~{uuid}") }
""",
    "t13/server/main.rs": """const TOKEN: &str = "@{vault}";
static SECRET_KEY: &str = r"@{base62}";
const SPKI: &str = "~[MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=]"; // the public key
fn main() {
    let client = Client::builder().bearer_auth("@{digitalocean}").build();
    let digest = "~{digest}";
    let key = std::env::var("API_KEY").expect("~[API_KEY must be set]");
}
""",
    "t14/server/Main.java": """class Main {
    private static final String API_SECRET = "@{url64}";
    String jdbc = "jdbc:postgresql://db:5432/app?user=app&password=@{password}";
    static final long serialVersionUID = ~[-6849794470754667710]L;
    String etag = "~{hex64}";
}
""",
    "t15/server/app.rb": """Stripe.api_key = '@{stripe}'
config.secret_key_base = "@{hex64}"
REVISION = '~{commit}'
""",
    "t16/server/config.php": """<?php
define('DB_PASSWORD', '@{password}');
define('AUTH_KEY', '@{url64}');
$config['api_token'] = "@{base62}";
$config['asset_version'] = "~{hex32}";
""",
    "t20/logs/server.log": """2026-11-26T09:12:31Z INFO starting version=~[1.14.2+build.20261120] commit=~{commit}
2026-11-26T09:12:32Z DEBUG request GET https://api.example.com/v2/items?access_token=@{base62}&page=~[2] trace=~{trace}
2026-11-26T09:12:32Z DEBUG > Authorization: Bearer @{jwt}
2026-11-26T09:12:33Z DEBUG > x-api-key: @{anthropic}
2026-11-26T09:12:33Z INFO request_id=~{uuid} session=~{ulid} user=~[u_8f3a9c2d7b] took=~[31ms]
2026-11-26T09:12:34Z ERROR connect postgres://app:@{password}@db:5432/app failed: timeout
2026-11-26T09:12:35Z WARN token=@{github} is about to expire
2026-11-26T09:12:36Z INFO pulled ~[ghcr.io/acme/app]@~{digest}
""",
    "t21/logs/events.jsonl": """{"time":"2026-11-26T09:00:00Z","event":"login","user":"anna","session_id":"~{uuid}","ip":"~[10.1.2.3]"}
{"time":"2026-11-26T09:00:05Z","event":"config","env":{"API_TOKEN":"@{base62}","REGION":"~[eu-west-1]"}}
{"time":"2026-11-26T09:00:06Z","msg":"spawn npx -y mcp-remote https://x.example.com --header Authorization: Bearer @{url64}"}
""",
    "t22/logs/mcp-server-github.log": """2026-11-26T10:00:00.000Z [github] [info] Message from client: {"method":"initialize","params":{"protocolVersion":"~[2025-06-18]"},"jsonrpc":"2.0","id":0}
2026-11-26T10:00:01.000Z [github] [error] 401 Bad credentials for ~[anna] with token @{github-fine}
2026-11-26T10:00:02.000Z [github] [info] env: {\\"SLACK_BOT_TOKEN\\": \\"@{slack}\\", \\"PATH\\": \\"~[/usr/local/bin:/usr/bin]\\"}
""",
    "t30/Dockerfile": """FROM ~[node:22-alpine]@~{digest}
ARG NPM_TOKEN=@{npm}
ENV API_KEY=@{base62} NODE_ENV=~[production]
ENV GIT_SHA=~{commit}
RUN curl -fsSL -H "Authorization: token @{github}" https://api.github.com/repos/acme/app/tarball/~{commit} | tar xz
RUN echo "~{hex64}  node.tar.gz" | sha256sum -c -
LABEL org.opencontainers.image.revision="~{commit}"
""",
    "t31/compose.yaml": """services:
  db:
    image: ~[postgres:17.2-alpine3.20]
    environment:
      POSTGRES_PASSWORD: @{password}
      POSTGRES_USER: ~[app]
  app:
    image: ghcr.io/acme/app@~{digest}
    environment:
      - API_TOKEN=@{base62}
      - LOG_FORMAT=~[json]
      - DATABASE_URL=postgres://app:@{password}@db/app
      - SECRET_KEY_FILE=~[/run/secrets/app_secret_key]
    labels: { "traefik.http.middlewares.auth.basicauth.usersfile": "~[/etc/traefik/users]" }
""",
    "t32/k8s/deployment.yaml": """apiVersion: apps/v1
kind: Deployment
metadata: { name: app, uid: ~{uuid}, annotations: { checksum/config: ~{hex64} } }
spec:
  template:
    spec:
      containers:
        - name: app
          env:
            - { name: API_TOKEN, value: "@{url64}" }
            - { name: REGION, value: "~[eu-central-1]" }
            - name: DB_PASSWORD
              valueFrom: { secretKeyRef: { name: ~[app-db-credentials], key: ~[password] } }
""",
    "t33/terraform/main.tf": """provider "datadog" {
  api_key = "@{hex32}"
  app_key = "@{hex40}"
}
resource "aws_db_instance" "main" {
  password       = "@{password}"
  engine_version = "~[16.4]"
  kms_key_id     = "~[arn:aws:kms:eu-central-1:111122223333:key/9f86d081-884c-4d65-9a2f-eaa0c55ad015]"
}
variable "token" { default = "@{base62}" }
output "password" { value = ~[random_password.main.result] }
""",
    "t34/.npmrc": """registry=~[https://registry.npmjs.org/]
//registry.npmjs.org/:_authToken=@{npm}
@acme:registry=~[https://npm.pkg.github.com]
//npm.pkg.github.com/:_authToken=~[${GITHUB_TOKEN}]
""",
    "t35/.pypirc": """[distutils]
index-servers = ~[pypi]

[pypi]
username = ~[__token__]
password = @{pypi}
""",
    "t36/.netrc": """machine api.example.com
  login anna
  password @{base62}
machine ~[mirror.example.com] login ~[anonymous]
""",
    "t37/.aws/credentials": """[default]
aws_access_key_id = @{aws-id}
aws_secret_access_key = @{aws-secret}
region = ~[eu-central-1]
[prod]
role_arn = ~[arn:aws:iam::111122223333:role/Deploy-7f3a9c2d]
""",
    "t38/.zsh_history": """: 1764112233:0;git checkout ~{commit}
: 1764112240:0;export OPENAI_API_KEY=@{openai}
: 1764112250:0;curl -u anna:@{password} https://jenkins.example.com/job/app/build
: 1764112260:0;claude mcp add sentry -e SENTRY_ACCESS_TOKEN=@{sentry} -- npx @sentry/mcp-server
: 1764112270:0;docker run --rm ghcr.io/acme/app@~{digest} --since ~[2026-11-20]
: 1764112280:0;mysql -h db -u root --password=@{password} shop
: 1764112290:0;kubectl get pod ~[app-7c9d8f6b5-x2x9k] -o yaml
: 1764112300:0;ssh-keygen -lf ~[~/.ssh/id_ed25519.pub]
""",
    "t39/.bash_history": """curl -H 'Authorization: Bearer @{base62}' https://api.example.com/mcp
curl "https://api.example.com/mcp?api_key=@{base62}"
export VAULT_TOKEN=@{vault}
git clone https://anna:@{github}@github.com/acme/app.git
npm install ~[@acme/ui@4.2.0-beta.17]
""",
    "t40/.github/workflows/deploy.yml": """on: push
jobs:
  deploy:
    runs-on: ~[ubuntu-24.04]
    env:
      TOKEN: ${{ secrets.DEPLOY_TOKEN }}
      SONAR_TOKEN: @{hex40}
    steps:
      - uses: actions/checkout@~{commit}
      - run: curl -H "Authorization: Bearer @{grafana}" https://grafana.example.com/api/annotations
""",
    "t41/postman/collection.json": """{"info":{"_postman_id":"~{uuid}","name":"~[Acme API]"},"auth":{"type":"bearer","bearer":[{"key":"token","value":"@{jwt}","type":"string"}]},"item":[{"request":{"header":[{"key":"X-Api-Key","value":"@{base62}"},{"key":"X-Request-Id","value":"~{uuid}"}],"url":"~[https://api.example.com/v1/items/9f86d081]"}}]}
""",
    "t42/notes/setup.md": """# Setup

1. Use `ATLASSIAN_TOKEN=@{atlassian}` until the service account is there.
2. The Airtable key is @{airtable}, the Postman one @{postman}.
3. Image: `~[ghcr.io/acme/app:1.4.2]`, digest `~{digest}`.
4. Ask for your own: `export API_KEY=~[<your-api-key>]`.
""",
    "t43/settings.ini": """[server]
listen = ~[0.0.0.0:8080]
secret_key = @{url64}
[smtp]
user = ~[mailer]
password = @{password}
""",
    "t44/application.properties": """spring.datasource.url=~[jdbc:postgresql://db:5432/app]
spring.datasource.password=@{password}
app.jwt.secret=@{url64}
app.build.id=~{hex40}
""",
    "t45/id_ed25519": "@{pem}\n",
    "t46/firebase/service-account.json": """{
  "type": "~[service_account]", "project_id": "~[acme-prod-1a2b3]", "private_key_id": "~{hex40}",
  "private_key": "@{line:pem}\\n",
  "client_email": "~[bot@acme-prod-1a2b3.iam.gserviceaccount.com]", "client_id": "~[104512345678901234567]",
  "client_x509_cert_url": "~[https://www.googleapis.com/robot/v1/metadata/x509/bot%40acme-prod.iam.gserviceaccount.com]"
}
""",
}
