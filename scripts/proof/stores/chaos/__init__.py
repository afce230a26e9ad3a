"""Everything goes wrong at once, under load: no call without its intent, no secret outside, no sink event lost, the chain
verified, every refusal with its code."""

import random
import sys

from ... import parts
from ...claim import Claim, demand
from ...gateway import call, succeeded
from ...processes import until
from ...session import Session
from ...transparency import processes
from . import faults, schedule, verdict
from .callers import Crowd, Tally, error_table
from .house import PROCESS, House
from .revoker import Revoker

SECONDS, QUICK_SECONDS = 120, 30
# Each fault happens once in so many seconds on average, and at least once.
EVERY_SECONDS = 40
# What somebody must have been told in a run of a minute or more, and because of what.
FELT = {
    "store.unavailable": "the store's faults", "upstream.unreachable": "the upstream's resets",
    "audit.unavailable": "full disks", "token.expired": "clocks two hours ahead", "state.stale": "a state that slept",
}


def judge(stage):
    seconds = stage.seconds or (QUICK_SECONDS if stage.quick else SECONDS)
    seed = stage.seed if stage.seed is not None else random.randrange(1 << 32)
    # Said at once: a run that fails must be played again.
    print(f"chaos: --seed {seed} --seconds {seconds}", file=sys.stderr, flush=True)
    house = House(stage, seed)
    try:
        figures = judged(stage, house, seed, seconds)
    finally:
        house.end()
    return f"seed {seed}: {figures}; {verdict.swept(stage)}"


def judged(stage, house, seed, seconds):
    house.begin()
    tally = Tally(stage, error_table(parts.ROOT / "docs" / "errors.md"))
    probes = [one for station in house.stations for one in probes_of(house, station)]
    verdict.recovered(probes)
    moments = schedule.draw(faults.every(house, processes.below), seed, seconds, max(1, seconds // EVERY_SECONDS))
    stage.note("chaos-schedule", "\n".join(map(repr, moments)))
    crowd, play = Crowd(house, tally).start(), schedule.Play(moments, seconds)
    revoker = Revoker(house, seed).start()
    play.run()
    took = verdict.recovered(probes)
    demand(crowd.stop() and revoker.stop(), "callers hang")
    wrong(tally)
    if seconds >= 60:
        felt(tally)
    memory, handles = verdict.bounded(house.stations)
    return "; ".join((
        f"{seconds} s, {crowd.size} callers, {tally.sent} calls: {said(tally.succeeded)} served, "
        f"refused {listed(tally.refused)}, {len(tally.cut)} answers cut with their reason in the evidence, "
        f"{said(tally.excused)} broken by a death",
        f"{said(play.counted)} faults, up to {schedule.most_at_once(moments)} at once: {listed(play.counted)}",
        settled(house, tally),
        revoker.judge(house.workshop.log.all(), house.upstream.sent),
        f"all callers served {took:.1f} s after the last fault; at most {memory} MiB and {handles} open files",
    ))


def settled(house, tally):
    """Stops the gateways, starts them once more so that the last records leave too, and judges what is written."""
    for station in house.stations:
        station.gateway.keep_metrics()
        demand(station.end() == 0, f"{station.name} did not end well: {station.gateway.child.tail()[-300:]}")
    for station in house.stations:
        station.gateway.start()
    until("the sinks have everything", lambda: all(behind(station) == 0 for station in house.stations),
          verdict.SINK_SECONDS, 0.5)
    until("syslog has everything", lambda: not unlogged(house), verdict.SINK_SECONDS, 0.5)
    # What is written now is not delivered any more: the sinks are judged up to here.
    for station in house.stations:
        station.gateway.kill()
    verdict.asked_for(house.stations)
    seen, intents, chains = verdict.evidence(house, tally)
    records = doubles = 0
    for station in house.stations:
        arrived, twice = verdict.delivered(station, chains[station.name])
        records, doubles = records + arrived, doubles + twice
    told, again, torn = verdict.logged(house, chains[house.alone.name])
    return (f"{seen} calls seen upstream, each with its intent ({intents}); {len(chains)} chains verified against their sinks, "
            f"which have all {records} records ({doubles} came again); syslog has all {told} of one ({again} came again, "
            f"{torn} torn by its deaths)")


def behind(station):
    """How many records of the chain the sink has not yet."""
    chain = verdict.Chain(station)
    return len(chain.lines) - len(verdict.Taken(station.receiver.lines()).records)


def unlogged(house):
    """The records of the chain that syslog has not yet."""
    got = {number for _, number, _ in house.syslog.chain_lines()[0]}
    return [seq for seq in verdict.Chain(house.alone).lines if seq not in got]


def probes_of(house, station):
    """(name, whether it is served now) for each way to be served there."""
    def over_http():
        return succeeded(call(house.stage, house.door(station), house.token(station), "echo", {"text": "back"}))

    def over_session(server_name, tool):
        session = Session(house.stage, house.door(station, server_name), house.token(station, server_name), "chaos-sessions")
        opened = session.try_open()
        reply = session.call(tool, {"text": "back"}) if session.id else opened
        if session.id:
            session.end()
        return bool(reply.result)

    def safely(probe, *given):
        try:
            return probe(*given)
        except (OSError, ValueError):
            return False

    found = [(f"a call at {station.name}", lambda: safely(over_http)),
             (f"a session at {station.name}", lambda: safely(over_session, "issues", "echo"))]
    if station is house.alone:
        found.append(("a session with a process", lambda: safely(over_session, PROCESS, "whoami")))
    return found


def wrong(tally):
    tally.judge_breaks()
    demand(not tally.wrong, f"{len(tally.wrong)} answers are not as they should be: {tally.wrong[:4]}")
    served, sent = sum(tally.succeeded.values()), tally.sent
    demand(served > sent // 10, f"only {served} of {sent} calls were served: the chaos left nothing to judge")


def felt(tally):
    """In a run that is long enough each kind of trouble has been felt: what was not cannot have been withstood."""
    for code, why in FELT.items():
        demand(tally.refused[code], f"nobody was ever told {code}, in spite of {why}")
    demand(tally.excused, "no connection broke, in spite of kill -9")


def said(counter):
    return sum(counter.values())


def listed(counter):
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


CLAIMS = (
    Claim("chaos", "store, upstream, state, issuer and sinks fail, disks fill, clocks jump and gateways are killed, at random and "
                   "at the same time, under load: no call without its intent, no secret outside, no sink event lost, chain "
                   "verified, every refusal with its code, and all callers served again by themselves", judge),
)
