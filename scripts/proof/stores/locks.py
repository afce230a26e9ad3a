"""Locks under load, over two gateways on one database: in force on both when they are answered."""

import http.client
import json
import os
import signal
import threading
import time
from datetime import datetime
from urllib.parse import urlsplit

from ..claim import Claim, demand
from ..gateway import Gateway, call, modern, modern_headers, succeeded
from ..load import Load, micros
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..postgres import Postgres
from ..processes import until
from ..session import Session
from ..transparency import processes
from ..upstreams import Workshop

SERVERS = ("issues", "other", "trouble")
IN_FLIGHT, SLOW_MILLIS = 16, 60_000
# How long callers go on trying after the answer, and how old a replica's state may be.
AFTER_SECONDS, LEASE_SECONDS, SHORT_SECONDS = 0.4, 2, 3
REASON = "a key was seen in a ticket"


class Stream:
    """One call that answers with events, read until somebody ends it."""

    def __init__(self, door, token):
        parts = urlsplit(door)
        body = json.loads(modern("slow", {"millis": SLOW_MILLIS, "progress": 2_000}))
        body["params"]["_meta"]["progressToken"] = "p"
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        self.connection.request("POST", parts.path, json.dumps(body).encode(), modern_headers(token, "slow"))
        self.response = self.connection.getresponse()
        demand(self.response.status == 200, f"no stream: {self.response.status} {self.response.read(300)}")
        self.lines, self.ended = 0, None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        self.last = b""
        try:
            while line := self.response.readline():
                self.lines += 1
                self.last = line if line.strip() else self.last
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.ended = micros()


class House:
    """Two gateways, two servers over HTTP and one that is a process; bots of two kinds at each."""

    def __init__(self, stage):
        self.stage, database = stage, Postgres(stage, "postgres-locks")
        folder = stage.folder / "lock-programs"
        folder.mkdir()
        self.upstreams = {name: Workshop(stage, f"locks-{name}") for name in SERVERS[:2]}
        credential = stage.mint.make("locks")
        for upstream in self.upstreams.values():
            upstream.accept(credential)
        stage.openbao.put("kv/issues/locked", credential)
        limits = f"limits: {{ staleness_production_seconds: {LEASE_SECONDS}, staleness_other_seconds: {LEASE_SECONDS} }}\n"
        allowed = processes.section([processes.trouble(folder)], directory=str(stage.folder / "locks-private"))
        more = f"state_password_file: {database.gateway_password}\n{limits}{allowed}"
        text = configuration(stage, SERVERS, state=database.url, more=more)
        self.first, self.second = (Gateway(stage, f"locks-{number}", text) for number in (1, 2))
        self.first.start().log_in().apply(self._manifests(folder))
        self.second.start()
        self.tokens = {(gateway.name, bot, name): stage.issuer.agent(bot, gateway.door("dev", name))
                       for gateway in self.both for bot in ("triage-bot", "steady-bot") for name in SERVERS}

    def _manifests(self, folder):
        secret, bots = "bao://kv/issues/locked#token", ("triage", "steady")
        rule = policy(condition="true").replace('action == Action::"call_tool"', "action")
        return together(
            environment(), rule, *(agent(self.stage, f"{bot}-bot") for bot in bots),
            *(server(upstream.url, name) for name, upstream in self.upstreams.items()),
            processes.server("trouble", processes.trouble(folder, processes.VARIABLE)),
            *(binding(f"{name}-{bot}", secret, f"{bot}-bot", server_name=name)
              for name in self.upstreams for bot in bots),
            *(processes.binding(f"trouble-{bot}", "trouble", secret, f"{bot}-bot") for bot in bots))

    @property
    def both(self):
        return (self.first, self.second)

    def load(self, gateway, bot, name, tool, workers, pause=0.0):
        arguments = {"slow": {"millis": SLOW_MILLIS}, "echo": {"text": "on"}}[tool]
        return Load(gateway.door("dev", name), self.tokens[gateway.name, bot, name], tool, arguments, workers, pause)

    def goes(self, gateway, bot="triage-bot", name="issues"):
        answer = call(self.stage, gateway.door("dev", name), self.tokens[gateway.name, bot, name], "echo", {"text": "x"})
        return succeeded(answer) or answer.code()

    def child(self, gateway):
        door = gateway.door("dev", "trouble")
        session = Session(self.stage, door, self.tokens[gateway.name, "triage-bot", "trouble"], "lock-sessions").open()
        return json.loads(session.call("whoami").text())["pid"]

    def lock(self, selector, seconds=600):
        answer = self.first.api("POST", "/locks", {"selector": selector, "reason": REASON, "seconds": seconds})
        read = micros()
        demand(answer.status == 201, f"lock {selector}: {answer.status} {answer.text[:300]}")
        completed = datetime.fromisoformat(answer.json()["completed_at"]).timestamp() * 1_000_000
        return answer.json(), min(read, completed)


