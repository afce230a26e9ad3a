"""The store goes away and comes back."""

import time

from ..claim import demand
from ..gateway import Gateway, call, succeeded
from ..manifests import basic, binding, configuration
from ..openbao import OpenBao
from ..processes import until
from ..upstreams import Workshop

TTL_SECONDS = 5
# The moment between a fetch and its use, and the length of one poll, on a busy machine.
SLACK_SECONDS = 3


def judge(stage):
    own = OpenBao(stage, stage.folder / "openbao-outage", "openbao-outage")
    upstream = Workshop(stage, "outage")
    text = configuration(stage, ["issues"], cache_seconds=TTL_SECONDS)
    text = text.replace(stage.openbao.address, own.address)
    text = text.replace(str(stage.openbao.secret_id_file), str(own.secret_id_file))
    gateway = Gateway(stage, "outage", text)
    credential = stage.mint.make("outage")
    upstream.accept(credential)
    own.put("kv/issues/outage", credential)
    gateway.start().log_in()
    gateway.apply(basic(stage, upstream, [binding("outage", "bao://kv/issues/outage#token", "triage-bot")]))
    door = gateway.door("dev", "issues")
    token = stage.issuer.agent("triage-bot", door)
    pid = gateway.child.pid

    def one():
        return call(stage, door, token, "echo", {"text": "hello"})

    until("a first call", lambda: succeeded(one()), 10)
    # Past one TTL, so that the next fetch is known to be fresh.
    time.sleep(TTL_SECONDS + 0.2)
    fetched = time.monotonic()
    demand(succeeded(one()), "no call right before the outage")
    own.stop()
    stopped, cached = time.monotonic(), 0
    while succeeded(answer := one()):
        cached += 1
        demand(time.monotonic() - fetched < TTL_SECONDS + SLACK_SECONDS, "cached values serve beyond their TTL")
        time.sleep(0.05)
    served = time.monotonic() - fetched
    demand(cached > 0, "no call was served from the cache")
    demand((answer.status, answer.code()) == (503, "store.unavailable"), f"{answer.status} {answer.text[:200]}")
    demand(served >= TTL_SECONDS - 1, f"the first refusal came {served:.1f} s after the fetch, before the TTL")
    mark = upstream.log.mark()
    refused = [one() for _ in range(20)]
    demand(all((one.status, one.code()) == (503, "store.unavailable") for one in refused), "another refusal came")
    demand(not upstream.log.since(mark), "a refused call reached the upstream")
    own.start_again()
    began = time.monotonic()
    until("calls recover", lambda: succeeded(one()), 60, 0.05)
    recovered = time.monotonic() - began
    demand(gateway.child.pid == pid and gateway.child.alive(), "the gateway was restarted")
    gateway.keep_metrics()
    gateway.stop()
    own.stop()
    return (f"{cached} calls from the cache after the stop, the first 503 store.unavailable {served:.1f} s after the "
            f"fetch (TTL {TTL_SECONDS} s), {len(refused)} refusals and 0 upstream calls, recovered {recovered:.1f} s "
            f"after the store")
