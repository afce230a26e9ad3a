"""The management API, fuzzed by PyPI `schemathesis` by the document that the gateway itself serves."""

import json
import os

from .. import parts, web
from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..upstreams import Workshop

OWN = "bao://kv/issues/fuzzed#token"
PATHS = """    paths:
      - { prefix: kv/issues/, owners: [support] }
"""
ROLES = """  issuers:
    - issuer: {issuer}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: editor, group: editors }}
        - {{ role: approver, group: approvers }}
        - {{ role: auditor, group: red }}
"""
# Who asks; None has no token.
PEOPLE = {"an editor": "alice", "an approver": "bob", "an auditor": "dora", "a stranger": None}
EXAMPLES, QUICK = 40, 10


def judge(stage):
    gateway = catalogue(stage)
    document = web.request("GET", f"{gateway.control}/v1/openapi.json")
    demand(document.status == 200 and document.json().get("openapi", "").startswith("3.1"), "there is no document")
    reports = {who: fuzz(stage, gateway, who, name) for who, name in PEOPLE.items()}
    answers = gateway.child.tail()
    demand(gateway.child.alive(), f"the gateway ended: {answers}")
    verdict = gateway.verify()
    demand(verdict[0] == 0, f"the chain does not hold afterwards: {verdict[1][-300:]}")
    gateway.keep_metrics()
    gateway.stop()
    operations = {report["operations"]["tested"] for report in reports.values()}
    demand(len(operations) == 1, f"not everybody was asked about everything: {operations}")
    cases = {who: report["test_cases"]["generated"] for who, report in reports.items()}
    told = ", ".join(f"{count} as {who}" for who, count in cases.items())
    return (f"{operations.pop()} operations, {sum(cases.values())} requests ({told}): 0 server errors, 0 undocumented "
            f"statuses, types, headers or shapes")


def catalogue(stage):
    """A gateway with something to find in either tier, and the three people."""
    upstream = Workshop(stage, "fuzzed")
    credential = stage.mint.make("fuzzed")
    upstream.accept(credential)
    stage.openbao.put("kv/issues/fuzzed", credential)
    text = configuration(stage, ["issues"], ("dev", "production"), durability="fsync", paths=PATHS,
                         operators=ROLES.format(issuer=stage.issuer.url))
    gateway = Gateway(stage, "fuzzed", text).start().log_in()
    gateway.apply(together(
        environment(), environment("production", "production"), server(upstream.url),
        server(upstream.url, environment="production", owner="support"), agent(stage, "triage-bot", "dev, production"),
        policy(), policy("production"), binding("triage", OWN, "triage-bot"),
        binding("release", OWN, "triage-bot", "production"),
    ), expect=(0, 3))
    return gateway


def fuzz(stage, gateway, who, name):
    folder = gateway.folder / who.replace(" ", "-")
    folder.mkdir()
    (folder / "schemathesis.toml").write_text(settings(name))
    token = stage.issuer.person(name, gateway.control).read_text().strip() if name else ""
    command = [
        parts.folder() / "schemathesis" / "bin" / "schemathesis", "--config-file", folder / "schemathesis.toml", "run",
        f"{gateway.control}/v1/openapi.json", "--max-examples", QUICK if stage.quick else EXAMPLES, "--workers", 2,
        "--request-timeout", 30,
        "--no-color", "--phases", "examples,coverage,fuzzing,stateful" if name else "examples,coverage,fuzzing",
        # The cases of the coverage phase alone are what a stranger needs: he is never let in.
        "--generation-database", "none",
    ]
    environ = {**os.environ, "FUZZ_TOKEN": token, "NO_PROXY": "*"}
    code, out, err = stage.children.run(command, seconds=300, cwd=folder, env=environ)
    (stage.folder / "logs" / f"fuzz-{name or 'stranger'}.log").write_text(out + err)
    report_file = folder / "report.json"
    demand(report_file.exists(), f"{who}: no report: {(out + err)[-600:]}")
    report = json.loads(report_file.read_text())
    failures = [f"{one['title']} ({one['count']}): {', '.join(one['operations'][:4])}" for one in report["failures"]]
    demand(not failures and not report["errors"], f"{who}: {'; '.join(failures)} {report['errors'] or ''}")
    demand(code == 0 and report["complete"], f"{who}: ended with {code}, {report['stop_reason']}")
    demand(report["operations"]["tested"] == report["operations"]["total"], f"{who}: {report['operations']}")
    generated = report["test_cases"]["generated"]
    demand(generated >= 10 * report["operations"]["total"], f"{who}: only {generated} requests")
    if name:
        demand(accepted(report) > 0, f"{who}: not one request was taken")
    return report


def accepted(report):
    rates = report["valid_rates"].values()
    return sum(phase["accepted"] for phases in rates for phase in phases.values())


def settings(name):
    """The tool's configuration; the token comes from its environment, for arguments are world-readable."""
    token = '[headers]\nAuthorization = "Bearer ${FUZZ_TOKEN}"\n' if name else ""
    # Without a token there is nothing to leave out.
    ignored = "" if name else "ignored_auth.enabled = false\n"
    # Which requests the document calls good and the gateway calls bad, or the other way round, is not judged: the tool
    # sends entity tags without their quotes, and the document says of some fields less than the gateway asks of them.
    return f"""continue-on-failure = true
seed = 20261127
{token}[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.enabled = false
{ignored}[reports.json]
path = "report.json"
"""


CLAIMS = (
    Claim("api-fuzz", "schemathesis finds no server error and no answer whose status, type, header or shape the OpenAPI "
                      "document does not say", judge, slow=True),
)
