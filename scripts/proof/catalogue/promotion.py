"""Promotion from dev to staging to production: nothing of the source crosses over, and four eyes hold at the target."""

import json

from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..manifests import agent, binding, configuration, policy, server, together
from ..upstreams import Workshop

ENVIRONMENTS = ("dev", "staging", "production")
OPERATORS = """  issuers:
    - issuer: {issuer}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: approver, group: approvers }}
"""


def store(stage, environment):
    """A store of one environment, in the same OpenBao."""
    return f"""  bao-{environment}:
    kind: vault
    address: {stage.openbao.address}
    auth: {{ approle: {{ role_id: mcp-gateway, secret_id_file: {stage.openbao.secret_id_file} }} }}
    environments: [{environment}]
    paths:
      - {{ prefix: kv/{environment}/, owners: [support] }}
"""


class Line:
    """Three environments, each with an upstream and a credential of its own; only dev has manifests."""

    def __init__(self, stage):
        self.stage = stage
        self.upstreams = {name: Workshop(stage, f"promotion-{name}") for name in ENVIRONMENTS}
        for name, upstream in self.upstreams.items():
            credential = stage.mint.make(f"promotion {name}")
            upstream.accept(credential)
            stage.openbao.put(f"kv/{name}/notes", credential)
        text = configuration(stage, ["issues"], ENVIRONMENTS, durability="fsync",
                             paths="".join(store(stage, name) for name in ENVIRONMENTS),
                             operators=OPERATORS.format(issuer=stage.issuer.url))
        text = text.replace("    environments: [dev, staging, production]\n", "    environments: [dev]\n", 1)
        self.gateway = Gateway(stage, "promotion", text).start().log_in()
        self.bob = stage.issuer.person("bob", self.gateway.control)
        boundaries = "".join(f"kind: Environment\nname: {name}\ntier: {name}\napprovals: {int(name != 'dev')}\n---\n"
                             for name in ENVIRONMENTS)
        written = self.gateway.apply(boundaries + together(
            agent(stage, "triage-bot", ", ".join(ENVIRONMENTS)), server(self.upstreams["dev"].url), policy(),
            binding("notes", self.place("dev"), "triage-bot"),
        ), expect=(0, 3))
        self.sign(written["objects"])

    def place(self, environment):
        return f"bao-{environment}://kv/{environment}/notes#token"

    def sign(self, objects):
        for one in objects:
            if one["missing"]:
                self.gateway.cli("object", "approve", one["object"], "--revision", str(one["revision"]), token_file=self.bob)

    def map(self, name, references, routes):
        file = self.gateway.folder / f"{name}.yaml"
        file.write_text(json.dumps({"references": references, "routes": routes}, indent=1))
        return file

    def mapped(self, before, after):
        return self.map(f"{before}-{after}", {self.place(before): self.place(after)},
                        {self.upstreams[before].url: self.upstreams[after].url})

    def refused(self, before, after, *more):
        code, out, err = self.gateway.try_cli("promote", "--from", before, "--to", after, *more)
        demand(code == 1, f"{before} to {after} {more}: ended with {code}: {(out + err)[-400:]}")
        told = json.loads(out or err)["error"]
        return {finding["code"]: finding for finding in told["findings"]} or {told["code"]: {}}

    def serves(self, environment):
        """Whether a call gets through there; it may be seen by that environment's own upstream alone."""
        marks = {name: upstream.log.mark() for name, upstream in self.upstreams.items()}
        door = self.gateway.door(environment, "issues")
        ok = succeeded(call(self.stage, door, self.stage.issuer.agent("triage-bot", door), "whoami"))
        seen = [name for name, upstream in self.upstreams.items() if upstream.log.since(marks[name])]
        demand(seen in ([], [environment]), f"a call to {environment} was seen in {seen}")
        return ok and seen == [environment]

    def standing(self, environment):
        # `export` of one environment; agents that enter it are not of it alone.
        told = self.gateway.cli("export", "--environment", environment)
        return [f"{one['kind']}/{one['name']}" for one in told if one.get("environment") == environment]


