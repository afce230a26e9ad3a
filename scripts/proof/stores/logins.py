"""The ways into OpenBao that leave no long-lived secret with the gateway, each with calls behind it: a secret id in a
wrapping, a client certificate, a token that the gateway signs about itself, and one that it signs about who calls."""

from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import Authority, secret_folder
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..openbao import OpenBao
from ..processes import until
from ..upstreams import Workshop

AUDIENCE = "https://bao.internal"
AGENTS = ("triage-bot", "steady-bot")
WAYS = ("wrapped", "certificate", "signed", "callers")
SECRET_ID = "auth/approle/role/mcp-gateway/secret-id"


class Estate:
    def __init__(self, stage):
        self.stage, self.upstream = stage, Workshop(stage, "logins")
        self.authority = Authority(stage, "store")
        served = self.authority.issue("IP:127.0.0.1", usage="serverAuth")
        self.bao = OpenBao(stage, secret_folder(stage) / "openbao-logins", "openbao-logins", certificate=served)
        self.file = secret_folder(stage) / "wrapped-secret-id"
        self.certificate, self.key = self.authority.issue("DNS:mcp-gateway")
        stage.private(self.key, self.key.read_text())
        self.gateway = Gateway(stage, "logins", self._configuration())
        self.values = {path: self._value(path) for path in ("wrapped", "certificate", "signed", "agents/triage-bot")}
        self.bring()

    def _configuration(self):
        auth = {
            "wrapped": f"wrapped_approle: {{ role: mcp-gateway, role_id: mcp-gateway, wrapped_secret_id_file: {self.file} }}",
            "certificate": f"cert: {{ role: gateway, certificate_file: {self.certificate}, key_file: {self.key} }}",
            "signed": f'signed_jwt: {{ role: gateway, audience: "{AUDIENCE}" }}',
            "callers": f'caller: {{ role: callers, audience: "{AUDIENCE}" }}',
        }
        tls = f"address: {self.bao.tls_address}, ca_file: {self.authority.certificate}"
        entries = "".join(
            f"  {way}: {{ kind: vault, {tls if way == 'certificate' else f'address: {self.bao.address}'}, "
            f"auth: {{ {auth[way]} }}, environments: [dev] }}\n" for way in WAYS)
        return configuration(self.stage, WAYS).replace("stores:\n", f"stores:\n{entries}")

    def _value(self, path):
        value = self.stage.mint.make(path)
        self.upstream.accept(value)
        self.bao.put(f"kv/{path}", value)
        return value

    def bring(self):
        """A fresh wrapping, as whoever deploys the gateway brings it."""
        token = self.bao.wrapped(SECRET_ID)
        self.stage.private(self.file, token)
        return token

    def trust(self):
        """The store learns whom to trust: the authority's certificates, and the keys that the gateway shows."""
        bao = self.bao
        bao.write("sys/auth/cert", {"type": "cert"})
        bao.write("auth/cert/certs/gateway", {
            "certificate": self.authority.certificate.read_text(), "allowed_dns_sans": ["mcp-gateway"],
            "token_policies": "gateway", "token_ttl": "10m"})
        bao.write("sys/auth/jwt", {"type": "jwt"})
        bao.write("auth/jwt/config", {
            "jwks_url": f"{self.gateway.public_url}/.well-known/jwks/store-login.json",
            "bound_issuer": self.gateway.public_url, "jwt_supported_algs": ["ES256"]})
        role = {"role_type": "jwt", "bound_audiences": [AUDIENCE], "user_claim": "sub", "token_ttl": "10m"}
        bao.write("auth/jwt/role/gateway", {**role, "bound_subject": "mcp-gateway", "token_policies": "gateway"})
        accessor = bao.call("GET", "sys/auth").json()["data"]["jwt/"]["accessor"]
        own = f'path "kv/data/agents/{{{{identity.entity.aliases.{accessor}.metadata.agent}}}}" {{ capabilities = ["read"] }}'
        bao.write("sys/policies/acl/own", {"policy": own})
        bao.write("auth/jwt/role/callers", {**role, "bound_claims": {"environment": "dev"},
                                            "claim_mappings": {"agent": "agent"}, "token_policies": "own"})

    def serve(self):
        self.gateway.start().log_in()
        self.trust()
        of_way = [binding(way, f"{way}://kv/{way}#token", "triage-bot", server_name=way) for way in WAYS[:3]]
        # Both agents may use it, as far as the gateway is concerned.
        of_callers = [binding(f"callers-{name}", "callers://kv/agents/triage-bot#token", name, server_name="callers")
                      for name in AGENTS]
        servers = [server(self.upstream.url, name=way) for way in WAYS]
        agents = [agent(self.stage, name) for name in AGENTS]
        self.gateway.apply(together(environment(), policy(), *servers, *agents, *of_way, *of_callers))
        doors = {way: self.gateway.door("dev", way) for way in WAYS}
        self.tokens = {(name, way): self.stage.issuer.agent(name, doors[way]) for name in AGENTS for way in WAYS}

    def call(self, way, name="triage-bot"):
        return call(self.stage, self.gateway.door("dev", way), self.tokens[name, way], "echo", {"text": "hello"})

    def arrives(self, way, path):
        mark = self.upstream.log.mark()
        answer = self.call(way)
        demand(succeeded(answer), f"{way}: {answer.status} {answer.text[:300]}")
        seen = {line["credential_sha256"] for line in self.upstream.log.since(mark) if line["authorized"]}
        demand(seen == {self.values[path].sha256}, f"{way}: another value arrived, or none")


