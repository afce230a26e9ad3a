"""The command of scripts/conformance: the tables, for people and for CI."""

import argparse
import signal
import sys

from .. import parts
from ..claim import Unproven
from ..stage import Stage
from . import sandwich, server_side, suite

LEGS = {"server": server_side.compare, "client": sandwich.compare}


def arguments(argv):
    parser = argparse.ArgumentParser(prog="scripts/conformance", description="Runs the official MCP conformance suite.")
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"of {', '.join(LEGS)}; both where absent")
    parser.add_argument("--revision", action="append", choices=suite.REVISIONS, help="both where absent")
    parser.add_argument("--keep", action="store_true", help="leave the run's folder for looking into")
    given = parser.parse_args(argv)
    if unknown := set(given.legs) - set(LEGS):
        parser.error(f"no such leg: {', '.join(sorted(unknown))}")
    return given


def end_on_signal(*_):
    raise SystemExit(130)


def main(argv):
    given = arguments(argv)
    parts.install()
    for interruption in (signal.SIGTERM, signal.SIGINT):
        signal.signal(interruption, end_on_signal)
    stage = Stage(parts.gateway(), quick=True)
    failed = 0
    try:
        for leg in given.legs or LEGS:
            for revision in given.revision or suite.REVISIONS:
                failed += not one(stage, leg, revision)
    finally:
        stage.end(given.keep)
        if given.keep:
            print(f"kept: {stage.folder}", file=sys.stderr)
    print("no difference" if not failed else f"{failed} comparisons failed")
    return 1 if failed else 0


def one(stage, leg, revision):
    """Prints one table and its verdict; whether it held."""
    try:
        comparison, _ = LEGS[leg](stage, revision)
        print("\n".join(comparison.rows()))
        print(f"ok    {leg} {revision}: {comparison.judge()}", flush=True)
        return True
    except Unproven as why:
        print(f"FAIL  {leg} {revision}: {why}", flush=True)
        return False
