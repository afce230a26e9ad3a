"""What must be so after the chaos, from the upstream's log, the chain, the sink and the machine."""

import json
import os
import time

from ...claim import demand
from ...processes import until
from ...spine.canary import excluded
from ...sweep import Sweep
from .receiver import Taken

# After the last fault: until every caller that may be served is, and until the sink has all; its longest wait is longer
# than any fault of the schedule makes it.
RECOVERY_SECONDS, SINK_SECONDS = 30, 90
RSS_MIB, DESCRIPTORS = 768, 512


class Chain:
    """What one gateway's segments say."""

    def __init__(self, station):
        self.station, self.lines = station, {}
        self.intents, self.ends, self.servers = set(), {}, {}
        for segment in sorted(station.gateway.audit.glob("segment-*.jsonl")):
            for line in segment.read_bytes().split(b"\n"):
                if line.startswith(b'{"seq":') and line.endswith(b"}"):
                    self._take(line)

    def _take(self, line):
        record = json.loads(line)
        event = record["event"]
        self.lines[record["seq"]] = line
        request = event.get("request_id")
        if event["kind"] == "intent":
            self.intents.add(request)
            self.servers[event.get("server")] = self.servers.get(event.get("server"), 0) + 1
        elif event["kind"] in ("outcome", "outcome_unknown"):
            self.ends[request] = event


def recovered(probes):
    """Waits until every kind of caller is served again; how long that took."""
    began = time.monotonic()
    for name, probe in probes:
        left = RECOVERY_SECONDS - (time.monotonic() - began)
        until(f"{name} is served again", probe, max(left, 1), 0.1)
    return time.monotonic() - began


def evidence(house, tally):
    """Every call that an upstream saw has its intent; every intent has an end; every cut answer says why."""
    chains = {station.name: Chain(station) for station in house.stations}
    intents = set().union(*(chain.intents for chain in chains.values()))
    seen = house.workshop.log.all()
    demand(all(line["request_id"] for line in seen), "the upstream saw a request without an id")
    unknown = [line["request_id"] for line in seen if line["request_id"] not in intents]
    demand(not unknown, f"{len(unknown)} of {len(seen)} calls seen upstream have no intent: {unknown[:3]}")
    demand(not any(line["name"] == "delete_everything" for line in seen), "a forbidden call reached the upstream")
    good = {credential.sha256 for credential in house.credentials}
    demand({line["credential_sha256"] for line in seen} <= good, "the upstream saw another credential than the store's")
    told = house.process_log.all()
    recorded = chains[house.alone.name].servers.get("trouble", 0)
    demand(len(told) <= recorded, f"processes were called {len(told)} times, and there are {recorded} intents")
    open_ends = [one for chain in chains.values() for one in chain.intents if one not in chain.ends]
    demand(not open_ends, f"{len(open_ends)} intents have no end: {open_ends[:3]}")
    unexplained = [request for station, request in tally.cut
                   if not why(chains[station.name].ends.get(request))]
    demand(not unexplained, f"{len(unexplained)} answers were cut, and the evidence does not say why: {unexplained[:3]}")
    return len(seen) + len(told), len(intents), chains


def why(event):
    """The code that the record of an answer's end carries."""
    return event and (event.get("reason") or event["kind"] == "outcome_unknown")


def delivered(station, chain):
    """The sink has every record of the chain, and no other."""
    taken = Taken(station.receiver.lines())
    if station.stage.sabotage == "sink" and station.name == "chaos-alone":
        del taken.records[max(taken.records) // 2]
    demand(not taken.contradictions, f"{station.name}: the sink has {taken.contradictions} records in two versions")
    missing = [seq for seq in chain.lines if seq not in taken.records]
    demand(not missing, f"{station.name}: the sink lacks {len(missing)} of {len(chain.lines)} records, from {missing[:3]}")
    strange = [seq for seq, line in taken.records.items() if chain.lines.get(seq) != line]
    demand(not strange, f"{station.name}: the sink has {len(strange)} records that the chain has not: {strange[:3]}")
    against = taken.write(station.stage.folder / f"{station.name}-sink-once.jsonl")
    code, told = station.gateway.verify(against=against)
    demand(code == 0, f"{station.name}: the chain does not verify against the sink: {told[-400:]}")
    return len(taken.records), taken.doubles


def logged(house, chain):
    """The syslog receiver, which is killed and says nothing about what it lost, has every record of the chain too."""
    lines, torn = house.syslog.chain_lines()
    got = {number: line for line, number, _ in lines if number is not None}
    missing = [seq for seq in chain.lines if seq not in got]
    demand(not missing, f"syslog lacks {len(missing)} of {len(chain.lines)} records, from {missing[:3]}")
    strange = [seq for seq, line in got.items() if chain.lines.get(seq) != line.encode()]
    demand(not strange, f"syslog has {len(strange)} records that the chain has not: {strange[:3]}")
    return len(got), len(lines) - len(got), torn


def swept(stage):
    """Nothing of any credential in what is left, nor among any process's arguments."""
    sweep = Sweep(stage.mint.needles())
    hits, files, size = sweep.folder(stage.folder, excluded(stage))
    demand(not hits, "; ".join(f"{os.path.relpath(path, stage.folder)} holds {', '.join(names[:3])}"
                               for path, names in hits[:5]))
    shown = [name for line in stage.children.arguments for name in sweep.bytes(line)]
    demand(not shown, f"a process had {', '.join(shown[:3])} among its arguments")
    return f"0 hits in {files} files ({size / 1e6:.0f} MB)"


def bounded(stations):
    """No gateway used more of the machine than it may."""
    memory = max(station.most["rss_mib"] for station in stations)
    handles = max(station.most["fds"] for station in stations)
    demand(memory <= RSS_MIB, f"a gateway used {memory} MiB of memory")
    demand(handles <= DESCRIPTORS, f"a gateway had {handles} open files and connections")
    return memory, handles


def asked_for(stations):
    """Gateways ended by kill -9, and otherwise only where the disk of their evidence was full or their state slept."""
    for station in stations:
        for code, explained, tail in station.unasked:
            demand(explained and code not in (101, 134, -6, -11), f"{station.name} ended by itself with {code}: {tail}")
