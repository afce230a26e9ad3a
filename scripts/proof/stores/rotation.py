"""Rotation under load: by command, by reference and by the store's own new versions; bad ones are taken back."""

import json
from datetime import datetime

from ..claim import Claim, demand
from ..gateway import Gateway
from ..load import Load
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..session import Session
from ..transparency import processes
from ..transparency.stdio_ends import Caller
from ..upstreams import Workshop

ROTATIONS, OF_PROCESSES, BAD, BAD_UNWATCHED = 160, 40, 20, 5
QUICK = (12, 4, 4, 1)
CONNECTIONS, SESSIONS = 8, 3
WATCHED, PLAIN, PROCESS = "kv/issues/watched", "kv/issues/plain", "kv/stdio/rotating"
WAYS = ("watch", "rotate", "to a version", "to the place")
WATCH = 'rotation: { watch: 1s, max_age: 90d }\n'


class Place:
    """A binding's place in the store, with every value that stood there."""

    def __init__(self, house, name, path):
        self.house, self.name, self.path = house, name, path
        self.values, self.current, self.version = {}, None, None

    def put(self, what, good=True):
        """A new version; at the server too where it is good."""
        fresh = self.house.stage.mint.make(f"{self.name} {what}")
        if good:
            self.house.accept(self.name, fresh)
        version = str(self.house.stage.openbao.put(self.path, fresh))
        self.values[version] = fresh
        return version, fresh

    def versions(self):
        """version -> its state, as the command line says."""
        shown = self.house.gateway.api("GET", f"/bindings/dev/{self.name}/versions").json()["rotation"]
        return {known["version"]: known for known in (shown or {"versions": []})["versions"]}

    def stands(self, version, *states):
        return self.versions().get(version, {}).get("state") in states

    def rotate(self, number):
        """One rotation in one of the ways; the version that it came to."""
        version, fresh = self.put(f"rotation {number}")
        way = WAYS[number % len(WAYS)]
        if way == "watch":
            until(f"{self.name}: the watch takes version {version} over", lambda: self.stands(version, "active"), 30)
        else:
            to = {"rotate": (), "to a version": ("--to", f"bao://{self.path}#token?version={version}"),
                  "to the place": ("--to", f"bao://{self.path}#token")}[way]
            done = self.house.gateway.cli("binding", "rotate", f"dev/{self.name}", *to)
            demand(done.get("version") == version, f"{self.name}, {way}: version {done.get('version')}, not {version}")
        self.current, self.version = fresh, version
        return version, fresh


class House:
    """A gateway with a server over HTTP and one that is a process, and callers that never pause."""

    def __init__(self, stage):
        self.stage = stage
        self.upstream = Workshop(stage, "rotation-200")
        folder = stage.folder / "rotation-programs"
        folder.mkdir()
        command = processes.trouble(folder, processes.VARIABLE)
        more = processes.section([processes.trouble(folder)], processes=64, idle_seconds=600,
                                 directory=str(stage.folder / "rotation-private"))
        self.gateway = Gateway(stage, "rotation-200", configuration(stage, ["issues", "process"], cache_seconds=2,
                                                                    more=more))
        self.places = {name: Place(self, name, path) for name, path in
                       (("watched", WATCHED), ("plain", PLAIN), ("rotating", PROCESS))}
        for place in self.places.values():
            place.version, place.current = place.put("first")
        self.gateway.start().log_in()
        self.gateway.apply(together(
            environment(), agent(stage, "triage-bot"), agent(stage, "steady-bot"),
            policy(condition="true").replace('action == Action::"call_tool"', "action"),
            # What writes is never sent twice: nothing but the broker can save such a call.
            server(self.upstream.url).replace("echo: read", "echo: write"),
            processes.server("process", command),
            binding("watched", f"bao://{WATCHED}#token", "triage-bot", more=WATCH),
            binding("plain", f"bao://{PLAIN}#token", "steady-bot"),
            processes.binding("rotating", "process", f"bao://{PROCESS}#token", "triage-bot") + WATCH,
        ))
        self.loads, self.callers = {}, []

    def accept(self, name, credential):
        if name != "rotating":
            self.upstream.accept(credential)

    def token(self, who, name):
        return self.stage.issuer.agent(who, self.gateway.door("dev", name))

    def begin(self):
        door = self.gateway.door("dev", "issues")
        for name, who in (("watched", "triage-bot"), ("plain", "steady-bot")):
            load = Load(door, self.token(who, "issues"), "echo", {"text": "hello"}, CONNECTIONS, pause=0.02)
            self.loads[name] = load.start()
        self.callers = [Caller(self.session(), who_is_it) for _ in range(SESSIONS)]
        until("everybody calls", lambda: all(load.sent > 20 for load in self.loads.values())
              and all(caller.calls > 2 for caller in self.callers) or self.trouble(), 60)

    def session(self):
        door = self.gateway.door("dev", "process")
        return Session(self.stage, door, self.token("triage-bot", "process"), "rotation-sessions").open()

    def trouble(self):
        failed = [f"{name}: {load.failures[:2]}" for name, load in self.loads.items() if load.failures]
        return failed + [str(caller.failure) for caller in self.callers if caller.failure]

    def none_failed(self, what):
        demand(not self.trouble(), f"{what}: {self.trouble()[:3]}")

    def end(self):
        for load in self.loads.values():
            load.stop()
        for caller in self.callers:
            caller.stop()


