"""Database accounts that OpenBao makes, brokered with name and password to a server that logs in with them: renewed
under running calls, replaced at their longest life, gone from PostgreSQL at the answer to a revocation."""

import json
import time

from .. import parts
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import secret_folder
from ..load import Load
from ..manifests import agent, configuration, environment, policy, server, sourced, together
from ..postgres import Postgres
from ..processes import until
from ..upstreams import Log

CREATE = ("CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",)
DROP = ('DROP ROLE IF EXISTS "{{name}}"',)
AGENTS = {"triage-bot": "notes-triage", "steady-bot": "notes-steady"}
TTL, LONGEST = 9, 24
INJECT = "inject: { basic: { username_from: lease } }"


class DatabaseServer:
    """PyPI mcp's server; who is logged in is what PostgreSQL said."""

    def __init__(self, stage, database):
        self.log = Log(stage.folder / "database-server.jsonl")
        self.seen = secret_folder(stage) / "leased-passwords"
        command = [parts.python(), parts.PYTHON / "database_server.py", "--psql", parts.program("psql"),
                   "--port", str(database.port), "--log", self.log.path, "--seen", self.seen]
        self.url = stage.children.start("database-server", command, reads=True).ready(60) + "/mcp"

    def uses(self, role, mark=0):
        """When each account of the database role was used, in order of first use; and refused logins."""
        lines = self.log.since(mark)
        spans = {}
        for line in lines:
            if line["ok"] and role[:8] in line["user"]:
                first, _ = spans.get(line["user"], (line["at"], 0))
                spans[line["user"]] = (first, line["at"])
        return spans, [line for line in lines if not line["ok"]]


class Estate:
    def __init__(self, stage):
        self.stage = stage
        self.database = Postgres(stage, "postgres-dynamic")
        bao = stage.openbao
        bao.database(self.database, {role: (CREATE, DROP) for role in AGENTS.values()}, f"{TTL}s", f"{LONGEST}s")
        self.upstream = DatabaseServer(stage, self.database)
        self.gateway = Gateway(stage, "dynamic", configuration(stage, ["notes"])).start().log_in()
        whoami = server(self.upstream.url, name="notes")
        leased = [
            sourced(name, f'{{ leased: {{ role: "bao://database/creds/{role}#password" }} }}',
                    f"{{ agents: [{name}] }}", "service_account")
            .replace('inject: { header: Authorization, format: "Bearer {secret}" }', INJECT)
            for name, role in AGENTS.items()]
        demand(all(INJECT in one for one in leased), "the manifests inject no leased user")
        self.gateway.apply(together(
            environment(), policy(), whoami, *[agent(stage, name) for name in AGENTS], *leased))
        self.door = self.gateway.door("dev", "notes")
        self.tokens = {name: stage.issuer.agent(name, self.door) for name in AGENTS}

    def call(self, name):
        return call(self.stage, self.door, self.tokens[name], "whoami")

    def leases(self, role):
        """The leases that OpenBao holds for the role: id -> what it says of each."""
        listed = self.stage.openbao.call("GET", f"sys/leases/lookup/database/creds/{role}?list=true")
        keys = (listed.json().get("data") or {}).get("keys", []) if listed.status == 200 else []
        found = {}
        for key in keys:
            lease = f"database/creds/{role}/{key}"
            answer = self.stage.openbao.call("POST", "sys/leases/lookup", {"lease_id": lease})
            if answer.status == 200:
                found[lease] = answer.json()["data"]
        return found


def first_calls(estate):
    """Each agent under an account of its own; what the server says of it does not reach the agent."""
    accounts = {}
    for name, role in AGENTS.items():
        answer = estate.call(name)
        demand(succeeded(answer), f"{name}: {answer.status} {answer.text[:300]}")
        spans, _ = estate.upstream.uses(role)
        demand(len(spans) == 1, f"{name}: the database knew it as {list(spans)}")
        accounts[name] = next(iter(spans))
        demand(accounts[name] not in answer.text and "the database knows you as" in answer.text,
               f"the account's name came back: {answer.text[:300]}")
    demand(set(accounts.values()) <= estate.database.roles(), f"the database has {estate.database.roles()}")
    card = json.dumps(estate.gateway.cli("binding", "get", "dev/triage-bot"))
    demand("user whom the store makes" in card and accounts["triage-bot"] not in card, "the card does not say so")
    return accounts


