"""Reviews of bindings over two gateways whose clock is set: told once, switched off a day later, never by a jump."""

import base64
import json
import os
import signal
import time
from datetime import datetime

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..issuer import Issuer
from ..load import Load
from ..manifests import agent, binding, configuration, policy, server, together
from ..postgres import Postgres
from ..processes import until
from ..session import Session
from ..stage import AGENTS, PEOPLE
from ..stores.chaos.receiver import Receiver
from ..stores.chaos.station import Clock
from ..stores.locks import Stream
from ..transparency import processes
from ..upstreams import Workshop

DAY, HOUR = 86_400, 3_600
EVERY, BEFORE, STEADY_SECONDS = 30, 7, 10
# How long a clock that is wrong is watched: longer than the gateway waits for a clock to be steady.
WRONG_SECONDS, AFTER_SECONDS = STEADY_SECONDS + 4, 0.5
SERVERS = ("issues", "trouble")
LAPSING, KEPT, PROCESS = "lapsing", "kept", "process"
ENVIRONMENT = f"""kind: Environment
name: dev
approvals: 1
reviews: {{ every_days: {EVERY}, remind_days_before: {BEFORE}, on_expiry: disable }}
"""
# Who writes may approve as well, and still not her own work.
OPERATORS = """  issuers:
    - issuer: @ISSUER@
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - { role: editor, group: editors }
        - { role: approver, group: editors }
        - { role: approver, group: approvers }
        - { role: auditor, group: approvers }
"""


class House:
    """Two gateways on one database and one clock; an issuer on a clock of its own, which is set before theirs so that
    tokens of the new time are at hand when it begins."""

    def __init__(self, stage):
        self.stage, database = stage, Postgres(stage, "postgres-reviews")
        self.clock, self.early = Clock(stage.folder / "reviews-clock"), Clock(stage.folder / "reviews-issuer-clock")
        self.issuer = Issuer(stage, AGENTS, PEOPLE, "reviews-issuer", self.early.environment())
        self.upstream, credential = Workshop(stage, "reviews"), stage.mint.make("reviews")
        self.upstream.accept(credential)
        stage.openbao.put("kv/reviews/all", credential)
        self.folder = stage.folder / "review-programs"
        self.folder.mkdir()
        allowed = processes.section([processes.trouble(self.folder)], directory=str(stage.folder / "reviews-private"))
        more = f"state_password_file: {database.gateway_password}\n{allowed}"
        text = configuration(stage, SERVERS, state=database.url, more=more, operators=OPERATORS,
                             audit=', sink: { url: "@SINK@" }')
        text = text.replace(stage.issuer.url, self.issuer.url).replace("@ISSUER@", self.issuer.url)
        self.sinks = [Receiver(stage.folder / f"reviews-sink-{number}.jsonl") for number in (1, 2)]
        self.both = [Gateway(stage, f"reviews-{number}", text.replace("@SINK@", sink.url), env=self.clock.environment())
                     for number, sink in enumerate(self.sinks, 1)]
        self.first, self.second = self.both
        self.first.start().log_in()
        self.second.start().borrow_operator(self.first)
        self.offset, self.tokens, self.people = 0, {}, {}
        self.prepare()

    def set_up(self):
        """Alice writes everything, bob signs it."""
        written = together(
            ENVIRONMENT, server(self.upstream.url), processes.server("trouble", processes.trouble(self.folder, processes.VARIABLE)),
            policy(condition="true").replace('action == Action::"call_tool"', "action"),
            *(agent(self.stage, name).replace(self.stage.issuer.url, self.issuer.url) for name in AGENTS[:2]),
            binding(LAPSING, "bao://kv/reviews/all#token", "triage-bot"),
            binding(KEPT, "bao://kv/reviews/all#token", "steady-bot"),
            processes.binding(PROCESS, "trouble", "bao://kv/reviews/all#token", "triage-bot"))
        self.first.apply(written, expect=(3,), token_file=self.people["alice"])
        for place in ("server/dev/issues", "server/dev/trouble", "policy/dev/support-calls", "agent/-/triage-bot",
                      "agent/-/steady-bot", *(f"binding/dev/{name}" for name in (LAPSING, KEPT, PROCESS))):
            answer = self.first.api("POST", f"/objects/{place}/approve", {"revision": 1}, self.people["bob"])
            demand(answer.status == 200, f"bob signs {place}: {answer.status} {answer.text[:300]}")

    def prepare(self):
        """Tokens of the issuer's present, for agents and people."""
        self.people = {name: self.issuer.person(name, self.first.control) for name in ("alice", "bob")}
        self.tokens = {(gateway.name, who, name): self.issuer.agent(who, gateway.door("dev", name))
                       for gateway in self.both for who, name in
                       (("triage-bot", "issues"), ("steady-bot", "issues"), ("triage-bot", "trouble"))}

    def set_clock(self, days, hours=0):
        """Sets the clock of both gateways, with tokens of that time at hand; when it was set."""
        self.offset = days * DAY + hours * HOUR
        self.early.move(self.offset)
        door = self.first.door("dev", "issues")
        until("the issuer's clock is set", lambda: abs(issued_at(self.issuer.agent("triage-bot", door))
                                                       - time.time() - self.offset) < 60, 15)
        self.prepare()
        self.together()
        return time.monotonic()

    def together(self):
        """Moves the clocks of both at once: while they stand still, so that neither reads the old one after the other has
        read the new one. Two clocks that are years apart tell in turns, and that is not what is judged here."""
        running = [gateway.child.pid for gateway in self.both]
        for pid in running:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.clock.move(self.offset)
            # libfaketime keeps what it has read for a second, counted in whole ones.
            time.sleep(2.2)
        finally:
            for pid in running:
                os.kill(pid, signal.SIGCONT)

    def goes(self, gateway, who, name="issues"):
        token = self.tokens[gateway.name, who, name]
        return succeeded(call(self.stage, gateway.door("dev", name), token, "echo", {"text": "x"}))

    def load(self, gateway, who, pause):
        token = self.tokens[gateway.name, who, "issues"]
        return Load(gateway.door("dev", "issues"), token, "echo", {"text": "on"}, 4, pause)

    def told(self, kind):
        """name -> how often, over both chains. Either gateway may write an event of the state, and both may at the
        same moment: it then has the same id."""
        found = {event["outbox_id"]: event["object"]["name"] for gateway in self.both for event in gateway.events()
                 if event["kind"] == kind}
        names = list(found.values())
        return {name: names.count(name) for name in set(names)}

    def card(self, name):
        return self.first.api("GET", f"/bindings/dev/{name}", token_file=self.people["bob"]).json()

    def gauges(self, gateway):
        page = web.request("GET", f"{gateway.control}/metrics").text
        lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("mcp_gateway_reviews_"))
        return int(lines["mcp_gateway_reviews_due"]), int(lines["mcp_gateway_reviews_overdue"])

    def refused(self, code, *arguments, who="bob"):
        ended, out, err = self.first.try_cli(*arguments, token_file=self.people[who])
        demand(ended != 0 and code in out + err, f"{' '.join(map(str, arguments))} by {who}: {ended} {(out + err)[-300:]}")

    def act(self, *arguments):
        return self.first.cli("binding", *arguments, token_file=self.people["bob"])


