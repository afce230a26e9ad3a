"""Configurations and manifests of the claims that need more than the README's example."""


def configuration(stage, servers, environments=("dev",), cache_seconds=60, durability="process",
                  state="sqlite://./data/state.db", operators="", paths="", more="", audit=""):
    """A gateway.yaml with OpenBao as the store and the real issuer, with a door for each server."""
    audiences = "\n".join(
        f'        - {{ value: "http://@LISTEN@/mcp/{environment}/{server}", environment: {environment}, '
        f"servers: [{server}] }}"
        for environment in environments for server in servers
    )
    return f"""listen: @LISTEN@
public_url: http://@LISTEN@
control: {{ listen: "@CONTROL@" }}
state: {state}
audit: {{ directory: ./data/audit, durability: {durability}{audit} }}
stores:
  bao:
    kind: vault
    address: {stage.openbao.address}
    auth: {{ approle: {{ role_id: mcp-gateway, secret_id_file: {stage.openbao.secret_id_file} }} }}
    environments: [{", ".join(environments)}]
    cache_seconds: {cache_seconds}
{paths}identity:
  issuers:
    - issuer: {stage.issuer.url}
      groups_claim: groups
      audiences:
{audiences}
operators:
  bootstrap_token_file: ./data/bootstrap-token
{operators}log: {{ level: trace, format: json }}
{more}"""


def server(url, name="issues", environment="dev", owner="platform"):
    return f"""kind: Server
name: {name}
environment: {environment}
owner: {owner}
route: {{ url: "{url}", addresses: [loopback] }}
tools: {{ default_risk: write, echo: read, whoami: read, slow: read, leak: read, delete_everything: destructive }}
"""


def agent(stage, name, environments="dev", owner="support"):
    return f"""kind: Agent
name: {name}
environments: [{environments}]
owner: {owner}
purpose: proves a claim
risk_ceiling: write
proofs:
  - confidential_client: {{ issuer: "{stage.issuer.url}", client_id: {name} }}
"""


def policy(environment="dev", name="support-calls", condition="context.risk != \"destructive\"", owner="support"):
    return f"""kind: Policy
name: {name}
environment: {environment}
owner: {owner}
cedar: |
  permit (principal, action == Action::"call_tool", resource)
  when {{ principal has agent && {condition} }};
"""


def binding(name, secret, agents, environment="dev", server_name="issues", owner="support",
            policy_name="support-calls", more=""):
    return f"""kind: Binding
name: {name}
environment: {environment}
server: {server_name}
actor: {{ agents: [{agents}] }}
mode: service_account
secret: "{secret}"
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: {policy_name}
risk: write
owner: {owner}
{more}"""


def sourced(name, source, actor, mode, environment="dev", server_name="notes", owner="support",
            policy_name="support-calls", more=""):
    """A binding whose material comes from a source; `source` and `actor` are flow-style text."""
    return f"""kind: Binding
name: {name}
environment: {environment}
server: {server_name}
actor: {actor}
mode: {mode}
source: {source}
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: {policy_name}
risk: write
owner: {owner}
{more}"""


def provider(name, issuer, client, environment="dev", owner="platform", more=""):
    """An OAuth provider; `client` is flow-style text."""
    return f"""kind: Provider
name: {name}
environment: {environment}
owner: {owner}
issuer: {issuer}
client: {client}
addresses: [loopback]
{more}"""


def notes(url, name="notes", environment="dev", owner="platform"):
    """The OAuth upstream of the modes."""
    return f"""kind: Server
name: {name}
environment: {environment}
owner: {owner}
route: {{ url: "{url}", addresses: [loopback], generation: legacy }}
tools: {{ default_risk: destructive, whoami: read, read_notes: read, write_notes: write }}
"""


def environment(name="dev", tier="dev"):
    return f"kind: Environment\nname: {name}\ntier: {tier}\n"


def together(*documents):
    return "---\n".join(documents)


def basic(stage, upstream, bindings):
    """The dev environment of most claims: one server, two agents, one policy and these bindings."""
    return together(
        environment(), server(upstream.url), agent(stage, "triage-bot"), agent(stage, "steady-bot"),
        policy(), *bindings,
    )
