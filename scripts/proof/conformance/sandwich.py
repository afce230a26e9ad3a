"""The client leg as a sandwich: suite's server, gateway, client; against the same client without the gateway.

The suite starts a server for each scenario and gives its URL to a command. Ours registers that URL at a running
gateway and then visits the gateway's door instead.
"""

import json
import sys

from ..claim import demand
from ..processes import until
from . import brokered, sandwich_step, suite
from .compare import Comparison
from .programs import program

# The suite plays the authorization server there, and a client must find it: behind a gateway that is the
# gateway's own business.
NOT_THROUGH = "auth/"


class Scenarios(suite.Requirements):
    """What a revision asks of clients, without authorization."""

    def __init__(self, revision):
        super().__init__(revision, "client")
        self.required = [name for name in self.required if not name.startswith(NOT_THROUGH)]
        self.unscored = [name for name in self.unscored if not name.startswith(NOT_THROUGH)]


def compare(stage, revision):
    suite.install()
    scenarios = Scenarios(revision)
    client = program("conformance-client")
    direct = suite.client(stage, "client-direct", str(client), revision, scenarios.all())
    name = f"sandwich-{revision}"
    credential = stage.mint.make(name)
    stage.openbao.put("kv/conformance/triage-bot", credential)
    servers = [sandwich_step.server_name(scenario) for scenario in scenarios.all()]
    gateway = brokered.gateway(stage, name, servers)
    tokens = {server: str(stage.private(stage.issuer.folder / f"{name}-{server}.token",
                                        stage.issuer.agent(brokered.AGENT, gateway.door("dev", server))))
              for server in servers}
    settings = stage.folder / f"{name}.json"
    settings.write_text(json.dumps({
        "control": gateway.control, "operator_token_file": str(gateway.token_file), "public_url": gateway.public_url,
        "client": str(client), "tokens": tokens,
    }))
    step = f"{sys.executable} {sandwich_step.__file__} {settings}"
    through = suite.client(stage, "client-through", step, revision, scenarios.all())
    outcomes = brokered_calls(gateway)
    gateway.keep_metrics()
    gateway.stop()
    return Comparison("client", revision, scenarios, direct, through), outcomes


def brokered_calls(gateway):
    """How many requests the gateway recorded as intended with a binding: the visits went through it."""
    found = until("the evidence is on disk", lambda: [
        event for event in gateway.events() if event["kind"] == "intent"])
    return len(found)


def judge(revision):
    """The judge of the claim about one revision."""
    def judged(stage):
        comparison, calls = compare(stage, revision)
        stage.keep("conformance", "\n".join(comparison.rows()))
        demand(calls, f"client {revision}: the gateway recorded no intent")
        return f"{comparison.judge()}; {calls} intents in the gateway's evidence"
    return judged
