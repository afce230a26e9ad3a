"""The management API, fuzzed by PyPI `schemathesis` by the document that the gateway itself serves."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

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
# Of data per operation, and of sequences of calls by the document's links.
EXAMPLES, QUICK = (20, 100), (4, 25)
HOOKS = Path(__file__).with_name("fuzz_hooks.py")
SCHEMA = Path(__file__).with_name("manifest_schema.py")
# Manifests that people start from.
EXAMPLES_OF_OURS = (parts.ROOT / "examples" / "openbao" / "manifests.yaml", parts.ROOT / "bench" / "manifests.yaml")
# A request may wait so long for a busy machine, and one person's requests all together.
REQUEST, PERSON = 60, 1200
# How often a person's whole round is begun anew because a connection broke and the gateway was well.
ROUNDS = 3


def judge(stage):
    gateway = catalogue(stage)
    document = web.request("GET", f"{gateway.control}/v1/openapi.json")
    demand(document.status == 200 and document.json().get("openapi", "").startswith("3.1"), "there is no document")
    written = by_schema(stage, gateway, document.json())
    rounds = {who: fuzz(stage, gateway, who, name) for who, name in PEOPLE.items()}
    reports = {who: report for who, (report, _) in rounds.items()}
    anew = sum(broken for _, broken in rounds.values())
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
    good, bad = (sum(totals(report)[kind] for report in reports.values()) for kind in ("accepted", "rejected"))
    links = linked(document.json())
    return (f"{written} manifests good by the schema that the command prints; {operations.pop()} operations, {links} links between them, {sum(cases.values())} requests ({told}), of "
            f"the good ones {good} taken and {bad} refused by a rule: 0 server errors, 0 undocumented statuses, types, "
            f"headers or shapes, 0 requests that document and gateway judge differently, 0 refusals without a code; "
            f"{anew} rounds begun anew for a broken connection")


def by_schema(stage, gateway, document):
    """How many manifests were judged by the schema that the command prints, which is the document's own."""
    schema, exported = gateway.folder / "manifest.schema.json", gateway.folder / "exported.json"
    printed = gateway.cli("schema")
    schema.write_text(json.dumps(printed))
    exported.write_text(json.dumps(gateway.cli("export")))
    absent = printed["$defs"].keys() - document["components"]["schemas"].keys()
    demand(not absent, f"the document lacks {sorted(absent)}")
    python = parts.folder() / "schemathesis" / "bin" / "python"
    code, out, err = stage.children.run([python, SCHEMA, schema, exported, *EXAMPLES_OF_OURS])
    demand(code == 0, f"by the schema: {(out + err)[-600:]}")
    return int(out)


def linked(document):
    answers = (answer for path in document["paths"].values() for operation in path.values()
               for answer in operation["responses"].values())
    return sum(len(answer.get("links", {})) for answer in answers)


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
    """One person's round: its report, and how often it was begun anew.

    Begun anew is a round in which the tool's own connection broke, and nothing else was wrong: it says nothing about
    the requests behind the break. A finding is never taken back by another round, and a gateway that does not answer by
    then fails the claim.
    """
    for count in range(ROUNDS):
        report, failures, faults, end = once(stage, gateway, who, name, count)
        demand(not failures, f"{who}: {'; '.join(failures)}")
        demand(gateway.child.alive(), f"{who}: the gateway ended: {gateway.child.tail()}")
        if not faults:
            break
        alive = web.request("GET", f"{gateway.control}/livez").status
        demand(alive == 200, f"{who}: the gateway does not answer: {faults}")
    demand(not faults, f"{who}: the connection broke in each of {ROUNDS} rounds: {faults[:3]}")
    demand(end == 0 and report["complete"], f"{who}: ended with {end}, {report['stop_reason']}")
    demand(report["operations"]["tested"] == report["operations"]["total"], f"{who}: {report['operations']}")
    generated = report["test_cases"]["generated"]
    demand(generated >= 10 * report["operations"]["total"], f"{who}: only {generated} requests")
    if name:
        demand(totals(report)["accepted"] > 0, f"{who}: not one request was taken")
        ran = {phase: one["status"] for phase, one in report["phases"].items()}
        demand(set(ran.values()) == {"success"}, f"{who}: not every phase was run: {ran}")
    return report, count


def once(stage, gateway, who, name, count):
    folder = gateway.folder / f"{who.replace(' ', '-')}-{count}"
    folder.mkdir()
    examples, sequences = QUICK if stage.quick else EXAMPLES
    (folder / "schemathesis.toml").write_text(settings(name, sequences))
    shutil.copy(HOOKS, folder / "fuzz_hooks.py")
    token = stage.issuer.person(name, gateway.control).read_text().strip() if name else ""
    command = [
        parts.folder() / "schemathesis" / "bin" / "schemathesis", "--config-file", folder / "schemathesis.toml", "run",
        f"{gateway.control}/v1/openapi.json", "--max-examples", examples,
        "--request-timeout", REQUEST, "--no-color",
        # Two workers compile at the same time, which breaks in Python 3.11 ("AST constructor recursion depth mismatch",
        # told as a Runtime Error) and leaves an operation half asked. They share one lock anyway.
        "--workers", 1,
        # How fast the tool invents data on a busy machine is no property of the gateway.
        "--suppress-health-check", "too_slow",
        # The boundaries alone are what a stranger needs: he is never let in.
        "--phases", "examples,coverage,fuzzing,stateful" if name else "examples,coverage",
        "--generation-database", "none",
    ]
    environ = {**os.environ, "FUZZ_TOKEN": token, "NO_PROXY": "*", "SCHEMATHESIS_HOOKS": "fuzz_hooks",
               "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    code, out, err = stage.children.run(command, seconds=PERSON, cwd=folder, env=environ)
    (stage.folder / "logs" / f"fuzz-{name or 'stranger'}-{count}.log").write_text(out + err)
    report_file = folder / "report.json"
    demand(report_file.exists(), f"{who}: no report: {(out + err)[-600:]}")
    report = json.loads(report_file.read_text())
    failures = [f"{one['title']} ({one['count']}): {', '.join(one['operations'][:4])}" for one in report["failures"]]
    faults = [f"{error['title']} ({error['count']})" for error in report["errors"]]
    # Of the tool's own errors these alone say nothing about an answer: it could not send, or was not answered in time.
    strange = [fault for fault in faults if not fault.startswith(("Network Error", "Server Unavailable"))]
    return report, failures + strange, faults, code


def totals(report):
    found = Counter()
    for phases in report["valid_rates"].values():
        for phase in phases.values():
            found.update(phase)
    return found


def settings(name, sequences):
    """The tool's configuration; the token comes from its environment, for arguments are world-readable."""
    token = '[headers]\nAuthorization = "Bearer ${FUZZ_TOKEN}"\n' if name else ""
    # Without a token there is nothing to leave out.
    ignored = "" if name else "ignored_auth.enabled = false\n"
    # What is good by the document is never 400, 413, 415 or a server's error: 422 is a rule about what stands (and not
    # a fault of form, which the hooks look after), 412 a tag that is not the thing's, 429 too many keys.
    return f"""continue-on-failure = true
seed = 20261127
{token}[checks]
positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 412, 422, 429]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 412, 415, 422]
{ignored}[phases.stateful.generation]
max-examples = {sequences}
[reports.json]
path = "report.json"
"""


CLAIMS = (
    Claim("api-fuzz", "schemathesis finds no server error, no answer whose status, type, header or shape the OpenAPI "
                      "document does not say, and no request that document and gateway judge differently", judge),
)
