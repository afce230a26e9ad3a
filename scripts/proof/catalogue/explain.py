"""Who can reach what, and what a policy change would do: each word of it checked by real calls."""

from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..upstreams import Workshop

SERVERS = ("issues", "tracker")
TOOLS = ("echo", "whoami", "list_issues", "add_comment", "delete_everything")
ARGUMENTS = {"echo": {"text": "x"}, "add_comment": {"issue": 1, "text": "x"}}
CLIENTS = ("triage-bot", "steady-bot", "dev-bot")
# Who logs in for each group that a binding or nobody asks for.
PERSONS = {"alice": "editors", "bob": "approvers", "carol": "payments"}
# The tools that no manifest of this world names.
UNNAMED = {"issues": ("list_issues",), "tracker": ("list_issues", "add_comment")}
PLACE = "bao://kv/explain/one#token"


def people(condition):
    return policy(name="people", condition="true").replace("principal has agent && true", f"principal has user && {condition}")


def token_agent():
    return """kind: Agent
name: token-bot
environments: [dev]
owner: support
purpose: proves a claim
risk_ceiling: write
proofs: [agent_token]
"""


def of_group(name, group, server_name, tools):
    return binding(name, PLACE, "x", server_name=server_name, policy_name="people", more=f"tools: [{tools}]\n").replace(
        "actor: { agents: [x] }", f"actor: {{ groups: [{group}] }}")


class World:
    """Four agents, three persons, two servers, five bindings, two policies."""

    def __init__(self, stage):
        self.stage = stage
        self.upstream = Workshop(stage, "explain")
        credential = stage.mint.make("explain")
        self.upstream.accept(credential)
        stage.openbao.put("kv/explain/one", credential)
        self.gateway = Gateway(stage, "explain", configuration(stage, SERVERS)).start().log_in()
        self.gateway.apply(together(
            environment("dev"),
            *(server(self.upstream.url, name=name) for name in SERVERS),
            *(agent(stage, name) for name in CLIENTS), token_agent(),
            policy(), people("context.risk == \"read\""),
            binding("triage", PLACE, "triage-bot"),
            binding("steady", PLACE, "steady-bot", more="tools: [echo]\n"),
            binding("tokens", PLACE, "token-bot", more="tools: [whoami, delete_everything]\n"),
            binding("tracked", PLACE, "steady-bot", server_name="tracker"),
            of_group("editors", "editors", "issues", "echo, add_comment"),
            of_group("approvers", "approvers", "tracker", "echo, whoami"),
        ))
        # Its owner's, like every token that the prover hands out.
        file = self.stage.folder / "tokens" / "explain-token-bot"
        self.gateway.cli("agent", "token", "issue", "token-bot", "--environment", "dev", "--write", file)
        own = stage.mint.also("an agent's token", file.read_text().strip())
        self.tokens = {}
        for name in SERVERS:
            door = self.gateway.door("dev", name)
            for client in CLIENTS:
                self.tokens[("agent", client), name] = stage.issuer.agent(client, door)
            for person, group in PERSONS.items():
                self.tokens[("group", group), name] = stage.issuer.person(person, door).read_text().strip()
            self.tokens[("agent", "token-bot"), name] = own

    def callers(self):
        return sorted({caller for caller, _ in self.tokens})

    def reached(self):
        """The binding under which the upstream saw each call that came back; every caller at every tool."""
        found = {}
        for (caller, name), token in self.tokens.items():
            for tool in TOOLS:
                found[caller, name, tool] = self.knock(caller, name, tool, token)[0]
        return found

    def knock(self, caller, name, tool, token=None):
        token = token or self.tokens[caller, name]
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.gateway.door("dev", name), token, tool, ARGUMENTS.get(tool))
        seen = [line for line in self.upstream.log.since(mark) if line.get("method") == "tools/call"]
        ok = succeeded(answer)
        demand(ok == bool(seen), f"{caller} {name}/{tool}: {answer.status}, and upstream {len(seen)} calls")
        return (seen[0]["binding"].split("@")[0] if ok else None), answer

    def said(self):
        """The binding by which `access who` says that each caller gets through."""
        found = {}
        for name in SERVERS:
            for tool in TOOLS:
                told = self.gateway.cli("access", "who", "--environment", "dev", "--server", name, "--tool", tool)
                for row in told["reaches"]:
                    found[caller_of(row), name, tool] = row["binding"].split("@")[0]
                for row in told["nearly"]:
                    demand(row["change"] or row["because"], f"{row['who']} at {name}/{tool}: no word of what is missing")
        return {key: found.get(key) for key in ((c, s, t) for c in self.callers() for s in SERVERS for t in TOOLS)}

    def said_of_each(self):
        """The same, as `access what` says it of each caller."""
        found = {}
        for caller in self.callers():
            kind, name = caller
            told = self.gateway.cli("access", "what", "--agent" if kind == "agent" else "--user-group", name)
            for row in told["reaches"]:
                for tool in spread(row):
                    found[caller, row["server"], tool] = row["binding"].split("@")[0]
        return {key: found.get(key) for key in ((c, s, t) for c in self.callers() for s in SERVERS for t in TOOLS)}


