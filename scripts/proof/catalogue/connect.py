"""Clients that only speak stdio, through `mcp-gateway connect`: real SDK clients, a real secret service on a real
session bus, a real login in Chromium at the npm oidc-provider; and what must not work."""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .. import parts
from ..claim import Claim, demand
from ..manifests import together
from ..modes.facade import Client as Facade
from ..modes.login import Office
from ..upstreams import Everything
from .keyring import Desktop, redirect_of

CLIENTS = {
    "PyPI mcp, 2026-07-28": ("python", ["--era", "modern"]),
    "PyPI mcp, as it comes": ("python", ["--era", "auto"]),
    "PyPI mcp, initialize": ("python", ["--era", "legacy"]),
    "npm client, as it comes": ("npm", []),
    "npm client, 2026-07-28": ("npm", ["--era", "modern"]),
    "npm sdk 1.x": ("npm", ["--sdk1"]),
}
SLOW = ["slow", {"millis": 600, "progress": 6}]


class Running:
    """A program of a person who sits at their browser: wherever it sends them, they go."""

    def __init__(self, desktop, name, command):
        self.desktop, self.stage = desktop, desktop.stage
        self.child = self.stage.children.start(name, command, reads=True, writes=True, env=desktop.environment)
        self.seen, self.walks, self.buffer = len(desktop.addresses()), [], b""
        os.set_blocking(self.child.process.stdout.fileno(), False)

    def line(self, wanted, seconds=90, **order):
        """The next line of JSON that has this member; `order` is what the person does differently."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look(**order)
            ended = self.child.process.poll() is not None
            self.buffer += self.child.process.stdout.read() or b""
            while b"\n" in self.buffer:
                line, _, self.buffer = self.buffer.partition(b"\n")
                said = json.loads(line)
                self.stage.keep("stdio-clients", line.decode())
                if wanted in said:
                    return said
            demand(not ended, f"{self.child.name} ended with {self.child.process.returncode}: {self.child.tail()}")
            time.sleep(0.03)
        return demand(False, f"{self.child.name} said no {wanted}: {self.child.tail()}")

    def look(self, **order):
        for url in self.desktop.addresses()[self.seen:]:
            self.seen += 1
            walked = self.stage.browser.walk(self.desktop.person, url, **{"until": redirect_of(url), **order})
            self.walks.append({**walked, "from": url})

    def go_on(self):
        self.child.process.stdin.write(b"go\n")
        self.child.process.stdin.flush()

    def ended(self, seconds=60, **order):
        """Its exit code, and the code of the error that it told."""
        deadline = time.monotonic() + seconds
        while self.child.alive() and time.monotonic() < deadline:
            self.look(**order)
            time.sleep(0.03)
        demand(not self.child.alive(), f"{self.child.name} did not end: {self.child.tail()}")
        told = self.child.log.read_text(errors="replace").splitlines()
        errors = [json.loads(line)["error"] for line in told if line.startswith('{"error"')]
        return self.child.process.returncode, errors[-1]["code"] if errors else None


def client(desktop, name, door, *more, bridge=()):
    kind, own = CLIENTS[name]
    program = {"python": [parts.python(), parts.PYTHON / "stdio.py"],
               "npm": [parts.program("node"), parts.NPM / "stdio.mjs"]}[kind]
    command = json.dumps(desktop.command(door, *bridge))
    return Running(desktop, f"stdio-{kind}", [*program, "--command", command, *own, *more])


def attempt(desktop, door, *more, seconds=60, **order):
    """`connect login` to its end: exit code, error code, walks."""
    command = [desktop.stage.program, "--output", "json", "connect", "login", door, *more]
    run = Running(desktop, "connect-login", command)
    return (*run.ended(seconds, **order), run.walks)


def judge(stage):
    office, desktop = Office(stage, "desktop"), Desktop(stage, "alice")
    said = [each(stage, office, desktop) for each in (
        first_and_later, together_once, restarted, asked_by_the_server, refused, strange_doors, keyrings, logged_out)]
    office.gateway.keep_metrics()
    office.gateway.stop()
    return "; ".join(said)


def issued(office):
    return [event for event in office.gateway.events() if event["kind"] == "access_token_issued"]


def first_and_later(stage, office, desktop):
    """The first client sends the person to the browser, once; all others find the login in the keyring."""
    progress = 0
    for number, name in enumerate(CLIENTS):
        mark = office.upstream.log.mark()
        calls = json.dumps([["whoami", {}], SLOW, SLOW])
        run = client(desktop, name, office.door, "--calls", calls)
        outcome = run.line("ok")
        demand(outcome["ok"], f"{name}: {json.dumps(outcome['error'])} {run.child.tail()}")
        demand(len(run.walks) == (0 if number else 1), f"{name}: the browser was opened {len(run.walks)} times")
        demand(outcome["tools"] and len(outcome["results"]) == 3, f"{name}: {outcome}")
        demand(outcome["progress"] >= 2, f"{name}: {outcome['progress']} of 12 notices of progress")
        seen = [line for line in office.upstream.log.since(mark) if line["method"] == "tools/call"]
        demand(len(seen) == 3 and {line["credential_sha256"] for line in seen} == {office.credential.sha256},
               f"{name}: the upstream saw {seen}")
        progress += outcome["progress"]
    demand(desktop.kept(office.door), "the keyring keeps nothing")
    return f"{len(CLIENTS)} clients, 1 login in the browser, {3 * len(CLIENTS)} calls, {progress} notices of progress"


def together_once(stage, office, desktop):
    """Several bridges with a token that has ended renew it once: a refresh token used twice would end the login."""
    entry = desktop.kept(office.door)
    desktop.replace(office.door, {**entry, "expires_at": "2026-01-01T00:00:00Z"})
    before, names = len(issued(office)), list(CLIENTS)[:4]
    runs = [client(desktop, name, office.door) for name in names]
    for name, run in zip(names, runs, strict=True):
        outcome = run.line("ok")
        demand(outcome["ok"] and not run.walks, f"{name}: {outcome['error']} {run.walks} {run.child.tail()}")
    demand(len(issued(office)) - before == 1, f"{len(issued(office)) - before} renewals")
    after = desktop.kept(office.door)
    demand(after["refresh_token"] != entry["refresh_token"], "the refresh token was not turned")
    desktop.replace(office.door, {**after, "expires_at": "2026-01-01T00:00:00Z", "refresh_token": entry["refresh_token"]})
    run = client(desktop, names[0], office.door)
    outcome = run.line("ok")
    demand(outcome["ok"] and len(run.walks) == 1, f"a used refresh token: {outcome['error']}, {len(run.walks)} logins")
    desktop.kept(office.door)
    return f"{len(runs)} bridges renewed once; a refresh token that was taken led to a new login"


def restarted(stage, office, desktop):
    """kill -9 of the gateway under running clients of both generations: what was not delivered is delivered later."""
    names = ("PyPI mcp, 2026-07-28", "npm client, as it comes")
    runs = [client(desktop, name, office.door, "--rounds", "2") for name in names]
    for run in runs:
        run.line("round")
    office.gateway.kill()
    for run in runs:
        run.go_on()
    began = time.monotonic()
    office.gateway.start()
    for name, run in zip(names, runs, strict=True):
        outcome = run.line("ok")
        demand(outcome["ok"] and len(outcome["results"]) == 2, f"{name}: {outcome['error']} {run.child.tail()}")
        demand(not run.walks, f"{name}: the browser was opened")
    return f"2 clients outlived kill -9 of the gateway ({time.monotonic() - began:.1f} s)"


def asked_by_the_server(stage, office, desktop):
    """What a server asks its client for passes in both directions."""
    upstream = Everything(stage, "desktop")
    upstream.accept(office.credential)
    office.gateway.apply(together(f"""kind: Server