def who_is_it(session):
    reply = session.call("whoami")
    demand(reply.status == 200 and reply.result, f"whoami: {reply}")
    return json.loads(reply.text())


def seen_upstream(house, mark, credential):
    return [line for line in house.upstream.log.since(mark) if line["credential_sha256"] == credential.sha256]


def rotate_over_http(house, count):
    """Every version must reach the server, and an old one is taken back there once it is retired."""
    place, overlapping = house.places["watched"], []
    until("the first version is written down", lambda: place.stands(place.version, "active"), 30)
    overlapping.append((place.version, place.current))
    for number in range(count):
        mark = house.upstream.log.mark()
        version, fresh = place.rotate(number)
        until(f"version {version} at the server", lambda: seen_upstream(house, mark, fresh) or house.trouble(), 30)
        house.none_failed(f"rotation {number} ({WAYS[number % len(WAYS)]})")
        overlapping.append((version, fresh))
        overlapping = take_back(house, place, overlapping)
    until("the last replaced version is retired",
          lambda: len(take_back(house, place, overlapping)) == 1 or house.trouble(), 30, 0.2)
    return overlapping


def take_back(house, place, overlapping):
    """The provider refuses what is retired from now on: a later use would be a failed call."""
    known = place.versions()
    alive = [one for one in overlapping if known.get(one[0], {}).get("state") in ("active", "draining")]
    for one in overlapping:
        if one not in alive and one[1].sha256 in house.upstream.good.digests:
            house.upstream.reject(one[1])
    return alive


def rotate_processes(house, count):
    place = house.places["rotating"]
    until("the first version is written down", lambda: place.stands(place.version, "active"), 30)
    used = {place.current.sha256}
    for number in range(count):
        before = place.version
        version, fresh = place.rotate(number)
        until(f"every session has version {version}",
              lambda: all(fresh.sha256 in {digest for digest, _ in caller.seen.copy().values()}
                          for caller in house.callers) or house.trouble(), 60)
        house.none_failed(f"rotation {number} of the processes")
        used.add(fresh.sha256)
        until(f"version {before} is retired", lambda: not place.stands(before, "active", "draining"), 60, 0.2)
    for caller in house.callers:
        demand(used == {digest for digest, _ in caller.seen.values()}, "a session missed a version")
    return len(used)


def refuse_bad_ones(house, count):
    """The store's watch meets a version that the server refuses: one attempt, and nobody's call."""
    place, attempts = house.places["watched"], 0
    for number in range(count):
        mark, sent = house.upstream.log.mark(), house.loads["watched"].sent
        version, bad = place.put(f"bad {number}", good=False)
        until(f"bad version {version} is refused", lambda: place.stands(version, "refused"), 30)
        until("calls go on", lambda: house.loads["watched"].sent > sent + 2 * CONNECTIONS or house.trouble(), 30)
        lines = seen_upstream(house, mark, bad)
        demand(len(lines) <= 1 and not any(line["authorized"] for line in lines),
               f"bad version {version}: {len(lines)} attempts at the server")
        attempts += len(lines)
        demand(place.stands(place.version, "active"), f"bad version {version}: the previous one is not active")
        house.none_failed(f"bad version {version}")
        # A mount keeps ten versions of a path by default: what goes on must still be among them.
        if number % 5 == 4 or number == count - 1:
            recover(house, place)
    demand(attempts == count, f"{attempts} of {count} bad versions were tried")
    return attempts