def wrapping(estate):
    """Opened once; a second opening is told to whoever tries it, and a stranger's is told to the gateway."""
    opened = estate.bao.call("POST", "sys/wrapping/unwrap", {"token": estate.file.read_text()})
    demand(opened.status == 400, f"the gateway's wrapping opens a second time: {opened.status}")
    stolen = estate.bring()
    demand(estate.bao.call("POST", "sys/wrapping/unwrap", {"token": stolen}).status == 200, "it does not open at all")
    estate.gateway.stop()
    estate.gateway.start()
    answer = estate.call("wrapped")
    demand(answer.status == 503 and '"store.denied"' in answer.text, f"{answer.status} {answer.text[:300]}")
    until("the log tells that somebody else opened it", lambda: b"wrapping.spent" in estate.gateway.child.log.read_bytes(), 10)
    estate.bring()
    until("another wrapping opens the store", lambda: succeeded(estate.call("wrapped")), 30, 0.5)


def callers(estate):
    """The gateway lets both agents; the store lets one."""
    mark = estate.upstream.log.mark()
    refused = estate.call("callers", "steady-bot")
    demand(refused.status == 503 and '"store.denied"' in refused.text, f"{refused.status} {refused.text[:300]}")
    demand(not estate.upstream.log.since(mark), "the refused call reached the server")
    estate.arrives("callers", "agents/triage-bot")
    before = estate.bao.sessions("auth/jwt/login")
    estate.gateway.cli("agent", "revoke", "triage-bot", "--confirm", "triage-bot")
    left = estate.bao.sessions("auth/jwt/login")
    demand(left == before - 1, f"{before} sessions before the agent's end, {left} at the answer to it")
    return before


def judge(stage):
    estate = Estate(stage)
    estate.serve()
    for way, path in (*((way, way) for way in WAYS[:3]), ("callers", "agents/triage-bot")):
        estate.arrives(way, path)
    wrapping(estate)
    for way in WAYS[1:3]:
        estate.arrives(way, way)
    callers(estate)
    estate.gateway.keep_metrics()
    estate.gateway.stop()
    return (f"calls through {len(WAYS)} ways in; a wrapping that somebody else had opened is refused and told, another one "
            "opens the store without a restart; as the caller one agent reads and the other is refused by the store alone, "
            "and an agent's session at the store is gone at the answer to its revocation")


CLAIMS = (
    Claim("logins", "the gateway gets into OpenBao by a wrapped secret id, a certificate and a token it signs about itself, "
                    "and as the caller, where the store's own policy lets one agent and not the other", judge),
)
