"""A real gateway on a state and evidence of a size, with operators of several roles who are logged in.

The parts are those of scripts/proof: the npm oidc-provider in front of the console, the rmcp server behind the door.
"""

import http.client
import json
import re
import time
from html import unescape
from urllib.parse import urlencode, urljoin, urlsplit

from proof import web
from proof.claim import demand
from proof.gateway import Gateway
from proof.manifests import agent, policy, server, together
from proof.provider import CODE, AuthorizationServer
from proof.upstreams import Workshop

TEAM = "team-03"
PEOPLE = {
    "ada": {"groups": ["everything"]}, "vera": {"groups": ["viewers"]}, "ed": {"groups": ["third-team"]},
    "otto": {"groups": ["auditors"]},
}
SERVER, BINDING, SPARE = "issues", "measured-calls", "measured-spare"
MAX_STEPS = 14
# The gateway closes a connection on which nothing was asked for ten seconds.
RESTED = 5.0


def configuration(stage, idp, durability="process"):
    """Sealed secrets and SQLite: what a team begins with. `idp` is the operators' identity provider."""
    return f"""listen: @LISTEN@
public_url: http://@LISTEN@
control: {{ listen: "@CONTROL@", public_url: "http://@CONTROL@" }}
state: sqlite://./data/state.db
audit: {{ directory: ./data/audit, durability: {durability} }}
stores:
  local: {{ kind: sealed, path: ./data/sealed.db, key_file: ./data/sealed.key, environments: [dev, production, sandbox, staging] }}
identity:
  issuers:
    - issuer: {stage.issuer.url}
      groups_claim: groups
      audiences:
        - {{ value: "http://@LISTEN@/mcp/dev/{SERVER}", environment: dev, servers: [{SERVER}] }}
operators:
  bootstrap_token_file: ./data/bootstrap-token
  issuers:
    - issuer: {idp.url}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: admin, group: everything }}
        - {{ role: editor, group: everything }}
        - {{ role: approver, group: everything }}
        - {{ role: auditor, group: everything }}
        - {{ role: viewer, group: viewers }}
        - {{ role: editor, group: third-team, teams: [{TEAM}] }}
        - {{ role: auditor, group: auditors }}
  console:
    issuer: {idp.url}
    client_id: console
    client_secret: "local://console#token"
    key_file: ./data/console.key
log: {{ level: warn }}
"""


def bindings():
    """The binding that is called, and others to be revoked."""
    def one(name, agents):
        return f"""kind: Binding
name: {name}
environment: dev
server: {SERVER}
actor: {{ agents: [{agents}] }}
mode: service_account
secret: "local://calls#token"
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: measured
risk: write
owner: platform
"""
    return one(BINDING, "triage-bot"), one(SPARE, "steady-bot")


