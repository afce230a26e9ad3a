"""The whole gateway on AWS Secrets Manager and Parameter Store, as moto plays them with signatures judged."""

from ..claim import Claim, demand
from ..credential import random_text
from ..gateway import Gateway, call, succeeded
from ..manifests import basic, binding, configuration
from ..moto import REGION, Moto
from ..upstreams import Workshop

PLACES = {"triage-bot": ("aws", "team/triage"), "steady-bot": ("ssm", "team/steady")}
KINDS = {"aws": "aws_secrets_manager", "ssm": "aws_parameter_store"}


class Estate:
    """A gateway with both stores and a binding on each."""

    def __init__(self, stage):
        self.stage, self.moto, self.upstream = stage, Moto(stage), Workshop(stage, "aws")
        identity = stage.mint.also("web identity", random_text(60))
        (folder := stage.folder / "tokens").mkdir(exist_ok=True)
        file = stage.private(folder / "web-identity", identity)
        login = f'role_arn: "{self.moto.role("gateway")}", token_file: {file}, sts_endpoint: "{self.moto.url}"'
        entries = "".join(
            f"  {name}: {{ kind: {kind}, region: {REGION}, endpoint: \"{self.moto.url}\", "
            f"auth: {{ web_identity: {{ {login} }} }}, environments: [dev] }}\n" for name, kind in KINDS.items())
        text = configuration(stage, ["issues"]).replace("stores:\n", f"stores:\n{entries}")
        self.gateway = Gateway(stage, "aws", text)
        self.current = {agent: self.put(agent, "first")[0] for agent in PLACES}
        self.gateway.start().log_in()
        self.gateway.apply(basic(stage, self.upstream, [
            binding(agent, self.reference(agent), agent) for agent in PLACES]))
        self.door = self.gateway.door("dev", "issues")
        self.tokens = {agent: stage.issuer.agent(agent, self.door) for agent in PLACES}

    def reference(self, agent, selector=""):
        store, path = PLACES[agent]
        return f"{store}://{path}#token{selector}"

    def put(self, agent, name):
        """A new version of the agent's secret; the value and the store's name for it."""
        store, path = PLACES[agent]
        fresh = self.stage.mint.make(f"{agent} {name}")
        self.upstream.accept(fresh)
        version = self.moto.secret(path, fresh) if store == "aws" else self.moto.parameter(f"/{path}", fresh)
        return fresh, version

    def rotate(self, agent, selector=""):
        done = self.gateway.cli("binding", "rotate", f"dev/{agent}", "--to", self.reference(agent, selector))
        demand(done.get("outcome") in ("switched", "refreshed"), f"{agent}: {str(done)[:300]}")
        return done["version"]

    def arrives(self, agent, credential):
        """A call of the agent brings this value upstream, and no other."""
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.door, self.tokens[agent], "echo", {"text": "hello"})
        demand(succeeded(answer), f"{agent}: {answer.status} {answer.text[:300]}")
        seen = {line["credential_sha256"] for line in self.upstream.log.since(mark) if line["authorized"]}
        demand(seen == {credential.sha256}, f"{agent}: another value arrived, or none")


def judge(stage):
    estate = Estate(stage)
    for agent, credential in estate.current.items():
        estate.arrives(agent, credential)
    # Both sessions are there: from here on every signature is recomputed.
    estate.moto.judge(True)
    judged = 0
    for agent, first in estate.current.items():
        estate.moto.judge(False)
        second, version = estate.put(agent, "second")
        estate.moto.judge(True)
        demand(estate.rotate(agent) == version, f"{agent}: not rotated to the store's newest version")
        estate.arrives(agent, second)
        back = "?stage=AWSPREVIOUS" if PLACES[agent][0] == "aws" else "?version=1"
        estate.rotate(agent, back)
        estate.arrives(agent, first)
        judged += 2
    code, said = estate.gateway.try_cli("secret", "check", estate.reference("triage-bot"), "--environment", "dev")[:2]
    demand(code == 0 and stage.mint.mark not in said, f"secret check: {code} {said[:300]}")
    estate.gateway.keep_metrics()
    estate.gateway.stop()
    return (f"{len(PLACES)} stores, web identity at each, {judged} rotations with signatures recomputed by botocore's "
            f"code: a new version, and back by stage and by number; the upstream saw each value when it was current")


CLAIMS = (
    Claim("aws", "secrets of AWS Secrets Manager and Parameter Store are brokered and rotated, with an identity of the "
                 "platform and no key of the gateway's own", judge),
)
