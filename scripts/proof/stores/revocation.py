"""Revocation of a binding, a server and a whole environment under load, over everything that can hold on to a
credential: calls, streams of both generations, a task in a process, a database role, a provider's token."""

import http.client
import json
import re
import threading
import time
from datetime import datetime
from urllib.parse import urlsplit

from .. import revoked
from ..claim import Claim, Unproven, demand
from ..gateway import Gateway, call, succeeded
from ..load import Load, micros
from ..manifests import (agent, binding, configuration, environment, notes, policy, provider, server, sourced,
                         together)
from ..modes.leased import CREATE, DROP, LeaseGate
from ..postgres import Postgres
from ..processes import until
from ..provider import CLIENT, AuthorizationServer
from ..relay import Relay
from ..session import Session
from ..transparency import processes
from ..upstreams import OAuthServer, Workshop
from ..wire import Wire

IN_FLIGHT, SLOW_MILLIS = 64, 60_000
AFTER_SECONDS = 0.5
SERVERS = ("issues", "notes", "leased", "works")
STATES = {"ended", "refused", "unanswered", "irrevocable", "expired"}


class Listener:
    """A live stream: `subscriptions/listen` of 2026-07-28, or the GET stream of a session of 2025-11-25."""

    def __init__(self, door, token, session=None):
        parts = urlsplit(door)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        if session:
            headers |= {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session, "Accept": "text/event-stream"}
            self.connection.request("GET", parts.path, None, headers)
        else:
            meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "prove", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {}}
            body = {"jsonrpc": "2.0", "id": "listen", "method": "subscriptions/listen",
                    "params": {"notifications": {"toolsListChanged": True}, "_meta": meta}}
            headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen",
                        "Content-Type": "application/json"}
            self.connection.request("POST", parts.path, json.dumps(body), headers)
        self.response = self.connection.getresponse()
        # Only where it was refused: reading from a stream would wait for what it has to say.
        if self.response.status != 200:
            raise Unproven(f"no stream: {self.response.status} {self.response.read(300)}")
        self.ended_at, self.said = None, b""
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        try:
            while line := self.response.readline():
                self.said += line
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended_at = micros()


