"""Revocations whose gateway is killed while they are under way: each decided one gets its one signed document."""

import http.client
import random
import statistics
import threading
import time

from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..upstreams import Workshop

KILLS, QUICK, MEASURED = 20, 6, 3
# How many kills must have come between the decision and the answer, for the rest shows nothing. Where chance gave fewer,
# it goes on, up to so many times as often.
BETWEEN, PATIENCE = 3, 3


class House:
    """A gateway on SQLite with more bindings than are needed; nobody calls."""

    def __init__(self, stage, count):
        self.stage, upstream = stage, Workshop(stage, "crash")
        credential = stage.mint.make("crash")
        upstream.accept(credential)
        stage.openbao.put("kv/issues/crash", credential)
        self.gateway = Gateway(stage, "crash", configuration(stage, ["issues"], durability="fsync"))
        self.gateway.start().log_in()
        self.names = [f"ends-{number}" for number in range(count)]
        self.gateway.apply(together(
            environment(), server(upstream.url), agent(stage, "triage-bot"), policy(),
            *(binding(name, "bao://kv/issues/crash#token", "triage-bot", more=f"tools: [tool-{number}]\n")
              for number, name in enumerate(self.names))))

    def revoke(self, name):
        """The status of the answer, and how long it took; nothing where none came."""
        began = time.monotonic()
        try:
            answer = self.gateway.api("POST", f"/bindings/dev/{name}/revoke", {})
        except (OSError, http.client.HTTPException):
            return None, time.monotonic() - began
        return answer.status, time.monotonic() - began

    def documents(self):
        """binding -> the ids of its revocations."""
        found = {}
        for one in self.gateway.api("GET", "/revocations?limit=1000").json()["items"]:
            found.setdefault(one["subject"].partition("@")[0].rpartition("/")[2], []).append(one["id"])
        return found

    def is_revoked(self, name):
        return self.gateway.api("GET", f"/bindings/dev/{name}").json()["status"] == "revoked"


def killed(house, name, after):
    """Kills the gateway so long after the request went out; what the caller was told."""
    told = []
    asking = threading.Thread(target=lambda: told.append(house.revoke(name)[0]))
    asking.start()
    time.sleep(after)
    house.gateway.kill()
    asking.join(60)
    house.gateway.start()
    return told[0] if told else None


def judge(stage):
    count, wanted = (QUICK, 1) if stage.quick else (KILLS, BETWEEN)
    house, chance = House(stage, PATIENCE * count + MEASURED), random.Random(stage.seed or 5)
    spans = []
    for name in house.names[:MEASURED]:
        status, took = house.revoke(name)
        demand(status == 200, f"revoke {name}: {status}")
        spans.append(took)
    whole = statistics.median(spans)
    answered, between, untouched = MEASURED, [], []
    for kills, name in enumerate(house.names[MEASURED:]):
        if kills >= count and len(between) >= wanted:
            break
        status = killed(house, name, chance.uniform(0.1, 1.1) * whole)
        if not house.is_revoked(name):
            demand(status != 200, f"{name}: answered as revoked, and it is not")
            untouched.append(name)
        elif status == 200:
            answered += 1
        else:
            until(f"the document of {name}", lambda: name in house.documents(), 20, 0.1)
            between.append(name)
    documents = house.documents()
    wrong = {name: ids for name, ids in documents.items() if len(ids) != 1 or name in untouched}
    demand(not wrong and len(documents) == answered + len(between), f"documents: {wrong or len(documents)}")
    demand(len(between) >= wanted, f"only {len(between)} kills came between decision and answer")
    for name in between:
        house.gateway.cli("revocation", "show", documents[name][0])
    house.gateway.keep_metrics()
    house.gateway.stop()
    code, said = house.gateway.verify()
    demand(code == 0, f"the chain: {said[-300:]}")
    signed = {event["revocation"].partition(".")[0] for event in house.gateway.events() if event["kind"] == "revocation_signed"}
    if stage.sabotage == "document":
        signed.discard(documents[between[0]][0])
    missing = [name for name, ids in documents.items() if ids[0] not in signed]
    demand(not missing, f"no evidence of the documents of {missing}")
    kills = answered - MEASURED + len(between) + len(untouched)
    return (f"{kills} kills (kill -9) within {whole * 1000:.0f} ms of a revocation: {len(between)} between its decision and its answer, "
            f"{len(untouched)} before the decision; {len(documents)} of {len(documents)} decided ones have exactly one signed "
            f"document after the restart, and its hash in the chain")


CLAIMS = (
    Claim("revocation-crash", "a revocation whose gateway is killed between its decision and its answer has exactly one signed document "
                              "after the restart, as every other one has; what was not decided has none", judge),
)
