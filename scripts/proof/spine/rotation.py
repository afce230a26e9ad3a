"""Rotation under continuous traffic."""

import time

from ..claim import demand
from ..gateway import Gateway
from ..load import Load
from ..manifests import basic, binding, configuration
from ..processes import until
from ..upstreams import Workshop
from ..web import request
from ..gateway import modern, modern_headers

CALLS, ROTATIONS, CONNECTIONS = 20_000, 20, 16
# How long the old value stays good upstream after the switch was acknowledged.
OVERLAP_SECONDS = 0.5
PATHS = ("kv/issues/blue", "kv/issues/green")


def judge(stage):
    upstream = Workshop(stage, "rotation")
    gateway = Gateway(stage, "rotation", configuration(stage, ["issues"]))
    current = stage.mint.make("rotation 0")
    upstream.accept(current)
    stage.openbao.put(PATHS[0], current)
    gateway.start().log_in()
    gateway.apply(basic(stage, upstream, [binding("rotating", f"bao://{PATHS[0]}#token", "triage-bot")]))
    door = gateway.door("dev", "issues")
    token = stage.issuer.agent("triage-bot", door)
    load = Load(door, token, "echo", {"text": "hello"}, CONNECTIONS).start()
    values, refused, place = [current], 0, PATHS[0]
    try:
        for number in range(1, ROTATIONS + 1):
            sent = CALLS * number // (ROTATIONS + 2)
            until(f"call {sent}", lambda: load.sent >= sent or load.refused or load.broken, 300)
            fresh = stage.mint.make(f"rotation {number}")
            upstream.accept(fresh)
            place = switch(stage, gateway, number, place, fresh)
            time.sleep(OVERLAP_SECONDS)
            if stage.sabotage != "rotation":
                upstream.reject(current)
            refused += is_refused(upstream, current)
            current = fresh
            values.append(current)
        until("the last call", lambda: load.sent >= CALLS or load.refused or load.broken, 300)
    finally:
        load.stop()
    failed = load.refused + load.broken
    demand(failed == 0, f"{failed} of {load.sent} calls failed: {load.failures[:3]}")
    demand(load.succeeded >= CALLS, f"only {load.succeeded} calls")
    demand(refused == ROTATIONS, f"only {refused} of {ROTATIONS} old values were refused upstream")
    seen = {line["credential_sha256"] for line in upstream.log.all() if line["authorized"] and line["request_id"]}
    missing = [value.name for value in values if value.sha256 not in seen]
    demand(not missing, f"never seen upstream: {', '.join(missing)}")
    rotated = len(gateway.records(kind="binding_rotated"))
    demand(rotated == ROTATIONS, f"{rotated} rotations in the audit")
    gateway.keep_metrics()
    gateway.stop()
    return (f"0 of {load.succeeded} calls failed over {CONNECTIONS} connections, {ROTATIONS} rotations (same path, "
            f"pinned version, other path), {len(values)} values seen upstream, {refused} old ones refused after "
            f"{OVERLAP_SECONDS} s of overlap")


def switch(stage, gateway, number, place, fresh):
    """One rotation, in turn: a new value in the same place, a pinned version, another path."""
    kind = number % 3
    if kind == 0:
        place = PATHS[1] if place == PATHS[0] else PATHS[0]
    version = stage.openbao.put(place, fresh)
    wanted = {1: f"bao://{place}#token?version={version}", 2: f"bao://{place}#token", 0: f"bao://{place}#token"}
    done = gateway.cli("binding", "rotate", "dev/rotating", "--to", wanted[kind]) if number % 4 else \
        gateway.api("POST", "/bindings/dev/rotating/rotate", {"reference": wanted[kind]}).json()
    demand(done.get("outcome") in ("switched", "refreshed"), f"rotation {number}: {str(done)[:300]}")
    demand(done.get("version") == str(version), f"rotation {number}: version {done.get('version')}, not {version}")
    return place


def is_refused(upstream, credential):
    """Whether the upstream itself refuses the value, asked directly."""
    headers = modern_headers(credential.value, "echo")
    return request("POST", upstream.url, modern("echo", {"text": "x"}), headers).status == 401
