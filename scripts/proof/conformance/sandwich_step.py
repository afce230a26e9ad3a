"""One scenario of the sandwich: registers the suite's server at the gateway, then runs the client at its door.

    python3 sandwich_step.py SETTINGS URL        (the suite adds the URL, and names the scenario by the environment)
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path


def server_name(scenario):
    """The name under which a scenario's server is registered."""
    return re.sub(r"[^a-z0-9-]", "-", scenario.lower()).replace("_", "-")


def main(settings, url):
    settings = json.loads(Path(settings).read_text())
    server = server_name(os.environ["MCP_CONFORMANCE_SCENARIO"])
    register(settings, server, url)
    door = f"{settings['public_url']}/mcp/dev/{server}"
    command = [settings["client"], "--token-file", settings["tokens"][server], door]
    return subprocess.run(command, check=False).returncode


def register(settings, server, url):
    # Run as a file of its own, it has to say where the package is.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    sys.dont_write_bytecode = True
    from proof import web
    from proof.conformance import brokered

    token = Path(settings["operator_token_file"]).read_text().strip()
    answer = web.request("POST", f"{settings['control']}/v1/apply", {"specs": brokered.server(server, url)},
                         {"Authorization": f"Bearer {token}"})
    if answer.status != 200:
        sys.exit(f"the gateway did not take the server: {answer.status} {answer.text[:300]}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