def judge(stage):
    line = Line(stage)
    demand(line.serves("dev"), "dev does not serve, so there is nothing to promote")
    refusals = crossing(line)
    for before, after in (("dev", "staging"), ("staging", "production")):
        step(line, before, after)
    return (f"{refusals} ways of crossing over refused with nothing written; dev, staging and production each serve at "
            f"their own upstream with their own credential, and each step waited for another person's signature")


def crossing(line):
    """Whatever names a place of the source is refused, with the object or the line."""
    bare = line.refused("dev", "staging")
    demand({"promotion.reference", "promotion.route"} <= set(bare), f"without a map: {sorted(bare)}")
    demand(bare["promotion.reference"]["place"] == "Binding/dev/notes", f"without a map: {bare}")
    source = line.place("dev")
    routes = {line.upstreams["dev"].url: line.upstreams["staging"].url}
    same = line.refused("dev", "staging", "--map", line.map("same", {source: source}, routes))
    demand("same.yaml:" in same["promotion.reference"]["place"], f"the source's own store: {same}")
    other = line.refused("dev", "staging", "--map", line.map("other", {source: line.place("production")}, routes))
    demand("promotion.reference" in other, f"a store of another environment: {sorted(other)}")
    twice = line.map("twice", {source: line.place("staging")}, {line.upstreams["dev"].url: line.upstreams["dev"].url})
    demand("promotion.route" in line.refused("dev", "staging", "--map", twice), "the source's own server")
    skipped = line.refused("dev", "production", "--map", line.mapped("dev", "production"))
    demand("promotion.order" in skipped, f"a step skipped: {sorted(skipped)}")
    file = line.gateway.folder / "dev.yaml"
    file.write_text(json_to_yaml(line.gateway.cli("export", "--environment", "dev")))
    placed = line.refused("dev", "staging", "--source", file)
    demand("dev.yaml:" in placed["promotion.reference"]["place"], f"the place in a file: {placed}")
    for name in ("staging", "production"):
        demand(line.standing(name) == [], f"a refused promotion left {line.standing(name)} in {name}")
    return 6


def json_to_yaml(objects):
    """JSON is YAML; one object a line, so that each has its own."""
    return "".join(f"---\n{json.dumps(one, indent=1)}\n" for one in objects)


def step(line, before, after):
    """Looks, writes, applies, is not served, is signed, is served."""
    options = ("promote", "--from", before, "--to", after, "--map", line.mapped(before, after))
    file = line.gateway.folder / f"promoted-{after}.yaml"
    told = line.gateway.cli(*options, "--write", file)
    demand(line.standing(after) == [], f"looking wrote {line.standing(after)} into {after}")
    gains = told["effect"]["access"]["gains"]
    demand(any(row.get("agent") == "triage-bot" for row in gains), f"the effect names nobody: {told['effect']}")
    body = "\n".join(text for text in file.read_text().splitlines() if not text.startswith("#"))
    demand(f"bao-{before}" not in body and line.place(after) in body, f"the manifests for {after}:\n{body}")
    applied = line.gateway.cli(*options, "--apply", expect=(3,))
    demand(all(one["missing"] for one in applied["objects"]), f"something needs no signature in {after}: {applied}")
    demand(not line.serves(after), f"{after} serves before anybody signed")
    code, out, err = line.gateway.try_cli("binding", "approve", f"{after}/notes", "--revision", "1")
    demand(code == 1 and "approval.own_work" in out + err, f"the author signs: {code} {(out + err)[-300:]}")
    line.sign(applied["objects"])
    demand(line.serves(after), f"{after} does not serve after the signatures")
    demand(line.serves(before), f"{before} does not serve any more")


CLAIMS = (
    Claim("promotion", "what decides in one environment is promoted to the next only with references, routes and signatures "
                       "of the next; whatever would cross over is refused", judge),
)