class Estate:
    """`size` is (bindings, events); the state of a fresh gateway is (0, 0)."""

    def __init__(self, stage, name, size):
        self.stage, self.size = stage, size
        self.idp = AuthorizationServer(stage, f"{name}-operators", host="127.0.0.2", people=PEOPLE)
        self.upstream = Workshop(stage, name)
        self.gateway = Gateway(stage, name, configuration(stage, self.idp))
        control = self.gateway.control
        self.client_secret = self.idp.client("console", CODE, redirect_uris=[f"{control}/login/callback"])
        self.credential = stage.mint.make(f"{name} calls")
        self.upstream.accept(self.credential)
        self.home = f"{control}/console"
        self.door = self.gateway.door("dev", SERVER)
        self.made, self.seconds = {}, {}

    def start(self):
        self.idp.start()
        began = time.monotonic()
        if self.size != (0, 0):
            self.made = json.loads(self._run("fixture-estate", "--bindings", self.size[0], "--events", self.size[1]))
            self.seconds["made"] = time.monotonic() - began
            self._run("bootstrap-token")
        began = time.monotonic()
        self.gateway.start()
        self.seconds["started"] = time.monotonic() - began
        self.gateway.log_in()
        for path, credential in (("console", self.client_secret), ("calls", self.credential)):
            self._put(path, credential.value)
        began = time.monotonic()
        documents = [] if self.size != (0, 0) else ["kind: Environment\nname: dev\ntier: dev\n"]
        self.gateway.apply(together(
            *documents, server(self.upstream.url, name=SERVER), agent(self.stage, "triage-bot"),
            agent(self.stage, "steady-bot"), policy(name="measured"), *bindings(),
        ))
        self.seconds["applied"] = time.monotonic() - began
        return self

    def _run(self, command, *arguments):
        line = [self.stage.program, command, "--config", self.gateway.file, *arguments]
        code, out, err = self.stage.children.run(line, 600, cwd=self.gateway.folder)
        demand(code == 0, f"{command} ended with {code}: {(out + err)[-600:]}")
        return out

    def _put(self, path, value):
        gateway = self.gateway
        line = [self.stage.program, "--control", gateway.control, "--token-file", gateway.token_file,
                "secret", "put", "local", path, "--field", "token"]
        code, out, err = self.stage.children.run(line, input=value)
        demand(code == 0, f"secret put {path}: {(out + err)[-300:]}")

    def token(self, client="triage-bot"):
        return self.stage.issuer.agent(client, self.door)

    def visitor(self, person):
        return Visitor(self.home, self.gateway.control_port).log_in(person)

    def memory_kib(self):
        for line in open(f"/proc/{self.gateway.child.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def cpu_millis(self):
        """User and system time of the gateway so far; Linux counts it in steps of 10 ms."""
        fields = open(f"/proc/{self.gateway.child.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 10


class Visitor:
    """A browser's part of the console: cookies, redirects, and one connection that stays open."""

    def __init__(self, home, port):
        self.home, self.port = home, port
        self.cookies = {}
        self.connection, self.used = None, 0.0

    def log_in(self, person):
        """Through the identity provider's own pages, by code and PKCE, as a browser goes."""
        url, method, body = self.home, "GET", None
        for _ in range(MAX_STEPS):
            answer = self._go(method, url, body)
            method, body = "GET", None
            if 300 <= answer.status < 400:
                url = urljoin(url, answer.headers["location"])
                continue
            if url == self.home and answer.status == 200:
                return self
            action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([a-z]+)"', answer.text)
            demand(action and prompt, f"{person}: no page to fill in at {url}: {answer.status} {answer.text[:200]}")
            fields = {"prompt": prompt[1]}
            if prompt[1] == "login":
                fields |= {"login": person, "password": "any"}
            url, method, body = urljoin(url, unescape(action[1])), "POST", urlencode(fields).encode()
        demand(False, f"{person} did not get in")

    def _go(self, method, url, body):
        host = urlsplit(url).netloc
        held = self.cookies.setdefault(host, {})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in held.items())} if held else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = web.request(method, url, body, headers)
        for line in answer.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            held[name] = value
        return answer

    def page(self, path):
        """Status, body and seconds of one page, from the first byte sent to the last one read."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies[f"127.0.0.1:{self.port}"].items())
        return self._timed(path, {"Cookie": cookie})

    def _fresh(self):
        """A connection that rested is closed by the gateway; opening another is not what is measured."""
        if self.connection is None or time.monotonic() - self.used > RESTED:
            if self.connection:
                self.connection.close()
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.connection.connect()
        self.used = time.monotonic()

    def _timed(self, path, headers):
        self._fresh()
        began = time.perf_counter()
        try:
            self.connection.request("GET", path, headers=headers)
            response = self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The gateway closes a connection that has rested for ten seconds; a page that fails fails again.
            self.connection.close()
            began = time.perf_counter()
            self.connection.request("GET", path, headers=headers)
            response = self.connection.getresponse()
        body = response.read()
        return response.status, body, time.perf_counter() - began


class Reader(Visitor):
    """An operator's program: the API by bearer token, over one connection."""

    def __init__(self, gateway):
        super().__init__("", gateway.control_port)
        self.token = gateway.token_file.read_text().strip()

    def page(self, path):
        return self._timed(path, {"Authorization": f"Bearer {self.token}"})

    def post(self, path, body=None):
        """Status, answer and seconds of an act."""
        self._fresh()
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(body or {}), headers)
        response = self.connection.getresponse()
        answer = response.read()
        return response.status, answer, time.perf_counter() - began
