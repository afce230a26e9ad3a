"""How processes end: with their credential's rotation, with its revocation, and with the gateway."""

import threading
import time

from ..claim import demand
from ..processes import until
from . import processes

SESSIONS = 8
# After its last call, a process that a rotation replaced must be gone within this.
SECONDS_TO_GO = 10
SECONDS_AFTER_KILL = 5


class Caller:
    """One session that calls without a pause."""

    def __init__(self, session, whoami):
        self.session, self.whoami = session, whoami
        self.calls, self.failure, self.seen = 0, None, {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                who = self.whoami(self.session)
            except Exception as why:  # noqa: BLE001 - whatever fails a call is what is counted
                self.failure = why
                return
            self.calls += 1
            # process -> the digest that it has, and when it was last heard
            self.seen[who["pid"]] = (who["sha256"], time.monotonic())

    def stop(self):
        self._stop.set()
        self._thread.join(60)


def rotation(scene, whoami):
    stage, gateway = scene.stage, scene.gateway
    rounds = 2 if stage.quick else 6
    binding, place = "trouble-triage", "kv/stdio/trouble"
    callers = [Caller(scene.session("trouble"), whoami) for _ in range(SESSIONS)]
    digests, slowest = [scene.credentials["trouble"].sha256], 0.0
    try:
        until("every session calls", lambda: all(caller.calls > 2 for caller in callers) or failed(callers), 60)
        for number in range(rounds):
            fresh = stage.mint.make(f"stdio rotation {number}")
            version = stage.openbao.put(place, fresh)
            gateway.cli("binding", "rotate", f"dev/{binding}", "--to", f"bao://{place}#token?version={version}")
            began, old = time.monotonic(), digests[-1]
            digests.append(fresh.sha256)
            until("every session uses the new value",
                  lambda: all(latest(caller) == fresh.sha256 for caller in callers) or failed(callers), 60)
            replaced = [pid for caller in callers for pid, (digest, _) in caller.seen.copy().items() if digest == old]
            until("the old processes are gone",
                  lambda: not any(processes.alive(pid) for pid in replaced) or failed(callers), 60)
            slowest = max(slowest, time.monotonic() - began)
    finally:
        for caller in callers:
            caller.stop()
    demand(not failed(callers), f"a call failed during a rotation: {failed(callers)[:2]}")
    demand(slowest < SECONDS_TO_GO, f"old processes were there for {slowest:.1f} s after a rotation")
    for caller in callers:
        used = {digest for digest, _ in caller.seen.values()}
        demand(used == set(digests), f"a session saw {len(used)} of {len(digests)} values")
        caller.session.end()
    calls = sum(caller.calls for caller in callers)
    return (f"0 of {calls} calls failed in {SESSIONS} sessions over {rounds} rotations, new value in every session "
            f"and all old processes gone after {slowest:.1f} s at most")


def failed(callers):
    return [str(caller.failure) for caller in callers if caller.failure]


def latest(caller):
    seen = caller.seen.copy()
    return max(seen.values(), key=lambda one: one[1])[0] if seen else None


def revocation(scene, whoami):
    """Every process of the binding is dead when the revocation is acknowledged, the deaf one too."""
    sessions = [scene.session("trouble") for _ in range(6)]
    pids = [whoami(session)["pid"] for session in sessions]
    whoami(sessions[0], "deaf")
    spawned = int(sessions[1].call("spawn").text())
    others = scene.session("trouble", "steady")
    other = whoami(others)["pid"]
    codes = []

    def waits(session):
        reply = session.call("slow", {"millis": 30_000})
        codes.append((reply.status, reply.code()))

    running = [threading.Thread(target=waits, args=(session,), daemon=True) for session in sessions[3:]]
    for thread in running:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    answer = scene.gateway.api("POST", "/bindings/dev/trouble-triage/revoke")
    left = [pid for pid in (*pids, spawned) if processes.alive(pid)]
    took = time.monotonic() - began
    demand(answer.status == 200, f"revoke: {answer.status} {answer.text[:300]}")
    demand(not left, f"{len(left)} of {len(pids) + 1} processes were alive at the acknowledgement")
    demand(answer.json()["ended"]["children"] == len(pids), f"the evidence says {answer.json()['ended']}")
    demand(processes.alive(other) and whoami(others)["pid"] == other, "the other binding's process was harmed")
    for thread in running:
        thread.join(20)
    demand(len(codes) == len(running), "a call under the revoked binding never ended")
    demand(all(status != 200 or code for status, code in codes), f"calls under the revoked binding: {codes}")
    refused = scene.unopened("trouble").try_open()
    demand(refused.status in (401, 403, 404), f"after the revocation: {refused}")
    others.end()
    return (f"at the acknowledgement of a revocation ({took * 1000:.0f} ms) {len(pids)} of {len(pids)} processes and "
            f"what one had started were dead, calls ended with {codes[0][1]}")


def kill9(scene, whoami):
    """The gateway is killed: no process that it started outlives it. (What those had started is not theirs to end.)"""
    sessions = [scene.session("trouble-file") for _ in range(3)] + [scene.session("everything-env", "steady")]
    whoami(sessions[0], "deaf")
    thread = threading.Thread(target=quietly, args=(sessions[1],), daemon=True)
    thread.start()
    pids = list(scene.children())
    demand(len(pids) >= len(sessions), f"only {len(pids)} processes")
    scene.gateway.kill()
    began = time.monotonic()
    until("all processes are gone", lambda: not any(processes.alive(pid) for pid in pids), SECONDS_AFTER_KILL)
    took = time.monotonic() - began
    scene.gateway.start()
    fresh = scene.session("trouble-file")
    whoami(fresh)
    fresh.end()
    return (f"{len(pids)} processes gone {took * 1000:.0f} ms after kill -9 of the gateway, a deaf and a busy one "
            "among them")


def quietly(session):
    """A call whose end nobody sees."""
    try:
        session.call("slow", {"millis": 60_000})
    except Exception:  # noqa: BLE001 - the gateway is killed under it
        return
