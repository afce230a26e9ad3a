"""Runs the pinned suite and reads what it found."""

import json
import os
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .. import parts
from ..claim import demand

REVISIONS = ("2025-11-25", "2026-07-28")
# What the suite itself waits for one scenario, and what a whole leg may take.
SCENARIO_SECONDS, LEG_SECONDS = 30, 300
# Each scenario is a process of the suite's, one of the client's, and one that leads it through the gateway.
CLIENTS_AT_ONCE = 3
STAMPED = re.compile(r"^(?:server-)?(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")


def installed():
    return parts.folder() / "conformance" / "node_modules" / "@modelcontextprotocol" / "conformance"


def install():
    """Idempotent."""
    subprocess.run([parts.ROOT / "scripts" / "parts" / "install", "conformance"], check=True)


class Requirements:
    """What a revision requires of one leg, `server` or `client`, by the suite's own frozen file."""

    def __init__(self, revision, leg):
        self.required, self.unscored = [], []
        section = scenario = None
        # The file is YAML of two shapes only: a list of names, and a list of small maps.
        for line in (installed() / "requirements" / f"{revision}.yaml").read_text().splitlines():
            if re.match(r"^[a-z_]+:", line):
                section = line.partition(":")[0]
            elif match := re.match(r"^  - scenario: (\S+)", line):
                scenario = match[1]
            elif match := re.match(r"^    leg: (\S+)", line):
                if section == "not_scored" and match[1] == leg:
                    self.unscored.append(scenario)
            elif (match := re.match(r"^  - (\S+)$", line)) and section == leg:
                self.required.append(match[1])
        demand(self.required, f"the suite requires nothing of a {leg} for {revision}")

    def all(self):
        return self.required + self.unscored


class Run:
    """What one run of a leg found: each scenario's checks."""

    def __init__(self):
        self.scenarios = {}

    def read(self, folder):
        """Takes in every `checks.json` that the suite left in the folder."""
        for path in sorted(folder.glob("*/checks.json")) + sorted(folder.glob("*/*/checks.json")):
            match = STAMPED.match(str(path.parent.relative_to(folder)))
            demand(match, f"the suite left something unknown: {path.parent.name}")
            demand(match["scenario"] not in self.scenarios, f"{match['scenario']} ran twice")
            self.scenarios[match["scenario"]] = json.loads(path.read_text())
        return self

    def checks(self):
        """How often each (scenario, check, name, status) occurred; the suite's own log lines are no checks."""
        return Counter((scenario, check["id"], check["name"], check["status"])
                       for scenario, checks in self.scenarios.items() for check in checks
                       if check["status"] != "INFO")

    def count(self, status, scenario=None):
        return sum(number for key, number in self.checks().items()
                   if key[3] == status and scenario in (None, key[0]))


def command(*arguments):
    return [parts.program("node"), installed() / "dist" / "index.js", *arguments]


def server(stage, name, url, revision):
    """The server leg of a revision, against an endpoint."""
    folder = fresh(stage, f"{name}-{revision}")
    code, out, err = stage.children.run(
        command("server", "--url", url, "--requirements", revision, "-o", folder), LEG_SECONDS)
    stage.keep(f"conformance-{name}-{revision}", out + err)
    demand("=== SUMMARY ===" in out + err, f"{name}: the suite did not finish ({code}): {(out + err)[-600:]}")
    return Run().read(folder)


def client(stage, name, program, revision, scenarios):
    """Client scenarios of a revision, each with a program that the suite gives the URL of its server."""
    folder = fresh(stage, f"{name}-{revision}")

    def one(scenario):
        arguments = command("client", "--command", program, "--scenario", scenario, "--spec-version", revision,
                            "--timeout", str(SCENARIO_SECONDS * 1000), "-o", folder)
        environment = {**os.environ, "NO_PROXY": "127.0.0.1,localhost"}
        _, out, err = stage.children.run(arguments, SCENARIO_SECONDS * 2, env=environment)
        stage.keep(f"conformance-{name}-{revision}", out + err)

    with ThreadPoolExecutor(CLIENTS_AT_ONCE) as pool:
        list(pool.map(one, scenarios))
    return Run().read(folder)


def fresh(stage, name):
    folder = stage.folder / "conformance" / name
    folder.mkdir(parents=True)
    return folder
