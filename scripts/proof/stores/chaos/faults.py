"""What goes wrong, and how it is put right again. Each fault begins and ends; several may hold at once."""

import os
import signal
import threading


class Switch:
    """One thing with several moods; the fault that began last decides, and with none left it is well."""

    def __init__(self, turn, well):
        self._turn, self._well, self._held, self._lock = turn, well, [], threading.Lock()

    def hold(self, key, mood):
        with self._lock:
            self._held.append((key, mood))
            self._turn(mood)

    def release(self, key):
        with self._lock:
            self._held = [one for one in self._held if one[0] != key]
            self._turn(self._held[-1][1] if self._held else self._well)


class Fault:
    """`begin` and `end` take a key that is this occurrence's own; a fault without an end is over at once."""

    def __init__(self, kind, begin, end=None, seconds=(0, 0), where=""):
        self.kind, self.begin, self.end = kind, begin, end or (lambda _: None)
        self.seconds, self.where = seconds, where


def switched(kind, switch, mood, seconds, where=""):
    return Fault(kind, lambda key: switch.hold(key, mood), switch.release, seconds, where)


def asleep(kind, pids, seconds, told=lambda _: None):
    """Processes that are stopped for a while and then go on, as if their machine had hung."""
    stopped = []

    def turn(sleeps):
        told(sleeps)
        if sleeps:
            stopped[:] = pids()
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGSTOP if sleeps else signal.SIGCONT)
            except ProcessLookupError:
                continue

    return switched(kind, Switch(turn, False), True, seconds)


def of_station(station, processes):
    """What happens to one gateway; `processes` says which processes it has started."""
    name = station.name.removeprefix("chaos-")
    disk = Switch(lambda full: station.disk.fill() if full else station.disk.free(), False)
    clock = Switch(station.clock.move, 0)
    line = Switch(station.line.set, "pass")
    busy = Switch(lambda state: setattr(station.receiver, "busy", state), False)
    faults = [
        Fault("kill -9", lambda _: station.kill(), where=name),
        switched("disk full", disk, True, (1.5, 5), name),
        switched("clock +5 min", clock, 300, (2.5, 5), name),
        switched("clock -5 min", clock, -300, (2.5, 5), name),
        switched("clock +2 h", clock, 7200, (2.5, 5), name),
        switched("sink dead", line, "refuse", (2, 8), name),
        switched("sink hangs", line, "hang", (2, 8), name),
        switched("sink's answer lost", line, "cut", (2, 6), name),
        switched("sink busy", busy, True, (2, 6), name),
    ]
    if processes:
        faults.append(Fault("kill -9 of a server's process", lambda _: kill_one(processes)))
    return faults


def kill_one(processes):
    for pid in processes():
        try:
            os.kill(pid, signal.SIGKILL)
            return
        except ProcessLookupError:
            continue


def every(house, below):
    """All faults of the house; `below` lists the processes under one."""
    stage = house.stage
    upstream, store = Switch(house.upstream.set, "pass"), Switch(house.store.set, "pass")
    second, database = house.pair[1].gateway, house.database.child

    def one(child):
        return lambda: [child().pid]

    found = [
        switched("store refuses", store, "refuse", (2, 6)),
        switched("store hangs", store, "hang", (2, 6)),
        switched("store's answer lost", store, "cut", (2, 5)),
        asleep("store asleep", one(lambda: stage.openbao.child), (2, 5)),
        # On a thread of its own, for the store may be asleep.
        Fault("secret changed", lambda _: threading.Thread(target=house.renew, daemon=True).start()),
        switched("upstream resets", upstream, "refuse", (1, 4)),
        switched("upstream hangs", upstream, "hang", (1, 7)),
        switched("upstream's answer cut", upstream, "cut", (1, 5)),
        asleep("state asleep", lambda: [database.pid, *below(database.pid)], (4.5, 7), house.state_asleep.turn),
        asleep("issuer asleep", one(lambda: stage.issuer.child), (2, 5)),
        asleep("replica asleep", one(lambda: second.child), (2, 7)),
    ]
    found.append(Fault("syslog killed", lambda _: house.syslog.kill(), lambda _: house.syslog.start(), (2, 6)))
    found += of_station(house.alone, lambda: below(house.alone.gateway.child.pid))
    for station in house.pair:
        found += of_station(station, None)
    return found
