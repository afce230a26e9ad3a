"""An agent's own bounds hold before anybody is asked for a credential, and its end is the end of everything it had."""

from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..load import Load
from ..manifests import binding, configuration, environment, notes, policy, provider, server, sourced, together
from ..processes import until
from ..provider import CLIENT, AuthorizationServer
from ..session import Session
from ..upstreams import OAuthServer, Workshop
from .house import Door
from .minted import owning_agent


class Bounds:
    """Two agents at one server, under one binding whose tokens a provider makes and counts."""

    def __init__(self, stage):
        self.stage = stage
        self.provider = AuthorizationServer(stage, "agent")
        secret = self.provider.client("gateway-agent", CLIENT, access_token_ttl=3600)
        self.provider.start()
        stage.openbao.put("kv/clients/agent", secret)
        self.upstream = OAuthServer(stage, "agent-upstream", self.provider.url)
        self.gateway = Gateway(stage, "agent", configuration(stage, ["notes", "issues"])).start().log_in()
        self.issues = Workshop(stage, "agent")
        credential = stage.mint.make("agent's key")
        self.issues.accept(credential)
        stage.openbao.put("kv/issues/agent", credential)
        client = '{ id: gateway-agent, authentication: { client_secret_basic: { secret: "bao://kv/clients/agent#token" } } }'
        source = (f'{{ client_credentials: {{ provider: notes, scopes: ["notes:read", "notes:write"], '
                  f'resource: "{self.upstream.url}" }} }}')
        self.gateway.apply(together(
            environment(), policy(), notes(self.upstream.url), provider("notes", self.provider.url, client),
            owning_agent(stage, "triage-bot", "whoami, read_notes").replace(
                "tools: [{", "tools: [{ server: issues, tools: [echo] }, {"),
            server(self.issues.url), binding("keyed", "bao://kv/issues/agent#token", "triage-bot"),
            owning_agent(stage, "steady-bot", "whoami, read_notes, write_notes", ceiling="read"),
            sourced("owned", source, "{ agents: [triage-bot] }", "agent_scoped"),
            sourced("owned-read", source, "{ agents: [steady-bot] }", "agent_scoped").replace("risk: write", "risk: read"),
        ))
        self.door = self.gateway.door("dev", "notes")
        self.callers = {name: Door(stage, self.gateway, "notes", stage.issuer.agent(name, self.door), self.upstream)
                        for name in ("triage-bot", "steady-bot")}

    def asked(self):
        return self.provider.count(CLIENT) + self.provider.count(f"{CLIENT}:refused")


def judge(stage):
    bounds = Bounds(stage)
    codes = {}
    for agent, tool in (("triage-bot", "write_notes"), ("steady-bot", "write_notes"), ("triage-bot", "no_such_tool")):
        answer, seen = bounds.callers[agent].call(tool)
        demand(not succeeded(answer) and answer.code() and not seen, f"{agent}, {tool}: {answer.status} {answer.text[:200]}")
        codes[f"{agent} {tool}"] = answer.code()
    demand(bounds.asked() == 0, f"the provider was asked {bounds.asked()} times for calls that were refused")
    bounds.callers["triage-bot"].served("read_notes")
    bounds.callers["steady-bot"].served("read_notes")
    made = bounds.asked()
    demand(made >= 1, "the provider was never asked: its count shows nothing")
    ended = revoked(stage, bounds)
    bounds.gateway.keep_metrics()
    bounds.gateway.stop()
    refused = ", ".join(f"{what} ({code})" for what, code in codes.items())
    return f"refused with 0 requests to the provider: {refused}; then {made} for permitted calls; {ended}"


def revoked(stage, bounds):
    """Revocation under load and with an open session: nothing of the agent's goes on, the other agent does."""
    door, token = bounds.door, bounds.callers["triage-bot"].token
    other = bounds.gateway.door("dev", "issues")
    session = Session(stage, other, stage.issuer.agent("triage-bot", other), "agent-session").open()
    demand(session.call("echo", {"text": "hello"}).result, "the agent's session serves nothing")
    load = Load(door, token, "read_notes", workers=8).start()
    steady = Load(door, bounds.callers["steady-bot"].token, "read_notes", workers=2, pause=0.05).start()
    until("calls flow", lambda: load.succeeded > 20 and steady.succeeded > 2, 30)
    bounds.gateway.cli("agent", "revoke", "triage-bot", "--confirm", "triage-bot")
    mark, before = bounds.upstream.log.mark(), steady.succeeded
    until("the other agent goes on", lambda: steady.succeeded > before + 10, 30)
    late = load.succeeded
    until("the revoked agent is refused", lambda: load.refused > 20, 30)
    load.stop()
    steady.stop()
    demand(steady.refused == 0, f"the other agent was refused: {steady.failures[:2]}")
    # What was under way when the acknowledgement came had ended; the callers may read its answer later.
    demand(load.succeeded - late <= load.workers, f"{load.succeeded - late} calls succeeded afterwards")
    answer = session.call("echo", {"text": "hello"})
    demand(answer.status != 200 or not answer.result, f"the revoked agent's session goes on: {answer}")
    after = call(stage, door, token, "whoami")
    demand(not succeeded(after), "the revoked agent still calls")
    seen = bounds.upstream.calls(mark)
    return (f"revoked among {load.succeeded} calls: then {load.refused} refusals ({after.code()}), its session ended, "
            f"{len(seen)} calls of the other agent went on")


CLAIMS = (
    Claim("agent", "a call outside the agent's tools or above its ceiling is refused before any credential is asked for, "
                   "by the provider's own count; revoking the agent ends its calls and sessions and nobody else's", judge),
)