class Scene:
    def __init__(self, stage):
        self.stage = stage
        self.provider = AuthorizationServer(stage, "revocation", tokens="opaque")
        self.secret = self.provider.client("gateway", CLIENT)
        self.provider.start()
        self.relay = Relay(self.provider.url)
        introspect = ("gateway", self.secret.value)
        self.notes = OAuthServer(stage, "revocation-notes", self.provider.url, introspect=introspect)
        self.wire = Wire(self.notes.url)
        self.database = Postgres(stage, "postgres-revocation")
        stage.openbao.database(self.database, {"triage-bot": (CREATE, DROP)})
        stage.openbao.writable("owed")
        self.leased = LeaseGate(stage, self.database)
        self.issues = Workshop(stage, "revocation-everywhere")
        credential = stage.mint.make("revocation everywhere")
        self.issues.accept(credential)
        stage.openbao.put("kv/issues/everywhere", credential)
        stage.openbao.put("kv/clients/everywhere", self.secret)
        section = processes.section([processes.everything()], processes=16, idle_seconds=600,
                                    directory=str(stage.folder / "revocation-private"))
        text = configuration(stage, SERVERS, paths="    writable: [kv/owed/]\n", more=section)
        self.gateway = Gateway(stage, "revocation-everywhere", text)
        self.gateway.start().log_in()
        self.gateway.apply(self.manifests())
        self.doors = {name: self.gateway.door("dev", name) for name in SERVERS}
        self.tokens = {name: stage.issuer.agent("triage-bot", door) for name, door in self.doors.items()}
        self.steady = stage.issuer.agent("steady-bot", self.doors["issues"])
        self.keys_file = self.gateway.folder / "revocation-keys.json"
        self.keys_file.write_text(json.dumps({"keys": revoked.public_keys(self.gateway)}))

    def manifests(self):
        secret = '"bao://kv/clients/everywhere#token"'
        client = f"{{ id: gateway, authentication: {{ client_secret_basic: {{ secret: {secret} }} }} }}"
        more = (f'origins: ["{self.relay.url}"]\ngrants: "bao://kv/owed"\nendpoints: {{ token: "{self.relay.url}/token", '
                f'revocation: "{self.relay.url}/token/revocation" }}\n')
        stored, asked = "bao://kv/issues/everywhere#token", f'provider: notes, scopes: ["notes:read"], resource: "{self.notes.url}"'
        bot, every = "{ agents: [triage-bot] }", 'methods: ["*"]\n'
        anything = policy(condition="true").replace('action == Action::"call_tool"', "action")
        return together(
            environment(), anything, agent(self.stage, "steady-bot"),
            agent(self.stage, "triage-bot"),
            provider("notes", self.provider.url, client, more=more),
            server(self.issues.url), notes(self.wire.url), server(self.leased.url, name="leased"),
            processes.server("works", processes.everything(), environment=None),
            binding("stored", stored, "triage-bot", more=every), binding("steady", stored, "steady-bot", more=every),
            sourced("asked", f"{{ client_credentials: {{ {asked} }} }}", bot, "service_account"),
            sourced("role", '{ leased: { role: "bao://database/creds/triage-bot#password" } }', bot, "service_account",
                    server_name="leased"),
            processes.binding("process", "works", stored, "triage-bot"),
        )

    def call(self, name, tool, arguments=None, token=None):
        return call(self.stage, self.doors[name], token or self.tokens[name], tool, arguments)

    def served(self, name, tool, arguments=None):
        answer = self.call(name, tool, arguments)
        demand(succeeded(answer), f"{name}, {tool}: {answer.status} {answer.text[:300]}")

    def provider_token(self):
        """The token that the upstream got: read off the wire, for nobody else shows it."""
        self.served("notes", "whoami")
        found = re.findall(rb"[Aa]uthorization: Bearer ([^\r\n]+)", self.wire.since(0))
        demand(found, "no bearer token on the wire to the upstream")
        return self.stage.mint.also("a provider's token", found[-1].decode())

    def active(self, token):
        return self.provider.introspect("gateway", self.secret, token)["active"]

    def documents(self, told):
        """Every document of a revocation, judged by PyJWT and by the command line."""
        whole = self.gateway.cli("revocation", "show", told["id"])
        said = revoked.judged(self.stage, json.loads(self.keys_file.read_text())["keys"], whole["documents"])
        verdict = revoked.by_cli(self.stage, self.gateway, whole["documents"], self.keys_file)
        demand(verdict["valid"] and verdict["claims"] == said[-1], "the command line reads another document")
        demand(all(end["state"] in STATES for end in said[-1]["outside"]), f"{said[-1]['outside']}")
        return said, whole["documents"]


def judge(stage):
    scene = Scene(stage)
    first = one_binding(scene)
    second = one_server(scene)
    third, waiting = whole_environment(scene)
    fourth = after_restart(scene, *waiting)
    scene.gateway.keep_metrics()
    code, told = scene.gateway.verify()
    demand(code == 0, f"audit verify: {told[-300:]}")
    scene.gateway.stop()
    return f"{first}; {second}; {third}; {fourth}; audit verified"


class Held:
    """Load and open streams at the server `issues`, under one binding."""

    def __init__(self, scene, name, token):
        self.scene, self.name = scene, name
        self.mark = scene.issues.log.mark()
        door = scene.doors["issues"]
        session = Session(scene.stage, door, token, "revocation-sessions").open()
        self.streams = [Listener(door, token, session.id), Listener(door, token)]
        self.session = session
        self.load = Load(door, token, "slow", {"millis": SLOW_MILLIS}, IN_FLIGHT + 8).start()
        until(f"{IN_FLIGHT} calls in flight", lambda: len(self.arrived("tools/call")) >= IN_FLIGHT, 60)

    def arrived(self, method=None):
        ours = [line for line in self.scene.issues.log.since(self.mark)
                if (line["binding"] or "").startswith(f"{self.name}@")]
        return [line for line in ours if method is None or line["method"] == method]

    def late(self, acknowledged, completed):
        """What arrived at the upstream after the acknowledgement, and whether both streams are over."""
        time.sleep(AFTER_SECONDS)
        until("the streams have ended", lambda: all(one.ended_at for one in self.streams), 10)
        end = min(acknowledged, datetime.fromisoformat(completed).timestamp() * 1_000_000)
        self.load.stop(30)
        return [line for line in self.arrived() if line["arrival_micros"] > end]


