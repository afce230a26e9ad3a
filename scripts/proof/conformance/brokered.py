"""A gateway for the suite: OpenBao, the real issuer, one agent, a policy that permits, `methods: ["*"]`."""

from ..gateway import Gateway
from ..manifests import agent, configuration, environment, together

AGENT = "triage-bot"
SECRET = "bao://kv/conformance/triage-bot#token"
POLICY = """kind: Policy
name: conformance
environment: dev
owner: support
cedar: |
  permit (principal, action, resource)
  when { principal has agent && principal.agent.owner_team == "support" };
"""


def gateway(stage, name, servers, public=None):
    """Running, with the servers' doors known to the issuer's audiences. `public` is where the suite thinks it is."""
    text = configuration(stage, servers)
    if public:
        text = text.replace("public_url: http://@LISTEN@\n", f"public_url: {public}\nallowed_origins: [{public}]\n")
    made = Gateway(stage, name, text).start().log_in()
    made.apply(together(environment(), agent(stage, AGENT), POLICY))
    return made


def server(name, url):
    """A registered server and the binding that opens all of it, as manifests of the control API."""
    return [
        {
            "kind": "Server", "name": name, "environment": "dev", "owner": "platform",
            "route": {"url": url, "addresses": ["loopback"]}, "tools": {"default_risk": "write"},
        },
        {
            "kind": "Binding", "name": name, "environment": "dev", "server": name, "actor": {"agents": [AGENT]},
            "mode": "service_account", "secret": SECRET, "methods": ["*"], "policy": "conformance", "risk": "write",
            "inject": {"header": "Authorization", "format": "Bearer {secret}"}, "owner": "support",
        },
    ]
