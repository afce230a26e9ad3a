"""A user's grant under two gateways: refreshed once, ended everywhere."""

import json
import time

from ..claim import Claim, demand
from ..load import Load
from ..postgres import Postgres
from ..processes import until
from .connected import Enterprise
from .house import scopes

CALLS, SECONDS = 64, 20


def judge(stage):
    house = Enterprise(stage, "grants", SECONDS, Postgres(stage, "postgres-grants"), gateways=2)
    alice = [house.caller("alice", number) for number in (0, 1)]
    alice[0].refused("grant.missing", 403)
    stage.browser.walked("alice", house.page())
    authority = alice[0].served()
    demand(authority["sub"] == "alice" and scopes(authority) >= {"notes:read"}, f"the upstream saw {authority}")
    once = [refreshed(house, alice) for _ in range(2)]
    ended = revoked(stage, house, alice)
    house.stop()
    return f"{'; then '.join(once)}; {ended}"


def refreshed(house, doors):
    """All at once, on both gateways, when the token is over: how often the provider was asked."""
    began = time.monotonic()
    until("the token is over", lambda: time.monotonic() - began > SECONDS + 1, SECONDS + 10, 0.2)
    before, seen = house.notes.count("refresh_token"), house.upstream.log.mark()
    loads = [Load(door.url, door.token, "read_notes", workers=CALLS // 2) for door in doors]
    for load in loads:
        load.start()
    until(f"{CALLS} calls", lambda: all(load.sent >= CALLS // 2 for load in loads), 60)
    for load in loads:
        load.stop()
    failures = [failure for load in loads for failure in load.failures]
    demand(not failures, f"calls failed: {failures[:2]}")
    made, refused = house.notes.count("refresh_token") - before, house.notes.count("refresh_token:refused")
    demand(made == 1 and refused == 0, f"{made} refreshes and {refused} refused ones for {CALLS} callers")
    calls = house.upstream.calls(seen)
    demand(all(line["status"] == 200 and line["authority"]["sub"] == "alice" for line in calls), "the upstream refused")
    return f"{CALLS} callers on 2 gateways with an expired token: {made} refresh, {len(calls)} calls served"


def revoked(stage, house, doors):
    """After `grant revoke` the provider itself says that both tokens are dead, and evidence says what it answered."""
    gateway = house.gateways[0]
    listed = gateway.cli("grant", "list")
    grants = listed["items"]
    demand(len(grants) == 1, f"grants: {json.dumps(listed)[:300]}")
    grant = grants[0]["id"]
    tokens = json.loads(house.kept(grant)["grant"])
    for name in ("access_token", "refresh_token"):
        stage.mint.also(f"a grant's {name}", tokens[name])
        active = house.notes.introspect("gateway", house.secret, tokens[name])["active"]
        demand(active, f"before the revocation the {name} is not active")
    told = gateway.cli("grant", "revoke", grant) if stage.sabotage != "grant" else {}
    for name in ("access_token", "refresh_token"):
        answer = house.notes.introspect("gateway", house.secret, tokens[name])
        demand(answer == {"active": False}, f"after the revocation the {name} is {answer}")
    for door in doors:
        door.refused("grant.missing", 403)
    demand(not house.kept(grant), "the tokens are still in the store")
    events = [event for event in gateway.events() if event.get("grant") == grant]
    ends = [event for event in events if event["kind"] in ("grant_revoked", "grant_ended", "credential_returned")]
    demand(ends and any("revoked" in json.dumps(event) for event in ends), f"evidence: {json.dumps(events)[:400]}")
    revocations = house.notes.requests(route="revocation")
    demand(revocations and all(line["status"] == 200 for line in revocations), f"the provider's ledger: {revocations}")
    return (f"grant revoke: introspection of both tokens says inactive, the provider answered {len(revocations)} "
            f"revocations with 200, evidence has it ({ends[-1]['kind']}), the store nothing; told: {json.dumps(told)[:80]}")


CLAIMS = (
    Claim("grants", "64 callers on an expired grant, over two gateways with one PostgreSQL and one OpenBao, cause one refresh; "
                    "after `grant revoke` the provider's introspection says inactive and evidence has its answer", judge),
)
