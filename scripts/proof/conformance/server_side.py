"""The server leg: the suite against our upstream, directly and through the gateway."""

from .. import parts
from ..claim import demand
from ..processes import free_port
from . import brokered, suite
from .compare import Comparison
from .programs import Upstream


def compare(stage, revision):
    """Both runs of one revision. Each has an upstream of its own: what one run did must not help the other."""
    suite.install()
    direct = Upstream(stage, f"conformance-direct-{revision}")
    first = suite.server(stage, "server-direct", direct.url, revision)
    direct.child.end()
    through, seen, credential = brokered_run(stage, revision)
    judge_arrivals(seen, credential)
    return Comparison("server", revision, suite.Requirements(revision, "server"), first, through), len(seen)


def brokered_run(stage, revision):
    name = f"conformance-{revision}"
    credential = stage.mint.make(name)
    stage.openbao.put("kv/conformance/triage-bot", credential)
    upstream = Upstream(stage, f"{name}-upstream", credential)
    port = free_port()
    gateway = brokered.gateway(stage, name, ["conformance"], f"http://127.0.0.1:{port}")
    answer = gateway.api("POST", "/apply", {"specs": brokered.server("conformance", upstream.url)})
    demand(answer.status == 200, f"apply: {answer.status} {answer.text[:300]}")
    door = gateway.door("dev", "conformance")
    token = stage.private(stage.issuer.folder / f"{name}.token", stage.issuer.agent(brokered.AGENT, door))
    shim = stage.children.start(f"{name}-shim", [
        parts.program("node"), parts.NPM / "bearer-shim.mjs", "--port", port, "--upstream", door,
        "--token-file", token, *(["--drop", "mcp-session-id"] if stage.sabotage == "session" else [])], reads=True)
    run = suite.server(stage, "server-through", shim.ready() + "/mcp", revision)
    gateway.keep_metrics()
    shim.end()
    gateway.stop()
    upstream.child.end()
    return run, upstream.log.all(), credential


def judge_arrivals(seen, credential):
    """The upstream's own log: our credential with every request, and nothing that is the caller's."""
    demand(seen, "the upstream saw nothing of the run through the gateway")
    strange = [line for line in seen if line["credential_sha256"] != credential.sha256 or not line["authorized"]]
    demand(not strange, f"{len(strange)} of {len(seen)} requests came without the credential: {strange[:1]}")
    leaked = [line for line in seen if line["origin"] or line["cookie"]]
    demand(not leaked, f"{len(leaked)} requests carried the caller's Origin or Cookie")


def judge(revision):
    """The judge of the claim about one revision."""
    def judged(stage):
        comparison, seen = compare(stage, revision)
        stage.keep("conformance", "\n".join(comparison.rows()))
        return f"{comparison.judge()}; {seen} requests upstream, each with the injected credential"
    return judged