def once(house, selector, stopped, neighbour, stream=True, process=False, freeze=False):
    """One lock over what runs on both: `stopped` says which lines of which server's log it is about."""
    marks = {name: upstream.log.mark() for name, upstream in house.upstreams.items()}

    def seen():
        return [line for name, upstream in house.upstreams.items() for line in upstream.log.since(marks[name])
                if line["method"] == "tools/call" and stopped(name, line)]

    loads = [house.load(gateway, "triage-bot", "issues", tool, workers, pause).start() for gateway in house.both
             for tool, workers, pause in (("slow", IN_FLIGHT, 0.0), ("echo", 4, 0.002))]
    flow = house.load(house.second, *neighbour, "echo", 2, 0.005).start() if neighbour else None
    token = house.tokens[house.second.name, "triage-bot", "issues"]
    live = Stream(house.second.door("dev", "issues"), token) if stream else None
    pids = [house.child(gateway) for gateway in house.both] if process else []
    until("everything is in flight", lambda: sum(1 for line in seen() if line["name"] == "slow") >= 2 * IN_FLIGHT
          and (not live or live.lines > 3) and (not flow or flow.succeeded > 5), 30)
    if freeze:
        os.kill(house.second.child.pid, signal.SIGSTOP)
    flowing, began = flow.succeeded if flow else 0, time.monotonic()
    made, end = house.lock(selector)
    took = time.monotonic() - began
    if freeze:
        os.kill(house.second.child.pid, signal.SIGCONT)
    time.sleep(AFTER_SECONDS)
    if flow:
        until("the neighbour flows on", lambda: flow.succeeded > flowing + 5, 10)
        flow.stop(30)
        demand(freeze or flow.refused + flow.broken == 0, f"{selector}: the neighbour: {flow.failures[:3]}")
    if live:
        until("the stream has ended", lambda: live.ended, 10)
        demand(freeze or b"lock.active" in live.last, f"{selector}: the stream's last line: {live.last[:200]}")
    demand(not [pid for pid in pids if processes.alive(pid)], f"{selector}: a process is still there")
    for load in loads:
        load.stop(30)
    late = [round(line["arrival_micros"] - end) for line in seen() if line["arrival_micros"] > end]
    demand(not late, f"{selector}: {len(late)} calls upstream after the answer, the latest {max(late, default=0)} us")
    said = [failure for load in loads for failure in load.failures]
    foreign = [text for text in said if "lock.active" not in text and not freeze]
    demand(said and not foreign, f"{selector}: callers were told {foreign[:2] or 'nothing'}")
    leaked = [text for text in said if made["lock"]["id"] in text or REASON in text]
    demand(not leaked, f"{selector}: a caller was told which lock or why: {leaked[:1]}")
    return {"made": made, "took": took, "cut": made["ended"]["calls"], "said": len(said)}


def lifted(house, made):
    """The author lifts it (this environment asks for no approvals), and calls go through again on both."""
    shown = house.first.cli("lock", "show", made["lock"]["id"])
    demand(shown["stands"] and shown["reason"] == REASON, f"lock show: {shown}")
    house.first.cli("lock", "lift", made["lock"]["id"])
    for gateway in house.both:
        demand(house.goes(gateway) is True, f"after the lift {gateway.name} says {house.goes(gateway)}")
    demand(not house.first.cli("lock", "list")["items"], "a lifted lock is still listed")


def expires(house):
    """A short lock ends by its time alone, on both; seconds until each let a call through."""
    began = time.monotonic()
    house.lock({"environment": "dev", "server": "issues"}, SHORT_SECONDS)
    for gateway in house.both:
        demand(house.goes(gateway) == "lock.active", f"{gateway.name} does not hold a short lock")
    for gateway in house.both:
        until(f"{gateway.name} lets calls through", lambda: house.goes(gateway) is True, SHORT_SECONDS + 5)
    took = time.monotonic() - began
    demand(took >= SHORT_SECONDS - 0.1, f"a lock of {SHORT_SECONDS} s held for {took:.1f} s")
    def over():
        listed = house.first.api("GET", "/locks?ended=true").json()["items"]
        return [lock for lock in listed if lock.get("ended") and not lock["ended"].get("by")]

    until("the state says that it is over", over, 10)
    return took


