"""The official suite's scenarios for authorization servers, against the gateway's own."""

import json
import os

from .. import parts
from ..claim import Claim, demand
from ..conformance import suite
from ..processes import free_port
from .facade import Client, redirect_of
from .login import Office

# All that the pinned suite has for authorization servers (`conformance list`), each for both revisions.
SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")
REVISIONS = suite.REVISIONS


def judge(stage):
    office = Office(stage, "authorization-conformance")
    figures = []
    for revision in REVISIONS:
        port = free_port()
        client = Client(stage, office.door, port).registered()
        checks = run(stage, revision, client.issuer, client.id, office.door, port, "alice")
        wrong = [f"{check['id']}: {check['status']} {check.get('errorMessage', '')}" for check in checks
                 if check["status"] != "SUCCESS"]
        demand(not wrong, f"{revision}: {'; '.join(wrong)}")
        figures.append(f"{revision}: {len(checks)} checks of {len(SCENARIOS)} scenarios passed")
    office.gateway.stop()
    return "; ".join(figures)


def run(stage, revision, issuer, client_id, resource, port, person):
    """One run of the suite; the person's browser goes where it asks. All checks that it left."""
    suite.install()
    folder = stage.folder / "conformance" / f"authorization-{revision}"
    folder.mkdir(parents=True)
    command = [parts.program("node"), suite.installed() / "dist" / "index.js", "authorization", "--url", issuer,
               "--client-id", client_id, "--resource", resource, "--port", str(port), "--spec-version", revision,
               "-o", folder, "--verbose"]
    child = stage.children.start(f"authorization-{revision}", command, reads=True,
                                 env={**os.environ, "NO_PROXY": "127.0.0.1", "NO_COLOR": "1"})
    for line in child.process.stdout:
        word = line.decode().strip()
        if word.startswith("http") and "response_type=code" in word:
            stage.browser.walked(person, word, until=redirect_of(word))
    child.process.wait(60)
    checks = [check for file in sorted(folder.rglob("checks.json")) for check in json.loads(file.read_text())]
    ran = {scenario for scenario in SCENARIOS if list(folder.rglob(f"*{scenario}*/checks.json"))}
    demand(ran == set(SCENARIOS), f"{revision}: the suite ran {sorted(ran)}: {child.tail()}")
    return checks


CLAIMS = (
    Claim("authorization-conformance", "the official suite's scenarios for authorization servers pass against the "
                                       "gateway's own, for each revision", judge),
)