def renewed_and_replaced(estate):
    """Calls without a pause, past the first account's time and past its longest life."""
    role, mark = AGENTS["triage-bot"], estate.upstream.log.mark()
    load = Load(estate.door, estate.tokens["triage-bot"], "whoami", workers=2, pause=0.05).start()
    renewals = set()

    def through():
        for lease, told in estate.leases(role).items():
            if told.get("last_renewal"):
                renewals.add((lease, told["last_renewal"]))
        spans, _ = estate.upstream.uses(role, mark)
        return len(spans) >= 2 and spans

    until("a second account serves", through, 3 * LONGEST, 0.5)
    time.sleep(2)
    load.stop()
    spans, refused = estate.upstream.uses(role, mark)
    demand(load.refused + load.broken == 0, f"{load.refused + load.broken} failed: {load.failures[:3]}")
    demand(not refused, f"the database refused {len(refused)} logins")
    first, last = next(iter(spans.values()))
    lived = (last - first) / 1e6
    demand(lived > TTL + 3, f"the first account served for {lived:.1f} s only")
    demand(lived < LONGEST, f"the first account served for {lived:.1f} s, beyond its longest life")
    demand(renewals, "OpenBao tells of no renewal")
    former = next(iter(spans))
    until("the former account is dropped at its end", lambda: former not in estate.database.roles(), LONGEST, 0.3)
    return load.succeeded, lived, len(renewals), len(spans)


def revoked(estate):
    """Under running calls; PostgreSQL is looked at when the answer is there."""
    role, name = AGENTS["triage-bot"], "triage-bot"
    load = Load(estate.door, estate.tokens[name], "whoami", workers=2).start()
    until("calls run", lambda: load.succeeded >= 10, 30)
    held = {one for one in estate.database.roles() if role[:8] in one}
    demand(held, "no account is there to be revoked")
    estate.gateway.cli("binding", "revoke", f"dev/{name}", "--confirm", name)
    answered = time.time_ns() // 1000
    left = held & estate.database.roles()
    time.sleep(1)
    load.stop()
    demand(not left, f"still in pg_roles at the answer: {left}")
    code, rows = estate.database.ask(f"select count(*) from pg_stat_activity where usename like '%{role[:8]}%'")
    demand(code == 0 and rows.strip() == "0", f"sessions are left: {rows}")
    late = [line for line in estate.upstream.log.all() if line["ok"] and role[:8] in line["user"] and line["at"] > answered]
    demand(not late, f"{len(late)} uses after the answer")
    demand(not estate.leases(role), "OpenBao still holds a lease")
    demand(not succeeded(estate.call(name)), "the revoked binding still serves")
    return load.succeeded


def orphaned(estate):
    """A gateway that is killed gives nothing back; the next one does, long before the account's own end."""
    role = AGENTS["steady-bot"]
    demand(succeeded(estate.call("steady-bot")), "the other binding does not serve")
    held = {one for one in estate.database.roles() if role[:8] in one}
    demand(held, "the other binding has no account")
    leases = estate.leases(role)
    estate.gateway.kill()
    demand(held <= estate.database.roles(), "the kill itself took the account back")
    left = min((lease["ttl"] for lease in leases.values()), default=0)
    estate.gateway.start()
    began = time.monotonic()
    until("what the killed gateway left is dropped", lambda: not held & estate.database.roles(), TTL, 0.1)
    took = time.monotonic() - began
    demand(took < left - 2, f"dropped after {took:.1f} s, when {left} s were left to it: by its own end, perhaps")
    told = lambda event: event["kind"] == "credential_returned" and event.get("status") == "ended"
    until("the chain tells of it", lambda: any(told(event) for event in estate.gateway.events()), 10)
    return took


def given_back(estate):
    """What still serves when the gateway stops goes back before it has stopped."""
    role = AGENTS["steady-bot"]
    demand(succeeded(estate.call("steady-bot")), "the other binding does not serve")
    held = {one for one in estate.database.roles() if role[:8] in one}
    demand(held, "the other binding has no account")
    estate.gateway.keep_metrics()
    estate.gateway.stop()
    left = held & estate.database.roles()
    demand(not left, f"still in pg_roles after the gateway's stop: {left}")
    returned = [event for event in estate.gateway.events() if event["kind"] == "credential_returned"]
    demand(returned and returned[-1]["decision"] == "allow", "the chain does not tell of it")


def judge(stage):
    estate = Estate(stage)
    first_calls(estate)
    calls, lived, renewals, accounts = renewed_and_replaced(estate)
    under_revocation = revoked(estate)
    took = orphaned(estate)
    given_back(estate)
    passwords = estate.upstream.seen.read_text().split()
    for password in passwords:
        stage.mint.also("a leased password", password)
    demand(len(passwords) >= 3, f"the server saw {len(passwords)} passwords")
    return (f"{calls} calls without a failure over {accounts} accounts: of {TTL} s each, the first served {lived:.0f} s by "
            f"{renewals} renewals and was replaced at its longest life of {LONGEST} s; after {under_revocation} more calls "
            f"its successor was out of pg_roles at the answer to the revocation; the other agent's {took:.1f} s after the start "
            "that followed a kill -9, and the one after it when the gateway stopped")


CLAIMS = (
    Claim("dynamic-postgres", "OpenBao's PostgreSQL accounts reach a server with name and password and log it in; they are "
                              "renewed under running calls, replaced at their longest life, and dropped from pg_roles by "
                              "the answer to a revocation, by the gateway's stop, and by the next start after a kill", judge),
)
