"""Tokens that the gateway signs itself, for a server that trusts its key set and nobody else."""

from ..claim import Claim, demand
from ..gateway import Gateway, call
from ..manifests import configuration, environment, notes, policy, sourced, together
from ..provider import EXCHANGE, AuthorizationServer
from ..upstreams import OAuthServer
from .house import Door

MINTED_SECONDS = 60


def owning_agent(stage, name, tools, owner="support", ceiling="write", server="notes", more=""):
    """An agent that owns tools of a server."""
    return f"""kind: Agent
name: {name}
environments: [dev]
owner: {owner}
purpose: proves a claim
risk_ceiling: {ceiling}
tools: [{{ server: {server}, tools: [{tools}] }}]
proofs:
  - confidential_client: {{ issuer: "{stage.issuer.url}", client_id: {name} }}
{more}"""


def trusting(text, staff, servers=("notes",)):
    """The configuration, with the enterprise's own identity provider beside the run's issuer."""
    audiences = ", ".join(f'{{ value: "http://@LISTEN@/mcp/dev/{server}", environment: dev, servers: [{server}] }}'
                          for server in servers)
    entry = f"    - issuer: {staff.url}\n      groups_claim: groups\n      audiences: [{audiences}]\noperators:\n"
    return text.replace("operators:\n", entry, 1)


def judge(stage):
    staff = AuthorizationServer(stage, "staff", host="127.0.0.2", scopes="mcp:tools", people={"alice": {}})
    staff.public_client()
    secret = staff.client("delegate", EXCHANGE)
    gateway = Gateway(stage, "minted", trusting(configuration(stage, ["notes", "other"]), staff))
    keys = f"{gateway.public_url}/.well-known/jwks/minted.json"
    upstream = OAuthServer(stage, "minted-upstream", gateway.public_url, jwks=keys)
    staff.start()
    staff.trust({staff.url: {}})
    gateway.start().log_in()
    source = f"{{ minted: {{ lifetime_seconds: {MINTED_SECONDS} }} }}"
    wrong = '{ minted: { audience: "https://elsewhere.example/mcp" } }'
    gateway.apply(together(
        environment(), policy(), notes(upstream.url), notes(upstream.url, "other"),
        owning_agent(stage, "triage-bot", "whoami, read_notes",
                     more=f'  - act_subject: {{ issuer: "{staff.url}", subject: delegate }}\n'),
        owning_agent(stage, "steady-bot", "whoami, read_notes, write_notes", owner="research"),
        owning_agent(stage, "dev-bot", "whoami", server="other"),
        sourced("notes-minted", source, "{ agents: [triage-bot, steady-bot] }", "agent_scoped"),
        sourced("other-minted", wrong, "{ agents: [dev-bot] }", "agent_scoped", server_name="other"),
    ))
    doors = {agent: Door(stage, gateway, "notes", stage.issuer.agent(agent, gateway.door("dev", "notes")), upstream)
             for agent in ("triage-bot", "steady-bot")}
    first, second = (doors[agent].served() for agent in ("triage-bot", "steady-bot"))
    for agent, owner, tools, authority in (
        ("triage-bot", "support", {"whoami", "read_notes"}, first),
        ("steady-bot", "research", {"whoami", "read_notes", "write_notes"}, second),
    ):
        demand(authority["agent"] == agent and authority["owner_team"] == owner, f"{agent}: {authority}")
        demand(set(authority["tools"]) <= tools and authority["tools"], f"{agent}: tools {authority['tools']}")
        demand(authority["environment"] == "dev" and authority["aud"] == upstream.url, f"{agent}: {authority}")
        demand(authority["seconds"] <= MINTED_SECONDS, f"{agent}: it holds {authority['seconds']} s")
        demand(authority["sub"] == f"agent:{agent}" and "act" not in authority, f"{agent}: {authority}")
    delegated = staff.acting_for("delegate", secret, staff.person("alice", doors["triage-bot"].url), doors["triage-bot"].url)
    both = Door(stage, gateway, "notes", delegated, upstream).served()
    demand(both["sub"] == f"{staff.url}|alice" and both["act"] == {"sub": "agent:triage-bot"} and
           both["agent"] == "triage-bot", f"an agent that acts for alice: {both}")
    foreign = Door(stage, gateway, "other", stage.issuer.agent("dev-bot", gateway.door("dev", "other")), upstream)
    answer, seen = foreign.call()
    demand(answer.status >= 400 and seen == [] or all(line["status"] == 401 for line in seen),
           f"a token of another audience: {answer.status}, the upstream saw {seen}")
    refused = [line for line in upstream.log.all() if line["status"] == 401]
    demand(refused, "the upstream never refused the token of another audience")
    mark = upstream.log.mark()
    gateway.cli("agent", "revoke", "triage-bot", "--confirm", "triage-bot")
    after = call(stage, doors["triage-bot"].url, doors["triage-bot"].token, "whoami")
    demand(after.status in (401, 403, 404) and not upstream.calls(mark),
           f"after the revocation: {after.status} {after.text[:200]}")
    doors["steady-bot"].served()
    gateway.keep_metrics()
    gateway.stop()
    return (f"verified by the gateway's key set: agent, owner team, tools and environment of 2 agents, and alice with the "
            f"agent that acts for her, at most {first['seconds']} s; another audience: 401 upstream, here {answer.status} {answer.code()}; the revoked "
            f"agent: {after.status} {after.code()}, the other goes on")


CLAIMS = (
    Claim("minted", "an upstream that trusts the gateway's keys verifies tokens that name agent, owner team, tools and who "
                    "acts for whom; a token of another audience and a revoked agent are refused", judge),
)
