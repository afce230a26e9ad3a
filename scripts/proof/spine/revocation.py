"""Revocation under load, again and again."""

import time
from datetime import datetime

from ..claim import Unproven, demand
from ..gateway import Gateway
from ..load import Load, micros
from ..manifests import basic, binding, configuration
from ..processes import until
from ..upstreams import Workshop

REPETITIONS, IN_FLIGHT = 200, 64
# Longer than a repetition: nothing of it ends by itself.
SLOW_MILLIS = 20_000
# How long callers go on trying after the acknowledgement.
AFTER_SECONDS = 0.05
FAR = "9999-01-01T00:00:00Z"
SECRET = "bao://kv/issues/revoked#token"


def judge(stage):
    repetitions = 25 if stage.quick else REPETITIONS
    upstream = Workshop(stage, "revocation")
    gateway = Gateway(stage, "revocation", configuration(stage, ["issues"]))
    credential = stage.mint.make("revocation")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/revoked", credential)
    gateway.start().log_in()
    steady = binding("steady", SECRET, "steady-bot")
    gateway.apply(basic(stage, upstream, [steady]))
    door = gateway.door("dev", "issues")
    tokens = {name: stage.issuer.agent(name, door) for name in ("triage-bot", "steady-bot")}
    flow = Load(door, tokens["steady-bot"], "echo", {"text": "on"}, 2, pause=0.005).start()
    try:
        rounds = [once(stage, gateway, upstream, tokens["triage-bot"], number, flow)
                  for number in range(repetitions)]
    finally:
        flow.stop()
    demand(flow.refused + flow.broken == 0, f"the other binding: {flow.failures[:3]}")
    late = sum(len(one["late"]) for one in rounds)
    demand(late == 0, f"{late} upstream calls after the acknowledgement in {repetitions} repetitions, the latest "
                      f"{max(max(one['late'], default=0) for one in rounds)} us after it")
    still = min(one["flow"] for one in rounds)
    demand(still > 0, "the other binding did not flow during every revocation")
    gateway.keep_metrics()
    gateway.stop()
    waits = sorted(one["took"] for one in rounds)
    return (f"0 upstream calls after the acknowledgement in {repetitions} repetitions, at least "
            f"{min(one['arrived'] for one in rounds)} calls in flight upstream and {min(one['awaiting'] for one in rounds)} "
            f"callers waiting at it; other binding: {flow.succeeded} calls, 0 failed; acknowledgement after "
            f"{waits[len(waits) // 2] * 1000:.0f} ms (median), {waits[-1] * 1000:.0f} ms (longest)")


def once(stage, gateway, upstream, token, number, flow):
    """One binding's life: applied, loaded, revoked."""
    name = f"fresh-{number:03}"
    document = {"specs": [spec(name)]}
    answer = gateway.api("POST", "/apply", document)
    demand(answer.status == 200, f"apply: {answer.status} {answer.text[:300]}")
    mark = upstream.log.mark()
    # Some more than are demanded: those that are cut come back at once and try again.
    load = Load(gateway.door("dev", "issues"), token, "slow", {"millis": SLOW_MILLIS}, IN_FLIGHT + 8).start()

    def arrived():
        return [line for line in upstream.log.since(mark) if (line["binding"] or "").startswith(f"{name}@")]

    until(f"{IN_FLIGHT} calls in flight", lambda: len(arrived()) >= IN_FLIGHT, 30)
    before, flowing = len(arrived()), flow.succeeded
    began = time.monotonic()
    if stage.sabotage != "revoke":
        answer = gateway.api("POST", f"/bindings/dev/{name}/revoke")
    acknowledged, awaiting = micros(), load.awaiting
    took = time.monotonic() - began
    time.sleep(AFTER_SECONDS)
    until("the other binding flows", lambda: flow.succeeded > flowing, 10)
    load.stop(30)
    if stage.sabotage == "revoke":
        # The callers of a binding that still stands: what they reach upstream is the proof's failure.
        probe = Load(gateway.door("dev", "issues"), token, "echo", {"text": "x"}, 2).start()
        until("a call after the omitted revocation", lambda: probe.sent > 2, 10)
        probe.stop()
    elif answer.status != 200:
        raise Unproven(f"revoke {number}: {answer.status} {answer.text[:300]}")
    demand(awaiting >= IN_FLIGHT, f"only {awaiting} callers were waiting at the acknowledgement")
    # The earlier of what we read and what the gateway says: our own thread may have been late.
    completed = datetime.fromisoformat(answer.json().get("completed_at", FAR)).timestamp() * 1_000_000
    end = min(acknowledged, completed)
    late = [round(line["arrival_micros"] - end) for line in arrived() if line["arrival_micros"] > end]
    if late and stage.sabotage:
        raise Unproven(f"{len(late)} upstream calls after the acknowledgement of repetition {number}")
    return {"late": late, "arrived": before, "awaiting": awaiting, "took": took, "flow": flow.succeeded - flowing}


def spec(name):
    return {
        "kind": "Binding", "name": name, "environment": "dev", "server": "issues",
        "actor": {"agents": ["triage-bot"]}, "mode": "service_account", "secret": SECRET,
        "inject": {"header": "Authorization", "format": "Bearer {secret}"},
        "policy": "support-calls", "risk": "write", "owner": "support",
    }
