"""What an insider would try in production. Every attempt is refused or waits, and leaves evidence."""

import json

from ..claim import demand
from ..gateway import Gateway, call, succeeded
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..processes import until
from ..upstreams import Workshop

OWN, FOREIGN = "bao://kv/issues/release#token", "bao://kv/payments/payout#token"
UNOWNED = "bao://kv/elsewhere/key#token"
PATHS = """    paths:
      - { prefix: kv/issues/, owners: [support] }
      - { prefix: kv/payments/, owners: [payments] }
"""
READS_ONLY = 'context.risk == "read"'
WRITES_TOO = 'context.risk != "destructive"'
DOCUMENTS = ("Environment", "Server", "Agent", "Policy", "Binding")


def roles(stage):
    """Alice writes (and could sign); Bob signs and reads the evidence; Carol answers for payments."""
    return f"""  issuers:
    - issuer: {stage.issuer.url}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: editor, group: editors }}
        - {{ role: approver, group: editors }}
        - {{ role: approver, group: approvers, teams: [support] }}
        - {{ role: auditor, group: approvers }}
        - {{ role: admin, group: payments }}
"""


class Production:
    """A production environment with one approved binding, and the people around it."""

    def __init__(self, stage):
        self.stage = stage
        self.upstream, self.elsewhere = Workshop(stage, "production"), Workshop(stage, "elsewhere")
        self.credential = stage.mint.make("production")
        for one in (self.upstream, self.elsewhere):
            one.accept(self.credential)
        stage.openbao.put("kv/issues/release", self.credential)
        stage.openbao.put("kv/payments/payout", stage.mint.make("payments"))
        text = configuration(stage, ["issues"], ("dev", "production"), durability="fsync", paths=PATHS,
                             operators=roles(stage))
        self.gateway = Gateway(stage, "production", text).start()
        people = {name: stage.issuer.person(name, self.gateway.control) for name in ("alice", "bob", "carol")}
        self.alice, self.bob, self.carol = people["alice"], people["bob"], people["carol"]
        self.door = self.gateway.door("production", "issues")
        self.token = stage.issuer.agent("triage-bot", self.door)
        self.found = []

    def documents(self, route=None, condition=READS_ONLY):
        return together(
            environment("production", "production"),
            server(route or self.upstream.url, environment="production", owner="support"),
            agent(self.stage, "triage-bot", "production"),
            policy("production", condition=condition),
            binding("release", OWN, "triage-bot", "production"),
        )

    def apply(self, text):
        """By Alice; everything that loosens waits (exit code 3)."""
        return self.gateway.apply(text, expect=(0, 3), token_file=self.alice)["objects"]

    def refused(self, text):
        """The code with which Alice's manifest is refused."""
        file = self.gateway.folder / "refused.yaml"
        file.write_text(text)
        code, _, err = self.gateway.try_cli("apply", "-f", file, token_file=self.alice)
        return json.loads(err)["error"]["code"] if code == 1 else f"exit code {code}"

    def approve(self, name, revision, by):
        kind, _, rest = name.partition("/")
        scope, _, own = rest.partition("/") if "/" in rest else ("-", "", rest)
        path = f"/objects/{kind}/{scope}/{own}/approve"
        return self.gateway.api("POST", path, {"revision": revision}, token_file=by)

    def evidence(self, **query):
        """What the auditor finds."""
        return self.gateway.records(token_file=self.bob, **query)

    def attempt(self, name, holds, shown, what):
        demand(holds, f"{name}: {what}")
        demand(shown, f"{name}: no record in the audit")
        self.found.append(f"{name}: {what}")

    def reads(self, tool="whoami", token=None):
        return call(self.stage, self.door, token or self.token, tool)


def judge(stage):
    production = Production(stage)
    establish(production)
    another_path(production)
    repointed_route(production)
    loosened_policy(production)
    development_identity(production)
    production.gateway.keep_metrics()
    production.gateway.stop()
    return "; ".join(production.found) + "; all in the audit"