def recover(house, place):
    """A good version after bad ones is taken over and used."""
    mark = house.upstream.log.mark()
    place.version, good = place.put("good again")
    until("the good one after them is taken over", lambda: place.stands(place.version, "active"), 30)
    until("it is used", lambda: seen_upstream(house, mark, good) or house.trouble(), 30)
    house.none_failed("good again")


def refuse_unwatched_ones(house, count):
    """Without a watch a call meets the bad version first: that one at most fails, and then all go back."""
    place, load, attempts = house.places["plain"], house.loads["plain"], 0
    for number in range(count):
        mark, failed = house.upstream.log.mark(), load.refused + load.broken
        version, bad = place.put(f"bad {number}", good=False)
        until(f"bad version {version} is refused", lambda: place.stands(version, "refused"), 30)
        sent = load.sent
        until("calls go on", lambda: load.sent > sent + 4 * CONNECTIONS, 30)
        lines, lost = seen_upstream(house, mark, bad), load.refused + load.broken - failed
        demand(len(lines) <= 1 and lost <= 1, f"bad version {version}: {len(lines)} attempts, {lost} calls failed")
        attempts += len(lines)
        mark = house.upstream.log.mark()
        version, good = place.put(f"good {number}")
        house.gateway.cli("binding", "rotate", "dev/plain")
        until("the good one is used", lambda: seen_upstream(house, mark, good), 30)
    return attempts, load.refused + load.broken


def none_after_retired(house):
    """The server's own log: no value arrived after its version was written down as retired."""
    last, judged = {}, 0
    for line in house.upstream.log.all():
        last[line["credential_sha256"]] = max(line["arrival_micros"], last.get(line["credential_sha256"], 0))
    for event in house.gateway.events():
        place = house.places.get((event.get("object") or {}).get("name"))
        if event["kind"] != "version_retired" or place is None or place.name == "rotating":
            continue
        value = place.values.get(event["secret_version"])
        if value is None or value.sha256 not in last:
            continue
        judged += 1
        retired = datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp() * 1e6
        demand(last[value.sha256] <= retired, f"{value.name} arrived {(last[value.sha256] - retired) / 1e6:.3f} s "
                                              "after it was retired")
    return judged


def judge(stage):
    house = House(stage)
    rotations, of_processes, bad, unwatched = QUICK if stage.quick else (ROTATIONS, OF_PROCESSES, BAD, BAD_UNWATCHED)
    try:
        house.begin()
        rotate_over_http(house, rotations)
        used = rotate_processes(house, of_processes)
        attempts = refuse_bad_ones(house, bad)
        house.none_failed("the watched ones")
        tried, lost = refuse_unwatched_ones(house, unwatched)
    finally:
        house.end()
    watched = house.loads["watched"]
    demand(watched.refused + watched.broken == 0, f"{watched.failures[:3]}")
    retired = none_after_retired(house)
    demand(retired >= rotations // 2, f"only {retired} versions were seen to be retired")
    house.gateway.keep_metrics()
    house.gateway.stop()
    calls = sum(caller.calls for caller in house.callers)
    return (f"0 of {watched.succeeded} writing calls and 0 of {calls} calls of processes failed over "
            f"{rotations} + {of_processes} rotations ({', '.join(WAYS)}), {used} versions in every process's session, "
            f"{retired} retired versions never seen again; {bad} bad versions: {attempts} attempts, all of them the "
            f"probe's, 0 calls failed; {unwatched} bad ones unwatched: {tried} attempts, {lost} calls failed")


CLAIMS = (
    Claim("rotation-200", "rotating by command, by reference and by the store's own versions fails no call, over HTTP "
                          "and over processes; a bad new version is refused with at most the probing call failing, and "
                          "nothing uses a version once it is retired", judge),
)
