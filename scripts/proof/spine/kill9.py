"""The gateway is killed under load, again and again; its evidence must know every call."""

import json
import random
import shutil
import time

from ..claim import demand
from ..gateway import Gateway, call, succeeded
from ..load import Load
from ..manifests import basic, binding, configuration
from ..processes import until
from ..upstreams import Workshop

KILLS, CONNECTIONS = 20, 16


def judge(stage):
    kills = 5 if stage.quick else KILLS
    upstream = Workshop(stage, "kill9")
    gateway = Gateway(stage, "kill9", configuration(stage, ["issues"]))
    credential = stage.mint.make("kill9")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/kill9", credential)
    gateway.start().log_in()
    gateway.apply(basic(stage, upstream, [binding("killed", "bao://kv/issues/kill9#token", "triage-bot")]))
    door = gateway.door("dev", "issues")
    token = stage.issuer.agent("triage-bot", door)
    open_calls, restarts = 0, []
    for number in range(kills):
        open_calls += kill_under_load(gateway, door, token)
        began = time.monotonic()
        gateway.start()
        answer = call(stage, door, token, "echo", {"text": "back"})
        demand(succeeded(answer), f"after kill {number}: {answer.status} {answer.text[:200]}")
        restarts.append(time.monotonic() - began)
        code, told = gateway.verify()
        demand(code == 0, f"after restart {number} the chain does not verify: {told[-300:]}")
    gateway.stop()
    saw, known = joined(stage, gateway, upstream)
    return (f"{kills} kills with {open_calls} calls open, {saw} calls seen upstream, {saw} of them with an intent "
            f"record ({known} intents); chain verified {kills} times; serving again after "
            f"{max(restarts):.1f} s at most")


def kill_under_load(gateway, door, token):
    """Kills it at a random moment; how many callers were waiting then."""
    load = Load(door, token, "echo", {"text": "hello"}, CONNECTIONS).start()
    until("the load runs", lambda: load.succeeded > 2 * CONNECTIONS, 60)
    time.sleep(random.uniform(0.02, 0.5))
    open_calls = load.awaiting
    gateway.kill()
    load.stop()
    return open_calls


def joined(stage, gateway, upstream):
    """Every request that the upstream saw, joined with the intents by its id."""
    directory = evidence(stage, gateway)
    intents = set()
    for segment in sorted(directory.glob("segment-*.jsonl")):
        for line in segment.read_bytes().split(b"\n"):
            if line.startswith(b'{"seq":') and line.endswith(b"}"):
                event = json.loads(line)["event"]
                if event["kind"] == "intent":
                    intents.add(event["request_id"])
    saw = [line["request_id"] for line in upstream.log.all()]
    demand(all(saw), "the upstream saw a request without an id")
    unknown = [one for one in saw if one not in intents]
    demand(not unknown, f"{len(unknown)} of {len(saw)} calls seen upstream have no intent record: {unknown[:3]}")
    code, told = gateway.verify(directory)
    demand(code == 0, f"the chain does not verify: {told[-300:]}")
    return len(saw), len(intents)


def evidence(stage, gateway):
    """The audit directory; with one record dropped from a copy where that is the sabotage."""
    if stage.sabotage != "audit":
        return gateway.audit
    copy = gateway.folder / "sabotaged-audit"
    shutil.copytree(gateway.audit, copy)
    segment = sorted(copy.glob("segment-*.jsonl"))[0]
    lines = segment.read_bytes().split(b"\n")
    dropped = next(index for index in range(len(lines) // 2, len(lines)) if b'"kind":"intent"' in lines[index])
    del lines[dropped]
    segment.write_bytes(b"\n".join(lines))
    return copy
