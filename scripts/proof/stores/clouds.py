"""The whole gateway on Google Secret Manager, Azure Key Vault, Kubernetes and 1Password Connect - as stubs play them.

No real cloud was available: what is proven is the gateway's side, against services that were written after the
vendors' documents (crates/testkit/src/stubs).
"""

import json
import os
import time

from .. import parts
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..upstreams import Workshop

TTL_SECONDS = 5
# The moment between a fetch and its use, and the length of one poll, on a busy machine.
SLACK_SECONDS = 3
PLACES = {
    "google": "tools-prod/triage", "azure": "tools-prod/triage",
    "kubernetes": "mcp/triage", "onepassword": "Tool Credentials/triage",
}
LOGINS = ("canary-google-subject", "canary-azure-assertion",
          *(f"canary-{name}-token-" for name in ("google", "azure", "kubernetes", "connect")))


class Stubs:
    """The stubs in a process of their own, told what to do line by line."""

    def __init__(self, stage):
        (folder := stage.folder / "tokens" / "stubs").mkdir(parents=True)
        self.child = stage.children.start(
            "cloud-stubs", [parts.example("cloud-stubs")], reads=True, writes=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        self.at = self.child.ready()

    def do(self, verb, *words):
        line = json.dumps({verb: words if len(words) > 1 else words[0]}) + "\n"
        self.child.process.stdin.write(line.encode())
        self.child.process.stdin.flush()
        answer = json.loads(self.child.process.stdout.readline())
        demand("error" not in answer, f"the stubs do not know `{verb}`")
        return answer

    def entries(self):
        """The stores' entries of a configuration."""
        google, azure = self.at["google"], self.at["azure"]
        kubernetes, onepassword = self.at["kubernetes"], self.at["onepassword"]
        bodies = {
            "google": f"""kind: google_secret_manager, projects: [tools-prod], endpoint: "{google["service"]}",
    auth: {{ federation: {{ audience: "{google["audience"]}", token_file: {google["token_file"]},
      service_account: {google["account"]}, sts_endpoint: "{google["login"]}", iam_endpoint: "{google["login"]}" }} }}""",
            "azure": f"""kind: azure_key_vault, vaults: [tools-prod], endpoint: "{azure["service"]}",
    auth: {{ federation: {{ tenant_id: {azure["tenant"]}, client_id: {azure["client"]},
      token_file: {azure["token_file"]}, authority: "{azure["login"]}" }} }}""",
            "kubernetes": f"""kind: kubernetes_secrets, namespaces: [mcp], server: "{kubernetes["service"]}",
    token_file: {kubernetes["token_file"]}""",
            "onepassword": f"""kind: onepassword_connect, vaults: [Tool Credentials],
    server: "{onepassword["service"]}", token_file: {onepassword["token_file"]}""",
        }
        return "".join(f"  {name}: {{ {body},\n    environments: [dev], cache_seconds: {TTL_SECONDS} }}\n"
                       for name, body in bodies.items())


class Estate:
    """A gateway with the four stores, and a server behind each."""

    def __init__(self, stage):
        self.stage, self.stubs, self.upstream = stage, Stubs(stage), Workshop(stage, "clouds")
        for text in LOGINS:
            stage.mint.also("a store's login", text)
        text = configuration(stage, list(PLACES)).replace("stores:\n", f"stores:\n{self.stubs.entries()}")
        self.gateway = Gateway(stage, "clouds", text)
        self.versions, self.current = {}, {}
        for store in PLACES:
            self.put(store, "first")
        self.gateway.start().log_in()
        self.gateway.apply(together(
            environment(), agent(stage, "triage-bot"), policy(),
            *(server(self.upstream.url, store) for store in PLACES),
            *(binding(store, self.reference(store), "triage-bot", server_name=store) for store in PLACES)))
        self.doors = {store: self.gateway.door("dev", store) for store in PLACES}
        self.tokens = {store: stage.issuer.agent("triage-bot", door) for store, door in self.doors.items()}

    def reference(self, store, selector=""):
        return f"{store}://{PLACES[store]}#token{selector}"

    def put(self, store, name):
        """A new version; it is the current one."""
        fresh = self.stage.mint.make(f"{store} {name}")
        self.upstream.accept(fresh)
        version = self.stubs.do("put", store, PLACES[store], "token", fresh.value)["version"]
        self.versions.setdefault(store, []).append(version)
        self.current[store] = fresh
        return fresh

    def one(self, store):
        return call(self.stage, self.doors[store], self.tokens[store], "echo", {"text": "hello"})

    def arrives(self, store, credential):
        """A call brings this value upstream, and no other."""
        mark = self.upstream.log.mark()
        answer = self.one(store)
        demand(succeeded(answer), f"{store}: {answer.status} {answer.text[:300]}")
        seen = {line["credential_sha256"] for line in self.upstream.log.since(mark) if line["authorized"]}
        demand(seen == {credential.sha256}, f"{store}: another value arrived, or none")

    def rotate(self, store, version, selector=""):
        done = self.gateway.cli("binding", "rotate", f"dev/{store}", "--to", self.reference(store, selector))
        demand(done.get("outcome") in ("switched", "refreshed"), f"{store}: {str(done)[:300]}")
        demand(done["version"] == version, f"{store}: rotated to {done['version']}, not to {version}")


def rotations(estate):
    """To a new version in every store, and back where the store keeps the old one; how many."""
    for store, first in list(estate.current.items()):
        second = estate.put(store, "second")
        estate.rotate(store, estate.versions[store][1])
        estate.arrives(store, second)
        if store in ("google", "azure"):
            estate.rotate(store, estate.versions[store][0], f"?version={estate.versions[store][0]}")
            estate.arrives(store, first)
            estate.rotate(store, estate.versions[store][1])
        estate.arrives(store, second)
    return len(PLACES) + 4


def served_from_memory(estate):
    """Calls right after each other ask a store nothing; how many."""
    for store in PLACES:
        demand(succeeded(estate.one(store)), f"{store}: no call")
        before, began = estate.stubs.do("count", store), time.monotonic()
        for _ in range(10):
            demand(succeeded(estate.one(store)), f"{store}: no call")
        after = estate.stubs.do("count", store)
        # One fetch at the end of each lifetime, with no more than the requests of one.
        lifetimes = int((time.monotonic() - began) / TTL_SECONDS) + 1
        allowed = lifetimes * (3 if store == "onepassword" else 1)
        demand(after["requests"] - before["requests"] <= allowed, f"{store}: asked on the hot path")
    return 10 * len(PLACES)


def logins_over(estate):
    """Every token of the gateway's at a store dies; calls do not notice."""
    for store in PLACES:
        estate.stubs.do("end_sessions", store)
    time.sleep(TTL_SECONDS + 0.2)
    for store, credential in estate.current.items():
        estate.arrives(store, credential)


def outage(estate, mode):
    """All four go away and come back: the first refusal after a fetch, and the recovery, in seconds."""
    time.sleep(TTL_SECONDS + 0.2)
    fetched = {}
    for store in PLACES:
        fetched[store] = time.monotonic()
        demand(succeeded(estate.one(store)), f"{store}: no call right before the outage")
    for store in PLACES:
        estate.stubs.do("mode", store, mode)
    ended = {}
    while len(ended) < len(PLACES):
        for store in PLACES.keys() - ended.keys():
            if not succeeded(answer := estate.one(store)):
                ended[store] = time.monotonic() - fetched[store]
                demand((answer.status, answer.code()) == (503, "store.unavailable"),
                       f"{store}: {answer.status} {answer.text[:200]}")
            demand(time.monotonic() - fetched[store] < TTL_SECONDS + SLACK_SECONDS + len(PLACES),
                   f"{store}: cached values serve beyond their TTL")
        time.sleep(0.05)
    demand(min(ended.values()) >= TTL_SECONDS - 1, f"the first refusal came {min(ended.values()):.1f} s after a fetch")
    mark = estate.upstream.log.mark()
    refused = [estate.one(store) for store in PLACES for _ in range(5)]
    demand(all((one.status, one.code()) == (503, "store.unavailable") for one in refused), "another refusal came")
    demand(not estate.upstream.log.since(mark), "a refused call reached the upstream")
    for store in PLACES:
        estate.stubs.do("mode", store, "open")
    began = time.monotonic()
    for store in PLACES:
        until(f"{store}: calls recover", lambda store=store: succeeded(estate.one(store)), 60, 0.05)
    return max(ended.values()), time.monotonic() - began


def judge(stage):
    estate = Estate(stage)
    for store, credential in estate.current.items():
        estate.arrives(store, credential)
    rotated, fresh = rotations(estate), served_from_memory(estate)
    logins_over(estate)
    down, back = outage(estate, "shut")
    throttled, back_again = outage(estate, "throttle")
    for store in PLACES:
        code, said = estate.gateway.try_cli("secret", "check", estate.reference(store), "--environment", "dev")[:2]
        demand(code == 0 and stage.mint.mark not in said, f"secret check: {code} {said[:300]}")
    logins = {store: estate.stubs.do("count", store)["logins"] for store in ("google", "azure")}
    # Two tokens a login at Google: the pool's and the account's.
    demand(logins == {"google": 4, "azure": 2}, f"more or fewer logins than two at each: {logins}")
    estate.gateway.keep_metrics()
    estate.gateway.stop()
    return (f"stubs: {len(PLACES)} stores, {rotated} rotations, {fresh} calls from memory, dead tokens replaced by one "
            f"login each; down: 503 store.unavailable at most {down:.1f} s after a fetch (TTL {TTL_SECONDS} s), all back "
            f"{back:.1f} s after the stores; throttled: {throttled:.1f} s and {back_again:.1f} s")


CLAIMS = (
    Claim("stubs", "secrets of Google Secret Manager, Azure Key Vault, Kubernetes and 1Password Connect - stubs of them, "
                   "no real cloud - are brokered and rotated, and refused when the store is gone", judge),
)