def judge(stage):
    house = House(stage)
    rounds = {
        "server": ({"environment": "dev", "server": "issues"}, lambda name, _: name == "issues", ("steady-bot", "other"), {}),
        "agent": ({"environment": "dev", "agent": "triage-bot"}, lambda _, line: "-triage@" in (line["binding"] or ""),
                  ("steady-bot", "issues"), {"process": True}),
        "everything": ({"everything": True}, lambda *_: True, None, {"process": True}),
    }
    took, cut, said = [], 0, 0
    for selector, stopped, neighbour, more in rounds.values():
        one = once(house, selector, stopped, neighbour, **more)
        took, cut, said = [*took, one["took"]], cut + one["cut"], said + one["said"]
        lifted(house, one["made"])
    one = tool(house)
    took, cut = [*took, one["took"]], cut + one["cut"]
    selector, stopped, neighbour, _ = rounds["server"]
    frozen = once(house, selector, stopped, neighbour, stream=False, freeze=True)
    bound = LEASE_SECONDS + 5
    demand(frozen["took"] <= bound, f"a gateway that slept was waited for {frozen['took']:.1f} s")
    until("the one that slept serves again", lambda: house.goes(house.second, "steady-bot", "other") is True, 15)
    lifted(house, frozen["made"])
    held = expires(house)
    figures = evidence(house)
    return (f"server, agent, everything and tool, each with {2 * IN_FLIGHT} calls in flight over two gateways: 0 calls upstream "
            f"after the answer, {cut} calls cut on the one that answered, neighbours unharmed; answered after "
            f"{sorted(took)[len(took) // 2] * 1000:.0f} ms (median), {max(took) * 1000:.0f} ms (longest); the other one asleep: "
            f"after {frozen['took']:.1f} s, 0 calls when it woke; a lock of {SHORT_SECONDS} s ended by itself after {held:.1f} s; "
            f"{figures}")


def tool(house):
    """A lock on one tool: its calls are cut on both, the same caller's other tool flows on."""
    mark = house.upstreams["issues"].log.mark()
    slow = [house.load(gateway, "triage-bot", "issues", "slow", IN_FLIGHT).start() for gateway in house.both]
    echo = [house.load(gateway, "triage-bot", "issues", "echo", 2, 0.005).start() for gateway in house.both]

    def seen():
        return [line for line in house.upstreams["issues"].log.since(mark) if line["name"] == "slow"]

    until("everything is in flight", lambda: len(seen()) >= 2 * IN_FLIGHT, 30)
    began = time.monotonic()
    made, end = house.lock({"environment": "dev", "tool": "sl*"})
    took, flowing = time.monotonic() - began, [load.succeeded for load in echo]
    until("the other tool flows on", lambda: all(load.succeeded > before for load, before in zip(echo, flowing)), 10)
    time.sleep(AFTER_SECONDS)
    for load in (*slow, *echo):
        load.stop(30)
    late = [line for line in seen() if line["arrival_micros"] > end]
    demand(not late, f"tool: {len(late)} calls upstream after the answer")
    demand(all(load.refused + load.broken == 0 for load in echo), f"tool: the other one: {echo[0].failures[:2]}")
    demand(all(load.refused >= IN_FLIGHT for load in slow), "tool: not every call was cut")
    lifted(house, made)
    return {"took": took, "cut": made["ended"]["calls"]}


def evidence(house):
    """What both chains say of it; they verify, and no reason is in them."""
    for gateway in house.both:
        gateway.keep_metrics()
        gateway.stop()
    events = [event for gateway in house.both for event in gateway.events()]
    # Either gateway may take an event of the state over, and both may at the same moment.
    count = {kind: len({event["lock"] for event in events if event["kind"] == kind})
             for kind in ("lock_created", "lock_in_force", "lock_lifted", "lock_expired")}
    demand(count == {"lock_created": 6, "lock_in_force": 6, "lock_lifted": 5, "lock_expired": 1}, f"evidence: {count}")
    refused = [event for event in events if event["kind"] == "refused" and event.get("reason") == "lock.active"]
    demand(refused and all(event.get("lock") for event in refused if not event.get("outcome")), "a refusal names no lock")
    demand(REASON not in json.dumps(events), "a reason is in the chain")
    code, said = house.first.verify()
    demand(code == 0, f"the chain: {said[-300:]}")
    return f"{len(refused):,} refusals name their lock, {sum(count.values())} acts in the chain"


CLAIMS = (
    Claim("locks", "a lock by server, agent, tool or on everything, made at one of two gateways under load, is in force on both when "
                   "it is answered: calls, streams and processes that it matches are cut and none reaches an upstream, neighbours "
                   "flow on; its end and its lifting let calls through again; who sleeps through it sends nothing on waking", judge),
)
