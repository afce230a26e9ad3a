"""Editors who race on one binding: through the API and the command line, at one gateway and at two on PostgreSQL."""

import json
import threading
import uuid

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import basic, binding, configuration
from ..postgres import Postgres
from ..upstreams import Workshop

SECRET = "bao://kv/issues/edited#token"
NAME = "edited"
ROUNDS, QUICK = 12, 4
# The answers that tell an editor that somebody else was faster, or that the gateway was busy with others.
LOST = {"object.changed", "state.busy"}


class Editor(threading.Thread):
    """Adds its own methods to the binding, one a round, each to what it has read; reads again where it lost."""

    def __init__(self, number, gateway, rounds):
        super().__init__(daemon=True)
        self.number, self.gateway, self.rounds = number, gateway, rounds
        self.written, self.lost, self.trouble = [], 0, None

    def run(self):
        try:
            for count in range(self.rounds):
                self.add(f"editor{self.number}/round{count}")
        except Exception as error:  # noqa: BLE001 - told by the judge
            self.trouble = f"{type(error).__name__}: {error}"

    def add(self, method):
        for _ in range(200):
            manifest = self.read()
            methods = manifest.get("methods", [])
            manifest["methods"] = [*methods, method]
            code = self.write(manifest)
            if code is None:
                self.written.append(method)
                return
            demand(code in LOST, f"the loser was told {code}")
            self.lost += 1
        demand(False, f"{method} was never taken")


class ApiEditor(Editor):
    """By the management API."""

    def read(self):
        answer = self.gateway.api("GET", "/export?etags=true")
        demand(answer.status == 200, f"export: {answer.status} {answer.text[:200]}")
        return next(one for one in answer.json() if one["kind"] == "Binding" and one["name"] == NAME)

    def write(self, manifest):
        if self.gateway.stage.sabotage == "tag":
            # Whoever does not say what it has seen overwrites it: that must be found.
            manifest = {field: value for field, value in manifest.items() if field != "etag"}
        answer = self.gateway.api("POST", "/apply", {"specs": [manifest]})
        if answer.status in (200, 202):
            return None
        demand(answer.json().get("hint"), f"the loser is not told what to do: {answer.text[:200]}")
        return answer.code()


class CommandLineEditor(Editor):
    """By `export --etags` and `apply -f`, with a file in between."""

    def read(self):
        found = self.gateway.cli("export", "--etags")
        return next(one for one in found if one["kind"] == "Binding" and one["name"] == NAME)

    def write(self, manifest):
        file = self.gateway.folder / f"edited-{self.number}-{uuid.uuid4().hex}.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(manifest))
        code, _, err = self.gateway.try_cli("apply", "-f", file)
        if code in (0, 3):
            return None
        error = json.loads(err)["error"]
        demand(error.get("hint") or error.get("findings"), f"the loser is not told what to do: {err[-300:]}")
        return error["code"]


def judge(stage):
    upstream = Workshop(stage, "edited")
    credential = stage.mint.make("edited")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/edited", credential)
    rounds = QUICK if stage.quick else ROUNDS
    alone = Gateway(stage, "editors", configuration(stage, ["issues"])).start().log_in()
    first, second = replicas(stage)
    found = []
    for title, one, other in (("at one gateway", alone, alone), ("at two on PostgreSQL", first, second)):
        one.apply(basic(stage, upstream, [binding(NAME, SECRET, "triage-bot")]))
        editors = [ApiEditor(1, one, rounds), ApiEditor(2, other, rounds), CommandLineEditor(3, one, rounds),
                   CommandLineEditor(4, other, rounds)]
        found.append(f"{title}: {race(one, editors)}")
        stale(one)
        once(one, other)
    for gateway in (alone, first, second):
        gateway.keep_metrics()
        gateway.stop()
    return ("; ".join(found) + "; 0 changes lost; a stale tag is refused at every act and named anew; one key at two "
            "gateways makes one lock")


def replicas(stage):
    database = Postgres(stage, "postgres-editors")
    more = f"state_password_file: {database.gateway_password}\n"
    text = configuration(stage, ["issues"], state=database.url, more=more)
    first, second = (Gateway(stage, f"editors-{number}", text) for number in (1, 2))
    first.start().log_in()
    second.start()
    second.borrow_operator(first)
    return first, second


def race(gateway, editors):
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join(240)
        demand(not editor.is_alive(), f"editor {editor.number} has not come to an end")
        demand(editor.trouble is None, f"editor {editor.number}: {editor.trouble}")
    card = gateway.api("GET", f"/bindings/dev/{NAME}").json()
    written = [method for editor in editors for method in editor.written]
    missing = set(written) - set(card["methods"])
    demand(not missing, f"{len(missing)} acknowledged changes are lost: {sorted(missing)[:5]}")
    demand(sorted(card["methods"]) == sorted(written), "the binding holds what nobody was told was taken")
    lost = sum(editor.lost for editor in editors)
    demand(lost >= len(editors), f"there was no race: {lost} losers")
    return f"{len(written)} changes by {len(editors)} editors, {lost} times told that another was faster"


def stale(gateway):
    """Every act on a binding that has changed is refused, and the refusal names how it stands."""
    path = f"/bindings/dev/{NAME}"
    seen = gateway.api("GET", path)
    tag = seen.headers["ETag"]
    manifest = ApiEditor(0, gateway, 0).read()
    demand(gateway.api("POST", "/apply", {"specs": [{**manifest, "methods": ["changed"]}]}).status == 200, "apply")
    now = gateway.api("GET", path).headers["ETag"]
    demand(now != tag, "a change leaves the tag as it was")
    for act, body in (("disable", {}), ("rotate", {}), ("revoke", {}), ("enable", {})):
        answer = conditional(gateway, "POST", f"{path}/{act}", {"If-Match": tag}, body)
        demand(answer.status == 412 and answer.headers["ETag"] == now, f"{act}: {answer.status} {answer.text[:200]}")
    demand(conditional(gateway, "GET", path, {"If-None-Match": now}).status == 304, "what is known is sent again")
    demand(gateway.api("GET", path).json()["status"] == "active", "a refused act did something")


def once(one, other):
    """The same request with the same key at two gateways: one act, one answer."""
    key, body = str(uuid.uuid4()), {"selector": {"environment": "dev", "tool": "none"}, "reason": "r", "seconds": 60}
    answers = [conditional(gateway, "POST", "/locks", {"Idempotency-Key": key}, body) for gateway in (one, other, one)]
    demand({answer.status for answer in answers} == {201}, f"locks: {[answer.text[:120] for answer in answers]}")
    demand(len({answer.json()["lock"]["id"] for answer in answers}) == 1, "one key made more than one lock")
    listed = one.api("GET", "/locks").json()["items"]
    demand(len([lock for lock in listed if lock["reason"] == "r"]) == 1, f"{len(listed)} locks")
    answer = conditional(other, "POST", "/locks", {"Idempotency-Key": key}, {**body, "seconds": 61})
    demand(answer.code() == "idempotency.other_request", f"another request with the key: {answer.text[:200]}")


def conditional(gateway, method, path, headers, body=None):
    token = gateway.token_file.read_text().strip()
    headers = {"Authorization": f"Bearer {token}", **headers}
    answer = web.request(method, f"{gateway.control}/v1{path}", body, headers)
    gateway.stage.keep(f"{gateway.name}-api", answer.text)
    return answer


CLAIMS = (
    Claim("editors", "of editors who race on one binding, by API and command line, at one gateway and at two on "
                     "PostgreSQL, none loses an acknowledged change, and each loser is told what to do", judge),
)
