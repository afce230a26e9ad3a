"""Two gateways on one database: what one of them ends is over on both when it answers."""

import os
import signal
import time
from datetime import datetime

from ..claim import Unproven, demand
from ..gateway import Gateway
from ..load import Load, micros
from ..manifests import basic, configuration
from ..postgres import Postgres
from ..processes import until
from ..upstreams import Workshop
from .revocation import SECRET, SLOW_MILLIS, spec

REPETITIONS, IN_FLIGHT = 40, 16
# How old a replica's state may be, and how much longer the others wait for one that says nothing more.
LEASE_SECONDS, SILENCE_SECONDS = 2, 3


def judge(stage):
    upstream, (first, second) = Workshop(stage, "replicas"), replicas(stage)
    credential = stage.mint.make("replicas")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/revoked", credential)
    first.start().log_in().apply(basic(stage, upstream, []))
    second.start()
    token = stage.issuer.agent("triage-bot", second.door("dev", "issues"))
    repetitions = 10 if stage.quick else REPETITIONS
    rounds = [once(first, second, upstream, token, f"seen-{number:03}") for number in range(repetitions)]
    late = [micros for one in rounds for micros in one["late"]]
    demand(not late, f"{len(late)} calls of the other gateway reached the upstream after the answer, the latest {max(late or [0])} us")
    waits = sorted(one["took"] for one in rounds)
    frozen = once(first, second, upstream, token, "frozen", freeze=True)
    demand(not frozen["late"], f"a gateway that slept called the upstream {len(frozen['late'])} times after it woke")
    bound = LEASE_SECONDS + SILENCE_SECONDS + 2
    demand(frozen["took"] <= bound, f"a gateway that slept was waited for {frozen['took']:.1f} s")
    demand(frozen["took"] >= LEASE_SECONDS, f"a gateway that slept was waited for {frozen['took']:.1f} s only")
    second.keep_metrics()
    second.kill()
    dead = once(first, None, upstream, token, "dead")
    demand(dead["took"] <= bound, f"a gateway that died was waited for {dead['took']:.1f} s")
    again = once(first, None, upstream, token, "alone")
    demand(again["took"] < 1, f"alone, a revocation took {again['took']:.1f} s")
    first.keep_metrics()
    first.stop()
    return (f"{repetitions} revocations at one gateway with {IN_FLIGHT} calls in flight at the other: 0 calls upstream after the "
            f"answer, median {waits[len(waits) // 2] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms; the other one asleep: answered "
            f"after {frozen['took']:.1f} s, 0 calls when it woke; killed: after {dead['took']:.1f} s, then {again['took'] * 1000:.0f} ms")


def replicas(stage):
    database = Postgres(stage, "postgres-replicas")
    limits = f"{{ staleness_production_seconds: {LEASE_SECONDS}, staleness_other_seconds: {LEASE_SECONDS} }}"
    more = f"state_password_file: {database.gateway_password}\nlimits: {limits}\n"
    text = configuration(stage, ["issues"], state=database.url, more=more)
    return [Gateway(stage, f"replica-{number}", text) for number in (1, 2)]


def once(first, second, upstream, token, name, freeze=False):
    """A binding's life: applied at one gateway, used at the other, revoked at the one."""
    answer = first.api("POST", "/apply", {"specs": [spec(name)]})
    demand(answer.status == 200, f"apply: {answer.status} {answer.text[:300]}")
    mark = upstream.log.mark()
    load = None
    if second:
        load = Load(second.door("dev", "issues"), token, "slow", {"millis": SLOW_MILLIS}, IN_FLIGHT).start()
        until(f"{IN_FLIGHT} calls in flight", lambda: len(seen(upstream, mark, name)) >= IN_FLIGHT, 30)
    if freeze:
        os.kill(second.child.pid, signal.SIGSTOP)
    before, began = load.sent if load else 0, time.monotonic()
    omitted = first.stage.sabotage == "replica"
    answer = first.api(*(("GET", f"/bindings/dev/{name}") if omitted else ("POST", f"/bindings/dev/{name}/revoke")))
    acknowledged, took = micros(), time.monotonic() - began
    if freeze:
        os.kill(second.child.pid, signal.SIGCONT)
    demand(answer.status == 200, f"revoke: {answer.status} {answer.text[:300]}")
    if omitted:
        # What the callers of a binding that still stands reach upstream is the proof's failure.
        probe = Load(second.door("dev", "issues"), token, "echo", {"text": "x"}, 2).start()
        until("a call after the omitted revocation", lambda: probe.sent > 2, 10)
        probe.stop()
        demand(seen(upstream, mark, name)[-1]["arrival_micros"] <= acknowledged, f"{name}: calls reached the upstream after the answer")
        raise Unproven(f"{name}: the revocation that was left out stopped calls all the same")
    if load:
        until("every call in flight was cut", lambda: load.sent - before >= IN_FLIGHT, 10)
        load.stop(30)
    end = min(acknowledged, datetime.fromisoformat(answer.json()["completed_at"]).timestamp() * 1_000_000)
    late = [round(line["arrival_micros"] - end) for line in seen(upstream, mark, name) if line["arrival_micros"] > end]
    return {"late": late, "took": took}


def seen(upstream, mark, name):
    return [line for line in upstream.log.since(mark) if (line["binding"] or "").startswith(f"{name}@")]