def issued_at(token):
    payload = getattr(token, "value", token).split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iat"]


def near(house):
    """All three are told of, once, however many gateways look and start again; one is reviewed by other eyes."""
    due = {LAPSING: 1, KEPT: 1, PROCESS: 1}
    house.set_clock(EVERY - BEFORE + 1)
    until("every review is told of", lambda: house.told("review_due") == due, 20)
    until("both count", lambda: all(house.gauges(one) == (3, 0) for one in house.both), 20)
    house.second.kill()
    house.second.start()
    time.sleep(3)
    demand(house.told("review_due") == due, f"told again: {house.told('review_due')}")
    listed = house.act("list", "--review", "due")["items"]
    demand(len(listed) == 3, f"binding list --review due: {len(listed)}")
    kept = f"dev/{KEPT}"
    house.refused("review.own_work", "binding", "review", kept, "--revision", "1", who="alice")
    house.refused("review.revision", "binding", "review", kept, "--revision", "2")
    house.refused("review.until", "binding", "review", kept, "--revision", "1", "--until", "2020-01-01")
    if house.stage.sabotage != "review":
        house.act("review", kept, "--revision", "1")
    until("both count one less", lambda: all(house.gauges(one) == (2, 0) for one in house.both), 20)


def wrong_clock(house):
    """Far ahead for a while, longer than it takes to believe a clock: everything is told, nothing is switched off."""
    house.set_clock(400)
    for gateway in house.both:
        until("the clock is ahead", lambda: house.goes(gateway, "triage-bot"), 20)
    loads = [house.load(gateway, who, 0.02).start() for gateway in house.both for who in ("triage-bot", "steady-bot")]
    until("all are told of", lambda: house.told("review_overdue") == {LAPSING: 1, KEPT: 1, PROCESS: 1}, 20)
    time.sleep(WRONG_SECONDS)
    for load in loads:
        load.stop(30)
    failed = [failure for load in loads for failure in load.failures]
    demand(not failed, f"while the clock was wrong: {failed[:2]}")
    status = {name: house.card(name)["status"] for name in (LAPSING, KEPT, PROCESS)}
    demand(set(status.values()) == {"active"}, f"a clock that jumped switched off: {status}")
    house.set_clock(EVERY + 1)
    for gateway in house.both:
        until("the clock is back", lambda: house.goes(gateway, "triage-bot"), 30)
    until("what is late is told again", lambda: house.told("review_overdue") == {LAPSING: 2, KEPT: 1, PROCESS: 2}, 20)
    until("both count two", lambda: all(house.gauges(one) == (0, 2) for one in house.both), 20)
    return sum(load.succeeded for load in loads)


def session(house, gateway):
    door = gateway.door("dev", "trouble")
    opened = Session(house.stage, door, house.tokens[gateway.name, "triage-bot", "trouble"], "review-sessions").open()
    return json.loads(opened.call("whoami").text())["pid"]