def one_binding(scene):
    """A binding with calls and both kinds of stream; another one of the same server goes on."""
    held = Held(scene, "stored", scene.tokens["issues"])
    flow = Load(scene.doors["issues"], scene.steady, "echo", {"text": "on"}, 2, pause=0.01).start()
    until("the other binding flows", lambda: flow.succeeded > 20, 30)
    dry = scene.gateway.api("POST", "/bindings/dev/stored/revoke?dry_run=true").json()["would_end"]
    demand(dry["open"]["streams"] >= 2 and dry["bindings"] == ["dev/stored@1"], f"dry run: {dry}")
    demand(len(held.arrived("tools/call")) >= IN_FLIGHT, "the rehearsal ended something")
    answer = scene.gateway.api("POST", "/bindings/dev/stored/revoke")
    acknowledged, before = micros(), flow.succeeded
    demand(answer.status == 200, f"revoke: {answer.status} {answer.text[:300]}")
    late = held.late(acknowledged, answer.json()["completed_at"])
    demand(not late, f"{len(late)} uses after the acknowledgement of the binding's revocation")
    until("the other binding still flows", lambda: flow.succeeded > before + 20, 30)
    flow.stop()
    demand(flow.refused + flow.broken == 0, f"the other binding: {flow.failures[:3]}")
    reply = held.session.call("echo", {"text": "x"})
    demand(reply.status in (401, 403, 404), f"the session goes on: {reply}")
    said, _ = scene.documents(answer.json()["revocation"])
    ended = said[-1]["ended"]
    demand(said[-1]["status"] == "complete" and ended["calls"] >= IN_FLIGHT and ended["streams"] >= 2, f"{ended}")
    sequences = {record["sequence"]: record["event"] for record in scene.gateway.api(
        "GET", "/audit?limit=1000&environment=dev&kind=binding_revoked").json()["records"]}
    demand(said[-1]["audit"]["decided"] in sequences, f"{said[-1]['audit']} is not in the audit log")
    demand(said[-1]["first_call"] and said[-1]["last_call"]["sequence"] >= said[-1]["first_call"]["sequence"],
           f"first and last call: {said[-1]['first_call']}, {said[-1]['last_call']}")
    return (f"binding: 0 uses after the acknowledgement with {ended['calls']} calls and {ended['streams']} streams of both "
            f"generations ended, the other binding {flow.succeeded} calls, 0 failed")


def one_server(scene):
    """A server whose binding leases database roles."""
    scene.served("leased", "echo", {"message": "hello"})
    roles = scene.database.roles()
    demand(roles, "no role was made")
    answer = scene.gateway.cli("server", "revoke", "dev/leased", "--confirm", "leased")
    left = scene.database.roles()
    demand(not left & roles, f"after the acknowledgement PostgreSQL still has {left}")
    mark = scene.leased.log.mark()
    refused = scene.call("leased", "echo", {"message": "hello"})
    demand(not succeeded(refused) and not scene.leased.roles(mark), f"the server is still called: {refused.text[:200]}")
    said, _ = scene.documents(answer["revocation"])
    leases = [end for end in said[-1]["outside"] if end["kind"] == "lease"]
    demand(said[-1]["status"] == "complete" and leases and all(end["state"] == "ended" for end in leases), f"{leases}")
    code, out, err = scene.gateway.try_cli("server", "revoke", "dev/leased", "--confirm", "other")
    demand(code == 2, f"another name was taken for a confirmation: {(out + err)[-200:]}")
    again = scene.gateway.api("POST", "/apply", {"specs": [{
        "kind": "Server", "name": "leased", "environment": "dev", "owner": "platform",
        "route": {"url": "http://127.0.0.1:9/mcp", "addresses": ["loopback"]}, "tools": {"default_risk": "write"}}]})
    demand(again.status == 409, f"the revoked name came back: {again.status} {again.text[:200]}")
    return f"server: {len(roles)} role gone from PostgreSQL at the acknowledgement, its name refused"


