//! Bad `gateway.yaml` files and everything that is said about them.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::parse;

const GOOD: &str = "listen: 127.0.0.1:8080
public_url: http://127.0.0.1:8080
control: { listen: 127.0.0.1:8081 }
state: sqlite://state.db
audit: { directory: audit }
";

/// The good file with more lines, or with one line replaced by its field.
fn with(lines: &str) -> String {
    let field = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let replaced: Vec<_> =
        lines.lines().filter(|line| !line.starts_with([' ', '-', '#'])).map(field).collect();
    let kept = GOOD.lines().filter(|line| !replaced.contains(&field(line)));
    kept.chain(lines.lines()).collect::<Vec<_>>().join("\n")
}

fn cases() -> Vec<(&'static str, String)> {
    vec![
        ("nothing", String::new()),
        ("a comment", "# nothing yet\n".to_owned()),
        ("no YAML", "listen: [127.0.0.1\npublic_url: x\n".to_owned()),
        ("a tab", "control:\n\tlisten: 127.0.0.1:1\n".to_owned()),
        ("text", "just text".to_owned()),
        ("two documents", format!("{GOOD}---\nkind: Server\n")),
        ("a key twice", format!("{GOOD}listen: 127.0.0.1:1\n")),
        ("a merge key", with("limits:\n  <<: { drain_seconds: 1 }")),
        ("a tag", with("log: { level: !important info }")),
        ("several fields missing", "listen: 127.0.0.1:8080\n".to_owned()),
        (
            "many problems at once",
            with("lisen: 1\nlimits: { drain_second: 1, request_body_bytes: many }\nlog: { level: loud, colour: true }"),
        ),
        ("wrong types", with("listen: 8080\ncontrol: [127.0.0.1:8081]\nproxy_protocol: yes\nenvironments: dev")),
        ("bad addresses", with("listen: localhost:8080\npublic_url: 127.0.0.1\ntrusted_proxies: [10.0.0.0/99]")),
        ("bounds", with("limits: { request_body_bytes: 1, concurrent_requests: 0, drain_seconds: -1 }")),
        ("signing keys", with("signing: { key_file: [a], rotate_days: 0, purpose: x }")),
        ("signing keys for ever", with("signing:\n  rotate_days: 366")),
        ("plain text to the network", with("listen: 0.0.0.0:80\npublic_url: http://mcp.example.com\ncontrol: { listen: '[::]:81' }")),
        ("a path in the public URL", with("public_url: http://127.0.0.1:8080/gateway")),
        ("one door", with("control: { listen: 127.0.0.1:8080 }")),
        ("PROXY without proxies", with("proxy_protocol: true")),
        ("a password in the state", with("state: postgres://gateway:hunter2-hunter2@db/gateway")),
        ("a downgraded state", with("state: postgres://gateway@db/gateway?sslmode=prefer")),
        ("a state of another kind", with("state: mysql://db/gateway")),
        ("a password file for a file", with("state_password_file: pw")),
        (
            "stores of many mistakes",
            with(
                "stores:
  Vault:
    kind: vault
  one: { kind: vaul }
  two: { path: x }
  three: sealed
  four: { kind: sealed, path: a, key_file: a, environments: [dev, dev] }
  five: { kind: vault, address: http://vault.internal, auth: { token: hunter2-hunter2 }, environments: [dev] }
  six:
    kind: vault
    address: [https://vault.internal]
    auth: { approle: { role_id: x, secret_id: hunter2-hunter2, secret_id_file: y } }
    environments: [Dev]
    cache_seconds: 9999
  seven: { kind: env, names: [], environments: [] , timeout_ms: 1 }",
            ),
        ),
        (
            "programs and clouds of many mistakes",
            with(
                "stores:
  one: { kind: exce, command: [/a] }
  two: { kind: exec, command: helper --token hunter2-hunter2, environments: [dev] }
  three: { kind: exec, command: [helper], pass_environment: [A=B], concurrency: 0, environments: [dev] }
  four: { kind: exec, command: [/a], environment: { TOKEN: hunter2-hunter2 }, environments: [dev] }
  five: { kind: aws_secrets_manager, environments: [dev] }
  six:
    kind: aws_secrets_manager
    region: Frankfurt
    auth: { web_identity: { role_arn: gateway, token_file: t, session_name: a b, sts_endpoint: http://sts.internal } }
    endpoint: https://me:hunter2-hunter2@vpc.internal
    environments: [dev]
  seven:
    kind: aws_parameter_store
    region: eu-west-1
    auth: { access_key: { id: AKIAHUNTER2HUNTER2, secret: hunter2-hunter2 } }
    environments: [dev]
  eight: { kind: aws_parameter_store, region: eu-west-1, auth: { credentials_file: { file: c, secret_access_key: hunter2-hunter2 } }, environments: [dev] }",
            ),
        ),
        (
            "more clouds of many mistakes",
            with(
                "stores:
  one: { kind: azure_keyvault, vaults: [a] }
  two: { kind: google_secret_manager, projects: [], auth: { service_account_key: hunter2-hunter2 }, environments: [dev] }
  three:
    kind: google_secret_manager
    projects: [Tools]
    location: Europe
    auth: { federation: { audience: https://me:hunter2-hunter2@sts.internal, token_file: t, service_account: a } }
    endpoint: http://secrets.internal
    environments: [dev]
  four:
    kind: azure_key_vault
    vaults: [tools-prod, tools.evil.example]
    auth: { managed_identity: { endpoint: http://10.0.0.1 } }
    endpoint: https://tools-prod.vault.azure.cn
    resource: vault.azure.cn
    environments: [dev]
  five: { kind: kubernetes_secrets, namespaces: ['*'], token: hunter2-hunter2, environments: [dev] }
  six: { kind: kubernetes_secrets, namespaces: ['*'], types: [], server: http://10.0.0.1, environments: [dev] }
  seven:
    kind: onepassword_connect
    server: http://connect.internal
    token_file: t
    vaults: [Tools]
    paths: [{ prefix: Tools/Bot, owners: [support] }]
    environments: [dev]",
            ),
        ),
        ("a token in the wrong place", with("stores: { v: { kind: vault, address: https://v.internal, token: hvs.hunter2hunter2hunter2, auth: { token_file: t }, environments: [dev] } }")),
        ("a password in a URL", with("audit: { directory: a, sink: { url: 'https://me:hunter2-hunter2@siem.internal/' } }")),
        ("a plain sink", with("audit: { directory: a, sink: { url: 'http://siem.internal/' } }")),
        ("a retention without a limit", with("audit: { directory: a, retention: { archive: b } }")),
        ("a retention that keeps nothing", with("audit: { directory: a, retention: { days: 0, max_bytes: 1, archive: a } }")),
        (
            "sinks of many mistakes",
            with(
                "audit:
  directory: a
  sink: { url: 'https://siem.internal/', timeout_seconds: 0 }
  sinks:
    - webhook: { url: 'https://siem.internal/other' }
    - syslog: { address: 'udp://log.internal:514' }
    - syslog: { name: two, address: 'tcp://log.internal:514', ca_file: c }
    - syslog: { name: three, address: 'tls://log.internal', hostname: 'a b', confirm_seconds: 0, window_records: 1 }
    - otlp: { url: 'http://otel.internal/v1/logs', batch_lines: 0 }",
            ),
        ),
        (
            "a sink that cannot be read",
            with("audit: { directory: a, sinks: [{ otlp: { name: Four, url: 'https://otel.internal/v1/logs', token: hunter2-hunter2 } }] }"),
        ),
        ("too many sinks", with(&many_sinks())),
        (
            "traces of many mistakes",
            with("telemetry: { traces: { url: 'http://otel.internal/v1/traces', share: 2 } }"),
        ),
        (
            "issuers of many mistakes",
            with(
                "identity:
  issuers:
    - { issuer: 'http://idp.internal', audience: x, subject_claim: email }
    - { issuer: 'https://idp.internal', algorithms: [HS256], audience: http://127.0.0.1:8080/mcp/dev }
    - { issuer: 'https://idp.internal', client_secret: hunter2-hunter2 }",
            ),
        ),
        (
            "one audience, two doors",
            with(
                "identity: { issuers: [{ issuer: 'https://i', audience: 'http://127.0.0.1:8080/mcp/dev' }] }
operators:
  issuers:
    - { issuer: 'https://i', audience: 'http://127.0.0.1:8080/mcp/dev', roles: [{ role: admin, subject: me }] }
    - { issuer: 'https://j', audience: x, roles: [{ role: emperor, group: g }] }",
            ),
        ),
        (
            "environments that do not meet",
            with(
                "environments: [production]
stores: { local: { kind: env, names: [A], environments: [dev] } }
identity: { issuers: [{ issuer: 'https://i', audience: 'http://127.0.0.1:8080/mcp/dev' }] }",
            ),
        ),
        ("no environment", with("environments: []")),
        ("a login without anything", with("login: {}")),
        (
            "a login of many mistakes",
            with(
                "identity: { issuers: [{ issuer: 'https://idp.internal', preset: entra, audience: 'http://127.0.0.1:8080/mcp/dev' }] }
login:
  issuer: https://idp.internal
  client_id: a b
  client_secret: vault://kv/{user.sub}#x
  scopes: [profile]
  origins: [https://token.internal/path]
  subject_claim: email
  leeway_seconds: 61
  key_file: login.key
  session: { idle_seconds: 1, lifetime_seconds: 99999999 }
  clients:
    metadata_domains: [https://app.example, App.example, app.example]
    addresses: [loopback]
    access_token_seconds: 86400
    refresh_idle_seconds: 1",
            ),
        ),
        (
            "a secret in the place of its reference",
            with("login: { issuer: 'https://i', client_id: x, client_secret: hunter2-hunter2, key_file: k }"),
        ),
        (
            "a gateway that is its own identity provider, and knows no client",
            with("login: { issuer: 'http://127.0.0.1:8080', client_id: x, key_file: k, clients: {} }"),
        ),
    ]
}

fn many_sinks() -> String {
    let mut text = "audit:\n  directory: a\n  sinks:\n".to_owned();
    for number in 0..9 {
        writeln!(text, "    - webhook: {{ name: s{number}, url: 'https://siem.internal/' }}").unwrap();
    }
    text
}

#[test]
fn every_bad_file_is_told_what_and_where() {
    let mut told = String::new();
    for (name, text) in cases() {
        let problems = parse("gateway.yaml", &text, Path::new("/etc/gateway")).expect_err(name);
        assert!(!problems.issues().is_empty());
        let shown = problems.to_string();
        assert!(!shown.contains("hunter2"), "{name}: {shown}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{name}");
        writeln!(told, "## {name}\n{shown}\n").unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn the_good_file_is_good() {
    parse("gateway.yaml", GOOD, Path::new("")).unwrap();
}
