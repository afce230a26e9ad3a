"""A database role for each agent, made by OpenBao when a call needs it, and dropped when it must not go on."""

import os

from .. import parts
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..manifests import configuration, environment, policy, server, sourced, together
from ..postgres import Postgres
from ..processes import until
from ..upstreams import Log
from .minted import owning_agent

AGENTS = ("triage-bot", "steady-bot")
CREATE = ("CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",)
DROP = ('DROP ROLE IF EXISTS "{{name}}"',)


class LeaseGate:
    """npm server-everything behind a gate that lets in whoever has a database role."""

    def __init__(self, stage, database):
        everything = stage.children.start("leased-everything", [parts.NPM / "everything.sh", "0"], reads=True)
        self.log = Log(stage.folder / "leased-gate.jsonl")
        command = [parts.python(), parts.PYTHON / "lease_gate.py", "--upstream", everything.ready(60) + "/mcp",
                   "--psql", parts.program("psql"), "--port", str(database.port), "--log", self.log.path]
        environment = {**os.environ, "PGPASSWORD": database.password_file.read_text()}
        self.url = stage.children.start("lease-gate", command, reads=True, env=environment).ready()

    def roles(self, mark):
        return {line["role"] for line in self.log.since(mark) if line["rpc"] == "tools/call"}


def judge(stage):
    database = Postgres(stage, "postgres-leased")
    stage.openbao.database(database, {agent: (CREATE, DROP) for agent in AGENTS})
    upstream = LeaseGate(stage, database)
    gateway = Gateway(stage, "leased", configuration(stage, ["issues"])).start().log_in()
    source = '{ leased: { role: "bao://database/creds/{agent.id}#password" } }'
    gateway.apply(together(
        environment(), policy(), server(upstream.url),
        *[owning_agent(stage, agent, "echo", server="issues") for agent in AGENTS],
        sourced("leased", source, f"{{ agents: [{', '.join(AGENTS)}] }}", "agent_scoped", server_name="issues"),
    ))
    door = gateway.door("dev", "issues")
    tokens = {agent: stage.issuer.agent(agent, door) for agent in AGENTS}
    seen = {}
    for agent in AGENTS:
        mark = upstream.log.mark()
        answer = call(stage, door, tokens[agent], "echo", {"message": "hello"})
        demand(succeeded(answer), f"{agent}: {answer.status} {answer.text[:300]}")
        seen[agent] = upstream.roles(mark)
        demand(len(seen[agent]) == 1 and all(agent[:8] in role for role in seen[agent]),
               f"{agent}: the server knew it as {seen[agent]}")
    made = database.roles()
    demand(set.union(*seen.values()) <= made, f"the database has {made}")
    gateway.cli("agent", "revoke", "triage-bot", "--confirm", "triage-bot")
    gone = seen["triage-bot"]
    until("the revoked agent's role is gone", lambda: not gone & database.roles(), 15, 0.2)
    answer = call(stage, door, tokens["triage-bot"], "echo", {"message": "hello"})
    demand(not succeeded(answer), "the revoked agent still calls")
    mark = upstream.log.mark()
    answer = call(stage, door, tokens["steady-bot"], "echo", {"message": "hello"})
    demand(succeeded(answer) and upstream.roles(mark) == seen["steady-bot"], f"the other agent: {answer.text[:200]}")
    gateway.cli("binding", "revoke", "dev/leased", "--confirm", "leased")
    until("every role is gone", lambda: not (set.union(*seen.values()) & database.roles()), 15, 0.2)
    gateway.keep_metrics()
    gateway.stop()
    return ("each agent under a role of its own; after the agent's revocation its role is gone from PostgreSQL while the "
            "other agent goes on, after the binding's revocation both are")


CLAIMS = (
    Claim("leased", "OpenBao makes a PostgreSQL role for each agent; the server behind knows each by its role, and a role "
                    "is dropped when its agent or its binding is revoked", judge),
)