def whole_environment(scene):
    """Everything that is left, with the provider down."""
    token = scene.provider_token()
    demand(scene.active(token), "before the revocation the token is not active")
    works = Session(scene.stage, scene.doors["works"], scene.tokens["works"], "revocation-sessions").open().listen()
    demand(works.ask("tools/list", {}).result, "the process lists no tools")
    made = works.call("simulate-research-query", {"topic": "keys"}, task={"ttl": 60_000})
    demand(made.result and "task" in made.result, f"no task: {made}")
    task = made.result["task"]["taskId"]
    children = [pid for pid, line in processes.below(scene.gateway.child.pid).items() if b"server-everything" in line]
    demand(children, "no process of the server runs")
    held = Held(scene, "steady", scene.steady)
    scene.relay.down()
    answer = scene.gateway.cli("environment", "revoke", "dev", "--confirm", "dev")
    acknowledged = micros()
    alive = [pid for pid in children if processes.alive(pid)]
    demand(not alive, f"processes {alive} are alive after the acknowledgement")
    late = held.late(acknowledged, answer["completed_at"])
    demand(not late, f"{len(late)} uses after the acknowledgement of the environment's revocation")
    reply = works.ask("tasks/get", {"taskId": task})
    demand(reply.status in (401, 403, 404) and not reply.result, f"the task is still told of: {reply}")
    for name in SERVERS:
        refused = scene.call(name, "echo", {"message": "x"})
        demand(refused.status in (401, 403, 404), f"{name} still answers: {refused.status} {refused.text[:200]}")
    demand(scene.active(token), "the provider was down, and has taken the token back")
    said, documents = scene.documents(answer["revocation"])
    open_ends = [end for end in said[-1]["outside"] if end["state"] == "unanswered"]
    demand(said[-1]["status"] == "outstanding" and len(open_ends) == 1 and open_ends[0]["retried"]
           and open_ends[0]["party"] == "provider notes", f"{said[-1]['status']}: {said[-1]['outside']}")
    verdict = revoked.by_cli(scene.stage, scene.gateway, [revoked.forged(documents[-1])], scene.keys_file, expect=5)
    demand(verdict == {"valid": False, "reason": "bad_signature"}, f"a forged document: {verdict}")
    ended = said[-1]["ended"]
    demand(ended["children"] >= 1, f"{ended}")
    figure = (f"environment: 0 uses after the acknowledgement with {ended['calls']} calls, {ended['streams']} streams and "
              f"{ended['children']} process with a task ended, `outstanding` while the provider was down")
    return figure, (token, answer["revocation"])


def after_restart(scene, token, told):
    """The gateway dies; the provider comes back; what it owes is collected."""
    scene.gateway.kill()
    scene.gateway.start()
    scene.relay.up()
    began = time.monotonic()
    until("the provider says that the token is inactive", lambda: not scene.active(token), 60, 0.2)
    took = time.monotonic() - began

    def complete():
        shown = scene.gateway.cli("revocation", "show", told["id"])
        return shown["status"] == "complete"

    until("the document is complete", complete, 30, 0.2)
    said, documents = scene.documents(told)
    demand(len(said) >= 2 and said[0]["status"] == "outstanding", f"{[one['status'] for one in said]}")
    ends = [end for end in said[-1]["outside"] if end["kind"] == "access_token"]
    demand([end["state"] for end in ends] == ["ended"] and ends[0]["tries"] >= 2, f"{ends}")
    verdict = revoked.by_cli(scene.stage, scene.gateway, documents[1:], scene.keys_file)
    demand(verdict["valid"], "the newest document alone does not hold")
    shuffled = revoked.by_cli(scene.stage, scene.gateway, documents[::-1], scene.keys_file, expect=5)
    demand(shuffled["reason"] == "broken_chain", f"documents in another order: {shuffled}")
    demand(not scene.stage.openbao.names("kv/owed/"), "the token still waits in the store")
    kinds = [event["kind"] for event in scene.gateway.events()]
    demand(kinds.count("revocation_signed") >= 4, f"{kinds.count('revocation_signed')} documents in the audit log")
    return (f"provider back after kill -9 and restart: introspection says inactive after {took:.1f} s, "
            f"{len(said)} chained documents, the last one complete")


CLAIMS = (
    Claim("revocation-everywhere", "a binding, a server and a whole environment are revoked under load, over calls, "
          "streams of both generations, a task in a process, database leases and a provider's token: nothing is used "
          "after the acknowledgement, one signed document says what ended and what did not, and a provider that was "
          "down is asked again after a kill -9 until it has taken its token back", judge),
)