name: everything
environment: dev
owner: platform
route: {{ url: "{upstream.url}", addresses: [loopback], generation: legacy }}
tools: {{ default_risk: read }}
""", office.binding("desktop", "everything")))
    door = office.gateway.door("dev", "everything")
    calls = json.dumps([["trigger-elicitation-request", {}],
                        ["trigger-sampling-request", {"prompt": "by hand", "maxTokens": 5}],
                        ["trigger-long-running-operation", {"duration": 1, "steps": 4}]])
    run = client(desktop, "PyPI mcp, initialize", door, "--calls", calls)
    outcome = run.line("ok")
    demand(outcome["ok"], f"everything: {outcome['error']} {run.child.tail()}")
    demand(sorted(outcome["asked"]) == ["elicitation", "sampling"], f"the server asked {outcome['asked']}")
    demand("sampled by hand" in json.dumps(outcome["results"]), "the sampling's answer did not arrive")
    demand(outcome["progress"] >= 2, f"{outcome['progress']} notices of progress")
    demand(desktop.kept(door), "the keyring keeps nothing of the second door")
    return f"elicitation and sampling of server-everything answered, {outcome['progress']} notices of progress"


def refused(stage, office, desktop):
    """Logins that must not come to an end, each with its code, and none of them kept."""
    door = office.other
    cases = {
        "consent denied": ({"refuse": True}, (), "connect.login_denied"),
        "another issuer": ({"set": {"iss": "https://evil.example"}}, (), "connect.issuer"),
        "no issuer": ({"drop": ["iss"]}, (), "connect.issuer"),
        "another code": ({"set": {"code": "x" * 43}}, (), "connect.token"),
        "another state": ({"set": {"state": "x" * 43}}, ("--login-timeout", "10"), "connect.login_late"),
        "no state": ({"drop": ["state"]}, ("--login-timeout", "10"), "connect.login_late"),
    }
    for what, (how, more, wanted) in cases.items():
        stage.browser.forget("alice")
        code, told, walks = attempt(Tampering(desktop, how), door, *more)
        demand((code, told) == (1, wanted), f"{what}: ended with {code} and {told}, not {wanted}")
        demand(walks and walks[0]["ok"], f"{what}: nobody came back: {walks}")
        demand(desktop.kept(door) is None, f"{what}: the keyring keeps a login")
    return f"{len(cases)} tampered or refused logins"


class Tampering:
    """The same desktop, whose browser brings back something else."""

    def __init__(self, desktop, how):
        self._desktop, self._how = desktop, how

    def __getattr__(self, name):
        return getattr(self._desktop, name)

    @property
    def stage(self):
        return Tampered(self._desktop.stage, self._how)


class Tampered:
    def __init__(self, stage, how):
        self._stage, self._how = stage, how

    def __getattr__(self, name):
        return getattr(self._stage, name)

    @property
    def browser(self):
        return self

    def walk(self, person, url, **order):
        if set(self._how) & {"set", "drop"}:
            order["tamper"] = {"at": redirect_of(url), **self._how}
        else:
            order.update(self._how)
        return self._stage.browser.walk(person, url, **order)


class StrangeDoor:
    """A door whose metadata says what it is told to say."""

    def __init__(self):
        door = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/mcp/dev/strange":
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", f'Bearer resource_metadata="{door.told}"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = json.dumps(door.pages.get(self.path)).encode()
                self.send_response(200 if self.path in door.pages else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.origin = f"http://127.0.0.1:{server.server_address[1]}"
        self.url = f"{self.origin}/mcp/dev/strange"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def says(self, told=None, resource=None, servers=None, **metadata):
        self.told = told or f"{self.origin}/metadata"
        issuer = f"{self.origin}/as"
        whole = {"issuer": issuer, "authorization_endpoint": f"{issuer}/a", "token_endpoint": f"{issuer}/t",
                 "registration_endpoint": f"{issuer}/r", "code_challenge_methods_supported": ["S256"], **metadata}
        self.pages = {
            "/metadata": {"resource": resource or self.url, "authorization_servers": [issuer] if servers is None else servers},
            "/.well-known/oauth-authorization-server/as": whole,
        }


def strange_doors(stage, office, desktop):
    """Metadata that leads elsewhere: nobody is sent anywhere."""
    door = StrangeDoor()
    cases = {
        "an issuer of another name": ({"issuer": f"{door.origin}/other"}, "connect.issuer"),
        "another resource": ({"resource": office.door}, "connect.metadata"),
        "metadata of another origin": ({"told": f"{office.gateway.public_url}/x"}, "connect.metadata"),
        "no authorization server": ({"servers": []}, "connect.metadata"),
        "no PKCE": ({"code_challenge_methods_supported": ["plain"]}, "connect.metadata"),
        "a token endpoint in clear text": ({"token_endpoint": "http://evil.example/t"}, "connect.metadata"),
        "no registration": ({"registration_endpoint": None}, "connect.registration"),
    }
    for what, (says, wanted) in cases.items():
        door.says(**says)
        code, told, walks = attempt(desktop, door.url)
        demand((code, told) == (1, wanted), f"{what}: ended with {code} and {told}, not {wanted}")
        demand(not walks, f"{what}: the browser was opened")
    return f"{len(cases)} doors with strange metadata"


def keyrings(stage, office, desktop):
    """Without a keyring there is no login, and no file in its place; `--memory` has to be said."""
    bare = Desktop(stage, "alice", keyring=False)
    code, told, walks = attempt(bare, office.door)
    demand((code, told) == (1, "connect.keyring_absent") and not walks, f"no keyring: {code}, {told}, {walks}")
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}}
    _, out, err = bare.run(bare.command(office.door), input=json.dumps(initialize) + "\n", seconds=60)
    stage.keep("raw-bridge", out + err)
    answers = [json.loads(line) for line in out.splitlines()]
    demand([answer["error"]["data"]["code"] for answer in answers] == ["connect.keyring_absent"], f"the client was told {out}")
    run = client(bare, "PyPI mcp, 2026-07-28", office.door, bridge=("--memory",))
    outcome = run.line("ok")
    demand(outcome["ok"] and len(run.walks) == 1, f"--memory: {outcome['error']}, {len(run.walks)} logins")
    left = [path for path in bare.folder.rglob("*") if path.is_file() and path.stat().st_size and path != bare.opened
            and path.parent.name != "bin"]
    demand(not left, f"files were left behind: {left}")
    desktop.lock()
    began = time.monotonic()
    code, out, err = desktop.connect("status", office.door, seconds=150)
    demand(code == 1 and '"connect.keyring_locked"' in err, f"a locked keyring: {code} {err[-300:]}")
    return f"no keyring and a locked one ({time.monotonic() - began:.1f} s) named, no file left behind"


def logged_out(stage, office, desktop):
    """In a session of its own, for the other keyring is locked now."""
    desktop = Desktop(stage, "bob")
    code, told, _ = attempt(desktop, office.door)
    demand(code == 0, f"login: {code} {told}")
    code, out, _ = desktop.connect("status", office.door)
    entry = desktop.kept(office.door)
    demand(code == 0 and json.loads(out)["renews"], f"status: {code} {out}")
    demand(entry["access_token"] not in out and entry["refresh_token"] not in out, "status shows a token")
    code, out, err = desktop.connect("logout", office.door)
    demand(code == 0 and json.loads(out) == {"removed": True, "revoked": True}, f"logout: {code} {out} {err}")
    demand(desktop.kept(office.door) is None, "the keyring still keeps the login")
    facade = Facade(stage, office.door)
    facade.id = entry["client_id"]
    answer = facade.refresh(entry["refresh_token"])
    demand(answer.status == 400, f"the refresh token goes on: {answer.status}")
    code, _, err = desktop.connect("status", office.door)
    demand(code == 1, f"status after logout: {code} {err}")
    desktop.replace(office.door, "not what we wrote")
    code, _, err = desktop.connect("status", office.door)
    demand(code == 1 and '"connect.keyring_unreadable"' in err, f"a foreign entry: {code} {err}")
    demand(desktop.connect("logout", office.door)[0] == 1 and desktop.kept(office.door) is None, "a foreign entry stays")
    return "logout revoked and removed"


CLAIMS = (
    Claim("desktop", "clients that only speak stdio reach a server behind the gateway: their person logs in once, in the "
                     "browser, the login stays in the keyring and nowhere else, and no tampered answer becomes one", judge,
          slow=True),
)