def switched_off(house):
    """A day after it was told, under load: calls, a stream and processes of both end, the neighbour flows on."""
    mark = house.upstream.log.mark()
    began = house.set_clock(EVERY + 2, hours=1)
    for gateway in house.both:
        until("calls go on", lambda: house.goes(gateway, "triage-bot"), 5)
    loads = [house.load(gateway, "triage-bot", 0.005).start() for gateway in house.both]
    neighbours = [house.load(gateway, "steady-bot", 0.01).start() for gateway in house.both]
    stream = Stream(house.second.door("dev", "issues"), house.tokens[house.second.name, "triage-bot", "issues"])
    pids = [session(house, gateway) for gateway in house.both]

    def completed():
        return {event["object"]["name"]: event for gateway in house.both for event in gateway.events()
                if event["kind"] == "revocation_completed" and event.get("reason") == "review.overdue"}

    until("both are switched off", lambda: set(completed()) == {LAPSING, PROCESS}, 40)
    took = time.monotonic() - began
    demand(took >= STEADY_SECONDS, f"switched off {took:.1f} s after the clock was set")
    time.sleep(AFTER_SECONDS)
    until("the stream has ended", lambda: stream.ended, 10)
    left = [pid for pid in pids if processes.alive(pid)]
    demand(not left, f"{len(left)} of {len(pids)} processes are still there")
    flowing = [load.succeeded for load in neighbours]
    until("the neighbour flows on", lambda: all(load.succeeded > before + 5 for load, before in zip(neighbours, flowing)), 10)
    for load in (*loads, *neighbours):
        load.stop(30)
    harmed = [failure for load in neighbours for failure in load.failures]
    demand(not harmed, f"the neighbour: {harmed[:2]}")
    end = datetime.fromisoformat(completed()[LAPSING]["time"]).timestamp() - house.offset
    seen = [line for line in house.upstream.log.since(mark) if (line["binding"] or "").startswith(f"{LAPSING}@")]
    late = [line for line in seen if line["arrival_micros"] > end * 1_000_000 + 1_000]
    demand(seen and not late, f"{len(late)} of {len(seen)} calls upstream after the end")
    demand(all(load.refused for load in loads), "a load was never refused")
    return took, len(seen)


def comes_back(house):
    """Only by a review."""
    place = f"dev/{LAPSING}"
    house.refused("review.overdue", "binding", "enable", place)
    demand(house.card(LAPSING)["review"]["disabled_at"], "the card does not say why it is off")
    house.act("review", place, "--revision", "1")
    demand(house.card(LAPSING)["status"] == "disabled", "a review alone switched it on")
    house.act("enable", place)
    for gateway in house.both:
        until(f"{gateway.name} lets calls through", lambda: house.goes(gateway, "triage-bot"), 20)
    late = [card["name"] for card in house.act("list", "--review", "overdue")["items"]]
    demand(late == [PROCESS], f"still late: {late}")


def evidence(house):
    """Both chains verify; the sinks have what the chains say of reviews."""
    counts = {kind: sum(house.told(kind).values()) for kind in ("review_due", "review_overdue", "binding_reviewed")}
    demand(counts == {"review_due": 3, "review_overdue": 5, "binding_reviewed": 2}, f"evidence: {counts}")

    def arrived():
        lines = [json.loads(line) for sink in house.sinks for line in sink.lines()]
        events = [line["event"] for line in lines if "event" in line]
        return len({event["outbox_id"] for event in events if event["kind"] in counts})

    until("the sinks have it", lambda: arrived() == sum(counts.values()), 20, 0.2)
    for gateway in house.both:
        gateway.keep_metrics()
        gateway.stop()
        code, said = gateway.verify()
        demand(code == 0, f"the chain of {gateway.name}: {said[-300:]}")
    for sink in house.sinks:
        sink.end()
    return sum(counts.values())


def judge(stage):
    house = House(stage)
    house.set_up()
    for gateway in house.both:
        until(f"{gateway.name} serves", lambda: house.goes(gateway, "triage-bot"), 20)
        demand(house.gauges(gateway) == (0, 0), f"{gateway.name} counts reviews on the first day: {house.gauges(gateway)}")
    near(house)
    through = wrong_clock(house)
    took, calls = switched_off(house)
    comes_back(house)
    events = evidence(house)
    return (f"two gateways on one database, a review every {EVERY} days: 3 reminders {BEFORE} days before, each once, over a kill -9; the "
            f"author refused, another's review counts; a clock 400 days ahead for {WRONG_SECONDS} s: {through} calls, 0 refused, "
            f"0 switched off; a day after it was told 2 of 3 bindings are switched off {took:.1f} s after the clock was set: "
            f"{calls} calls before, 0 at the server after, stream and 2 processes ended, the neighbour unharmed; on again by a review "
            f"alone; {events} events in chains and sinks")


CLAIMS = (
    Claim("reviews", "a review that is near or late is told once over all gateways; a binding that nobody reviews is switched off with "
                     "everything that runs under it, a day after that was told and never by a clock that jumps, and comes back by the "
                     "review of somebody else alone", judge),
)