def caller_of(row):
    return ("agent", row["agent"]) if row.get("agent") else ("group", row.get("group"))


def spread(row):
    """The tools of a row, those that no manifest names among them."""
    return [*row["tools"], *(UNNAMED[row["server"]] if row["every_other"] else ())]


def differ(one, other):
    return sorted(f"{key}: {one[key]} / {other[key]}" for key in one if one[key] != other[key])


def judge(stage):
    world = World(stage)
    before = world.reached()
    demand(any(before.values()) and not all(before.values()), "a world in which all or none get through proves nothing")
    for told, words in ((world.said(), "who"), (world.said_of_each(), "what")):
        demand(told == before, f"`access {words}` and the calls differ: {differ(told, before)[:5]}")
    locked(world)
    gains, losses, calls, untold = foreseen(world, before)
    through = sum(1 for binding_name in before.values() if binding_name)
    return (f"{len(before)} combinations of {len(world.callers())} callers, {len(SERVERS)} servers and {len(TOOLS)} tools: "
            f"{through} said and seen to get through, {len(before) - through} said and seen refused; a policy change over "
            f"{calls} recorded calls: {gains} gains and {losses} losses foreseen, each seen after it was applied; of "
            f"{untold} calls nothing was claimed")


def locked(world):
    """A lock bars whom it stops, in words and in fact."""
    made = world.gateway.api("POST", "/locks", {
        "selector": {"environment": "dev", "agent": "steady-bot"}, "reason": "a proof", "seconds": 600})
    demand(made.status < 300, f"the lock: {made.status} {made.text[:300]}")
    told = world.gateway.cli("access", "who", "--environment", "dev", "--server", "tracker", "--tool", "echo")
    barred = [row for row in told["nearly"] if row.get("agent") == "steady-bot"]
    demand(barred and barred[0]["refusal"] == "lock.active", f"locked: {told}")
    binding_name, answer = world.knock(("agent", "steady-bot"), "tracker", "echo")
    demand(binding_name is None and answer.code() == "lock.active", f"locked: {answer.status} {answer.text[:200]}")
    lifted = world.gateway.api("POST", f"/locks/{made.json()['lock']['id']}/lift")
    demand(lifted.status < 300, f"the end of the lock: {lifted.status} {lifted.text[:300]}")


def foreseen(world, before):
    """What `policy diff` says of candidates, then the candidates in force."""
    text = together(policy(condition="context.risk == \"read\""), people("context.risk != \"destructive\""))
    file = world.gateway.folder / "candidates.yaml"
    file.write_text(text)
    told = world.gateway.cli("policy", "diff", file)
    demand(world.said() == before, "comparing policies changed what decides")
    ahead = told["environments"][0]
    expected = dict(before)
    for field in ("gains", "losses"):
        for row in ahead["access"][field]:
            for tool in spread(row):
                if tool in TOOLS:
                    expected[caller_of(row), row["server"], tool] = row["after"]
    demand(expected != before, "the candidates change nothing: a claim about nothing")
    replay = ahead["replay"]
    demand(replay["calls"] >= len(before) // 2, f"only {replay['calls']} recorded calls were looked at")
    demand(any("groups" in one["because"] for one in replay["unknown"]), f"no word of groups: {replay['unknown']}")
    recorded = {(("agent", row["agent"]), row["server"], row["tool"]) for row in replay["losses"] if row.get("agent")}
    world.gateway.apply(text)
    after = world.reached()
    demand(after == expected, f"foreseen and seen differ: {differ(expected, after)[:5]}")
    lost = {key for key in before if before[key] and not after[key]}
    demand(any(caller[0] == "agent" for caller, _, _ in lost), "no agent lost anything: no refusal to look at")
    for (_, name), server_name, tool in (key for key in lost if key[0][0] == "agent"):
        told = world.gateway.records(kind="refused", agent=name, server=server_name, tool=tool)[0]
        decided = before[("agent", name), server_name, tool]
        demand((told.get("binding") or "").partition("@")[0] == decided and told.get("policy_version"),
               f"refused by the policy of `{decided}`: {told}")
        last = world.gateway.api("GET", f"/bindings/dev/{decided}/health").json().get("last_refusal") or {}
        demand(last.get("code") == "tool.unknown", f"the card of `{decided}` tells {last or 'no refusal'}")
    demand(recorded == lost, f"lost by record {sorted(recorded)}, in fact {sorted(lost)}")
    for row in replay["losses"]:
        for example in row["examples"]:
            demand(world.gateway.records(request_id=example), f"the audit knows no call {example}")
    gained = sum(1 for key in before if after[key] and not before[key])
    return gained, len(lost), replay["calls"], replay["untold"]


CLAIMS = (
    Claim("explain", "whom `access who` and `access what` say to get through does, by that binding, and nobody else; what "
                     "`policy diff` foresees comes to pass when the policies are applied", judge),
)