def establish(production):
    written = production.apply(production.documents())
    waiting = [one for one in written if one["status"] == "pending"]
    # An environment that tightens what was undeclared needs no signature; what it is to hold does.
    kinds = {one["object"].partition("/")[0] for one in waiting}
    demand({"Server", "Agent", "Policy", "Binding"} <= kinds, f"only {sorted(kinds)} wait")
    refused = production.approve("Binding/production/release", 1, production.alice)
    shown = [one for one in production.evidence(kind="operator_refused") if one["reason"] == refused.code()]
    production.attempt("self-approval", (refused.status, refused.code()) == (403, "approval.own_work"), shown,
                       f"{refused.status} {refused.code()}")
    demand(not succeeded(production.reads()), "a pending binding serves")
    waiting.sort(key=lambda one: DOCUMENTS.index(one["object"].partition("/")[0]))
    for one in waiting:
        # Carol, an administrator, signs what belongs to no team.
        by = production.carol if one["object"].partition("/")[0] == "Environment" else production.bob
        answer = production.approve(one["object"], one["revision"], by)
        demand(answer.status == 200, f"approving {one['object']}: {answer.status} {answer.text[:300]}")
    answer = production.reads()
    demand(succeeded(answer), f"the approved binding does not serve: {answer.status} {answer.text[:200]}")


def another_path(production):
    """A binding of the support team that names the payments team's secret."""
    text = binding("payout", FOREIGN, "triage-bot", "production", more="tools: [whoami]\n")
    (one,) = production.apply(text)
    demand(one["status"] == "pending", f"another team's path: {one['status']}")
    answer = production.approve(one["object"], one["revision"], production.bob)
    missing = str(answer.json().get("missing"))
    mark = production.upstream.log.mark()
    demand(succeeded(production.reads()), "the approved binding no longer serves")
    used = {line["binding"].partition("@")[0] for line in production.upstream.log.since(mark)}
    shown = [one for one in production.evidence(kind="object_written")
             if (one.get("object") or {}).get("name") == "payout" and one.get("status") == "pending"]
    holds = answer.status in (202, 403) and used == {"release"} and (answer.status == 403 or "payments" in missing)
    unowned = production.refused(binding("stray", UNOWNED, "triage-bot", "production"))
    shown = shown and [one for one in production.evidence(kind="operator_refused") if one["reason"] == unowned]
    production.attempt("another team's path", holds and unowned == "path.unowned", shown,
                       f"pending, and {answer.status} after the own team's signature; nobody's path: {unowned}")


def repointed_route(production):
    written = production.apply(production.documents(route=production.elsewhere.url))
    route = next(one for one in written if one["object"].startswith("Server/"))
    mark, other = production.upstream.log.mark(), production.elsewhere.log.mark()
    answers = [production.reads() for _ in range(20)]
    arrived, strayed = len(production.upstream.log.since(mark)), len(production.elsewhere.log.since(other))
    shown = [one for one in production.evidence(kind="object_written")
             if (one.get("object") or {}).get("kind") == "Server" and one.get("revision") == route["revision"]]
    holds = route["status"] == "pending" and all(map(succeeded, answers)) and arrived >= 20 and strayed == 0
    production.attempt("re-pointed route", holds, shown,
                       f"{route['status']}, {arrived} calls to the approved address, {strayed} to the new one")


def loosened_policy(production):
    written = production.apply(policy("production", condition=WRITES_TOO))
    rule = next(one for one in written if one["object"].startswith("Policy/"))
    mark = production.upstream.log.mark()
    answer = call(production.stage, production.door, production.token, "add_comment", {"issue": 1, "text": "x"})
    arrived = [line for line in production.upstream.log.since(mark) if line["name"] == "add_comment"]
    shown = [one for one in production.evidence(kind="object_written")
             if (one.get("object") or {}).get("kind") == "Policy" and one.get("revision") == rule["revision"]]
    holds = rule["status"] == "pending" and not succeeded(answer) and not arrived
    production.attempt("loosened policy", holds, shown, f"{rule['status']}, the call refused with {answer.code()}")


def development_identity(production):
    stage, gateway = production.stage, production.gateway
    # Development stands beside it, with an agent of its own.
    text = together(environment(), agent(stage, "dev-bot", "dev"))
    written = gateway.apply(text, expect=(0, 3), token_file=production.alice)["objects"]
    for one in written:
        if one["status"] == "pending":
            production.approve(one["object"], one["revision"], production.carol)
    mark = production.upstream.log.mark()
    foreign = call(stage, production.door, stage.issuer.agent("dev-bot", gateway.door("dev", "issues")), "whoami")
    proper = call(stage, production.door, stage.issuer.agent("dev-bot", production.door), "whoami")
    arrived = production.upstream.log.since(mark)
    shown = [one for one in production.evidence(kind="refused", environment="production")
             if "dev-bot" in str(one)]
    # Callers that prove no identity are counted, second by second.
    until("the refused token is counted", lambda: production.evidence(kind="refused_unidentified"), 10, 0.2)
    holds = foreign.status == 401 and proper.status in (403, 404) and not arrived
    production.attempt(
        "development identity", holds, shown,
        f"{foreign.status} {foreign.code()} with its own token, {proper.status} {proper.code()} with one for production")
