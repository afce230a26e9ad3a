"""Every client on every upstream: what it is given through the gateway is what it is given directly."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from .. import parts
from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..spine.clients import judge_arrivals
from ..upstreams import AcceptFile, Everything, Log, Workshop
from . import clients, processes

# What all clients must agree on about a tool; fields that only some of them, or one generation, know are left out.
COMMON = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
# What only one generation says about a result.
OF_A_GENERATION = ("resultType", "_meta")
AT_ONCE = 3


class Fastmcp:
    """A PyPI fastmcp server of both generations, behind the gate."""

    def __init__(self, stage, name):
        python = parts.folder() / "fastmcp" / "bin" / "python"
        command = [python, parts.ROOT / "tests-real" / "fastmcp" / "server.py", "0"]
        address = stage.children.start(f"{name}-fastmcp", command, reads=True).ready(90)
        self.log = Log(stage.folder / f"{name}-fastmcp-gate.jsonl")
        self.good = AcceptFile(stage.folder / f"{name}-fastmcp-accepted")
        command = [parts.program("node"), parts.NPM / "credential-gate.mjs", "--port", "0",
                   "--upstream", address, "--log", self.log.path]
        gate = stage.children.start(f"{name}-fastmcp-gate", command, reads=True,
                                    env={**os.environ, "EXPECT_FILE": str(self.good.path)})
        self.url = gate.ready() + "/mcp"

    accept = Everything.accept


class Process:
    """An npm server that the gateway starts itself; a preload is its log."""

    def __init__(self, stage, name, command, more=None):
        self.log = Log(stage.folder / f"{name}-witness.jsonl")
        node, *rest = command
        self.command = [node, "--require", str(parts.NPM / "witness.cjs"), *rest]
        self.environment = {"WITNESS_LOG": str(self.log.path), "WITNESS_VARIABLE": processes.VARIABLE, **(more or {})}


class Row:
    """One upstream: how it is reached, what is called, and which generations it speaks."""

    def __init__(self, name, upstream, call, both=False):
        self.name, self.upstream, self.call, self.both = name, upstream, call, both
        self.is_process = isinstance(upstream, Process)
        self.credential = self.token = self.direct = None


def judge(stage):
    rows = upstreams(stage)
    for row in rows:
        row.credential = stage.mint.make(f"matrix {row.name}")
        if not row.is_process:
            row.upstream.accept(row.credential)
        stage.openbao.put(f"kv/matrix/{row.name}", row.credential)
    gateway = brokered(stage, rows)
    for row in rows:
        row.token = stage.issuer.agent("triage-bot", gateway.door("dev", row.name))
    # Each upstream's runs come one after another, so that its log says which run saw what.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = [outcome for row in pool.map(lambda row: judge_row(stage, gateway, row), rows) for outcome in row]
    gateway.keep_metrics()
    gateway.stop()
    failed = [outcome for outcome in outcomes if isinstance(outcome, str)]
    demand(not failed, f"{len(failed)} of {len(outcomes)} pairs differ: {'; '.join(failed[:4])}")
    modes = sum(len(modes) for modes in pairs_of(stage).values())
    names = ", ".join(clients.NAMES[client] for client in pairs_of(stage))
    return (f"{len(outcomes)} of {len(outcomes)} pairs equal to the direct run in list and result, whole where "
            f"client and generation are the same, else in what both report ({names} in {modes} modes; "
            f"{', '.join(row.name for row in rows)}); the credential in the upstream's own log in "
            f"each of them, {sum(outcomes)} arrivals, none without it")


def pairs_of(stage):
    return clients.QUICK if stage.quick else clients.MODES


def upstreams(stage):
    folder = stage.folder / "matrix-files"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello, \u96ea\n")
    node = str(parts.program("node").resolve())
    files = [node, str(processes.node_server("server-filesystem").resolve()), str(folder)]
    memory = [node, str(processes.node_server("server-memory").resolve())]
    echo = ("echo", {"message": "hello \u96ea"})
    read = ("read_text_file", {"path": str(folder / "hello.txt")})
    rows = [
        Row("issues", Workshop(stage, "matrix"), ("echo", {"text": "hello \u96ea"}), both=True),
        Row("everything", Everything(stage, "matrix"), echo),
        Row("fastmcp", Fastmcp(stage, "matrix"), ("weather", {"city": "Oslo"}), both=True),
        Row("filesystem-stdio", Process(stage, "filesystem", files), read),
        Row("everything-stdio", Process(stage, "everything", processes.everything()), echo),
    ]
    if not stage.quick:
        memory_file = {"MEMORY_FILE_PATH": str(folder / "memory.json")}
        rows.append(Row("memory-stdio", Process(stage, "memory", memory, memory_file), ("read_graph", {})))
    return rows


def brokered(stage, rows):
    commands = [row.upstream.command for row in rows if row.is_process]
    text = configuration(stage, [row.name for row in rows], more=processes.section(commands))
    gateway = Gateway(stage, "matrix", text).start().log_in()
    documents = [environment(), agent(stage, "triage-bot"), policy(condition="true")]
    for row in rows:
        place = f"bao://kv/matrix/{row.name}#token"
        if row.is_process:
            documents.append(processes.server(row.name, row.upstream.command, row.upstream.environment))
            documents.append(processes.binding(f"{row.name}-key", row.name, place, "triage-bot"))
        else:
            # Nothing is withheld here, so that the lists can be compared whole.
            text = server(row.upstream.url, row.name).replace("delete_everything: destructive", "later: read")
            documents.append(text)
            documents.append(binding(f"{row.name}-key", place, "triage-bot", server_name=row.name))
    gateway.apply(together(*documents).replace("default_risk: write", "default_risk: read"))
    return gateway


def judge_row(stage, gateway, row):
    """For each pair the number of arrivals, or why it differs."""
    outcomes = []
    if row.is_process:
        # The Inspector says that it has roots, for which a server may have more tools: it is its own measure.
        given = {**row.upstream.environment, processes.VARIABLE: row.credential.value}
        row.direct = {client: clients.over_stdio(stage, client, row.upstream.command, given, row.call)
                      for client in ("pypi", "inspector")}
    for client, modes in pairs_of(stage).items():
        for mode in modes:
            if mode != "modern" or row.both:
                outcomes.append(judge_pair(stage, gateway, row, client, mode))
    return outcomes


def judge_pair(stage, gateway, row, client, mode):
    name = f"{clients.NAMES[client]} ({mode}) on {row.name}"
    try:
        if row.is_process:
            direct = row.direct.get(client, row.direct["pypi"])
        else:
            direct = clients.over_http(stage, client, mode, row.upstream.url, row.credential.value, row.call)
        mark = row.upstream.log.mark()
        through = clients.over_http(stage, client, mode, gateway.door("dev", row.name), row.token, row.call)
        stage.keep("clients", json.dumps({"run": name, "brokered": through}))
        demand(direct["ok"], f"the direct run failed: {direct['error']}")
        demand(through["ok"], f"{through['error']}")
        demand(not through["caller_token_echoed"], "the caller's token came back")
        equal(direct, through, row)
        return arrivals(row, row.upstream.log.since(mark))
    except Exception as why:  # noqa: BLE001 - one pair's trouble is no other's
        return f"{name}: {why}"


def equal(direct, through, row):
    tools, result = (direct["tools"], through["tools"]), (direct["result"], through["result"])
    if row.is_process or direct["era"] != through["era"]:
        # Another client; or a client that speaks another generation through the gateway, which translates, than
        # directly: 2026-07-28 has no `execution`, and npm client 2 reports `$schema` in one and not in the other.
        tools = [[common(tool) for tool in side] for side in tools]
        result = [{field: value for field, value in side.items() if field not in OF_A_GENERATION} for side in result]
    names = [[tool["name"] for tool in side] for side in tools]
    demand(names[0] == names[1], f"tools {names[1]}, directly {names[0]}")
    for one, other in zip(*tools):
        demand(one == other, f"tool {one['name']}: {differing(one, other)}")
    demand(result[0] == result[1], f"result {json.dumps(result[1])[:200]}, directly {json.dumps(result[0])[:200]}")


def differing(direct, through):
    """The fields that differ, and how."""
    fields = [field for field in {**direct, **through} if direct.get(field) != through.get(field)]
    return "; ".join(f"{field}: {json.dumps(through.get(field))[:200]}, directly {json.dumps(direct.get(field))[:200]}"
                     for field in fields)


def common(tool):
    """What every client reports of a tool, in every generation."""
    def plain(value):
        return {key: inner for key, inner in value.items() if key != "$schema"} if isinstance(value, dict) else value

    return {field: plain(tool.get(field)) for field in COMMON}


def arrivals(row, seen):
    """How often the upstream's own log shows the credential since then; it must always be this one."""
    if not row.is_process:
        judge_arrivals(row.name, seen, row.upstream)
        return len(seen)
    # A process that serves several clients of one actor in turn was started by the first of them.
    serving = seen or [line for line in row.upstream.log.all() if processes.alive(line["pid"])]
    demand(serving, "no process was there")
    demand(all(line["sha256"] == row.credential.sha256 for line in serving), "a process has something else")
    return len(serving)


CLAIMS = (
    Claim("matrix", "five independent clients, in every mode whose generation the server speaks, list and call tools "
                    "on HTTP servers in Rust, JavaScript and Python and on servers that the gateway starts itself, as "
                    "if they had called directly", judge),
)
