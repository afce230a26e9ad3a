"""Every real client, in both generations, through the README's own example."""

import json
import os

from .. import parts
from ..claim import demand
from ..gateway import Gateway
from ..upstreams import Everything, Workshop
from ..wire import Wire

EXAMPLE = parts.ROOT / "examples" / "openbao"
# client, era, server: `server-everything` speaks the older generation only.
RUNS = [
    (client, era, server)
    for client in ("pypi", "npm", "inspector")
    for era, server in (("legacy", "everything"), ("legacy", "issues"), ("modern", "issues"))
]
CALLS = {"everything": ("echo", {"message": "hello"}), "issues": ("echo", {"text": "hello"}), "notes": ("whoami", {})}
FORBIDDEN = {"delete_everything"}


def judge(stage):
    upstreams = {"everything": Everything(stage, "example"), "issues": Workshop(stage, "example")}
    credentials = {}
    for name, upstream in upstreams.items():
        credentials[name] = stage.mint.make(f"example {name}")
        upstream.accept(credentials[name])
        stage.openbao.put(f"kv/{name}/triage-bot", credentials[name])
        upstream.wire = Wire(upstream.url)
    gateway = example(stage, upstreams)
    tokens = {name: stage.issuer.agent("triage-bot", gateway.door("dev", name)) for name in upstreams}
    green = preflight(stage, gateway, tokens["issues"])
    for client, era, server in RUNS:
        compare(stage, gateway, upstreams[server], (client, era, server), tokens[server], credentials[server])
    gateway.keep_metrics()
    gateway.stop()
    for upstream in upstreams.values():
        upstream.wire.end()
    return (f"{len(RUNS)} of {len(RUNS)} runs equal to the direct ones (3 clients, 2 generations, 2 servers); "
            f"credential on the wire to the upstream in each, caller's token in none; preflight: {green} lines green")


def example(stage, upstreams):
    """A gateway from the files of examples/openbao, with nothing but addresses changed."""
    addresses = {
        "127.0.0.1:8080": "@LISTEN@", "127.0.0.1:8081": "@CONTROL@",
        "http://127.0.0.1:8200": stage.openbao.address, "http://127.0.0.1:9000": stage.issuer.url,
        "http://127.0.0.1:9101/mcp": upstreams["everything"].wire.url,
        "http://127.0.0.1:9102/mcp": upstreams["issues"].wire.url,
        "level: info": "level: trace",
    }

    def moved(name):
        text = (EXAMPLE / name).read_text()
        for written, real in addresses.items():
            text = text.replace(written, real)
        return text

    gateway = Gateway(stage, "example", moved("gateway.yaml"))
    stage.private(gateway.folder / "secret-id", stage.openbao.secret_id_file.read_text())
    gateway.start().log_in()
    gateway.apply(moved("manifests.yaml"))
    return gateway


def preflight(stage, gateway, token):
    """What an operator tries before the first call."""
    sample = stage.private(gateway.folder / "sample.token", token)
    code, out, err = gateway.try_cli(
        "preflight", "--config", gateway.file, "--server", "dev/issues", "--environment", "dev",
        "--reference", "bao://kv/issues/triage-bot#token", "--caller-token-file", sample,
    )
    sample.unlink()
    demand(code == 0, f"preflight: exit code {code}: {(out + err)[-500:]}")
    lines = json.loads(out)["lines"]
    return sum(line["ok"] for line in lines)


def compare(stage, gateway, upstream, run, token, credential):
    client, era, server = run
    name = " ".join(run)
    direct = act(stage, client, era, upstream.url, credential.value, server)
    mark, sent = upstream.log.mark(), upstream.wire.mark()
    brokered = act(stage, client, era, gateway.door("dev", server), token, server)
    seen = upstream.log.since(mark)
    stage.keep("clients", json.dumps({"run": name, "brokered": brokered}))
    demand(direct["ok"], f"{name}: the direct run failed: {direct['error']}")
    demand(brokered["ok"], f"{name}: {brokered['error']}")
    demand(brokered["result"] == direct["result"],
           f"{name}: another result: {brokered['result']} where {direct['result']} was expected")
    expected = [tool for tool in direct["tools"] if tool not in FORBIDDEN]
    demand(brokered["tools"] == expected, f"{name}: another list of tools: {brokered['tools']}")
    demand(brokered["era"] == direct["era"], f"{name}: era {brokered['era']}, directly {direct['era']}")
    demand(not brokered["caller_token_echoed"], f"{name}: the caller's token came back")
    judge_arrivals(name, seen, upstream)
    wire = upstream.wire.since(sent)
    demand(credential.value.encode() in wire, f"{name}: the credential was not on the wire to the upstream")
    demand(token.rpartition(".")[2].encode() not in wire, f"{name}: the caller's token went upstream")


def judge_arrivals(name, seen, upstream):
    """The upstream's own log: our credential in every request, nothing of the caller's in any."""
    demand(seen, f"{name}: the upstream saw nothing")
    demand(all(line["authorized"] for line in seen), f"{name}: the upstream refused a request")
    calls = [line for line in seen if (line.get("method") if "arrival_micros" in line else line["mcp_method"])
             == "tools/call"]
    demand(calls, f"{name}: the upstream saw no tools/call")
    digests = {line.get("credential_sha256") or line.get("sha256_of_authorization") for line in seen}
    demand(digests <= set(upstream.good.digests) and len(digests) == 1, f"{name}: other credentials arrived")
    demand(not any(line.get("foreign_token") for line in seen), f"{name}: a gateway token went upstream")


def act(stage, client, era, url, token, server):
    """Lists and calls, as a process of its own; the token comes by its environment."""
    tool, given = CALLS[server]
    options = ["--url", url, "--token-env", "TOKEN", "--era", era, "--list", "--call", tool,
               "--args", json.dumps(given), "--timeout", "60"]
    command = {
        "pypi": [parts.python(), parts.PYTHON / "client.py"],
        "npm": [parts.program("node"), parts.NPM / "client.mjs"],
        "inspector": [parts.NPM / "inspector.sh"],
    }[client]
    environment = {**os.environ, "TOKEN": token, "NO_PROXY": "127.0.0.1"}
    _, out, err = stage.children.run([*command, *options], 120, env=environment)
    demand(out.strip(), f"{client} {era} {server}: the client printed nothing: {err[-300:]}")
    return json.loads(out)
