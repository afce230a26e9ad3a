"""The command: chooses claims, judges them one by one, prints the table."""

import argparse
import importlib
import json
import signal
import sys
from pathlib import Path

from . import parts, table
from .claim import judge
from .stage import Stage

TOPICS = ("spine", "transparency", "modes", "stores", "catalogue")
SABOTAGE = {
    "leak": "canary", "revoke": "revocation", "audit": "kill9", "session": "conformance-server-2025-11-25",
    "rotation": "rotation", "replica": "replicas", "grant": "grants", "receipt": "receipts", "sink": "chaos",
    "acknowledgement": "chaos", "review": "reviews", "document": "revocation-crash", "tag": "editors",
    "left": "adopt-write",
}


def arguments(argv):
    parser = argparse.ArgumentParser(prog="scripts/prove", description="Judges the claims of the README.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(TOPICS)}; all where absent")
    parser.add_argument("--only", action="append", metavar="CLAIM", help="judge this claim; may be repeated")
    parser.add_argument("--quick", action="store_true", help="leave out the bench, and repeat less")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the verdicts to this file")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGE), help="break one thing: its claim must fail")
    parser.add_argument("--seed", type=int, metavar="N", help="the claim chaos: play this schedule again")
    parser.add_argument("--seconds", type=int, metavar="N", help="the claim chaos: for so long (120, with --quick 30)")
    parser.add_argument("--keep", action="store_true", help="leave the run's folder for looking into")
    parser.add_argument("--no-install", action="store_true", help="use the parts as they are")
    given = parser.parse_args(argv)
    unknown = [topic for topic in given.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"no such topic: {', '.join(unknown)}")
    return given


def chosen(given):
    claims = []
    for topic in given.topics or TOPICS:
        claims += importlib.import_module(f"proof.{topic}").CLAIMS
    if given.only:
        unknown = set(given.only) - {claim.name for claim in claims}
        if unknown:
            raise SystemExit(f"no such claim: {', '.join(sorted(unknown))}")
        return [claim for claim in claims if claim.name in given.only]
    return [claim for claim in claims if not (given.quick and claim.slow)]


def end_on_signal(*_):
    raise SystemExit(130)


def main(argv):
    given = arguments(argv)
    claims = chosen(given)
    if not given.no_install:
        parts.install()
    program = parts.gateway()
    for interruption in (signal.SIGTERM, signal.SIGINT):
        signal.signal(interruption, end_on_signal)
    stage = Stage(program, given.quick, given.sabotage, given.seed, given.seconds)
    verdicts = []
    try:
        for claim in claims:
            print(f"==> {claim.name}", file=sys.stderr, flush=True)
            verdict = judge(claim, stage)
            print(table.line(verdict), file=sys.stderr, flush=True)
            verdicts.append(verdict)
    finally:
        stage.end(given.keep)
        if given.keep:
            print(f"kept: {stage.folder}", file=sys.stderr)
    print(table.render(verdicts))
    if given.json:
        given.json.write_text(json.dumps([verdict.record() for verdict in verdicts], indent=1) + "\n")
    failed = sum(not verdict.ok for verdict in verdicts)
    print(f"{len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed or not verdicts else 0
