"""Clients of one generation on real servers of the other, compared with a run in the server's own."""

import json
import os

from .. import parts, web
from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import agent, binding, configuration, environment, server, together
from ..processes import until
from ..upstreams import Everything, Newcomer

# What the newer generation adds to results, and each generation's own code for a missing resource.
ADDED = {"resultType", "ttlMs", "cacheScope", "_meta"}
CODES = {-32002: -32602}

STEPS = {
    "everything": [
        ["tools"], ["call", "echo", {"message": "hällo"}], ["call", "get-sum", {"a": 2, "b": 3}],
        ["call", "get-structured-content", {"location": "New York"}],
        ["progress", "trigger-long-running-operation", {"duration": 1, "steps": 4}],
        ["call", "no-such-tool", {}],
        ["resources"], ["templates"], ["read", "demo://resource/static/document/architecture.md"],
        ["read", "demo://resource/nowhere"],
        ["prompts"], ["prompt", "simple-prompt", {}], ["prompt", "args-prompt", {"city": "Ulm"}],
    ],
    "newcomer": [
        ["tools"], ["call", "echo", {"message": "hällo"}], ["call", "add", {"a": 2, "b": 3}],
        ["call", "order", {"region": "süd", "item": "tea"}],
        ["progress", "slow", {"steps": 4, "seconds": 1}],
        ["call", "no-such-tool", {}],
        ["resources"], ["templates"], ["read", "docs://handbook"], ["read", "docs://nowhere"],
        ["prompts"], ["prompt", "greet", {"name": "Ada"}],
    ],
}
CANCELLED = {
    "everything": ["cancel", "trigger-long-running-operation", {"duration": 40, "steps": 80}],
    "newcomer": ["cancel", "slow", {"steps": 80, "seconds": 40}],
}
# server, the client under test and its generation, and the client of the direct run in the server's own
RUNS = [
    ("everything", ("pypi", "modern"), ("pypi", "legacy")),
    ("everything", ("npm2", "modern"), ("npm2", "legacy")),
    ("newcomer", ("pypi", "legacy"), ("pypi", "modern")),
    ("newcomer", ("npm2", "legacy"), ("npm2", "modern")),
    ("newcomer", ("npm1", "legacy"), ("npm2", "modern")),
]
ERAS = {"modern": ("2026-07-28",), "legacy": ("2025-11-25", "2025-06-18")}


def judge(stage):
    upstreams = {"everything": Everything(stage, "bridge"), "newcomer": Newcomer(stage, "bridge")}
    credentials = {}
    for name, upstream in upstreams.items():
        credentials[name] = stage.mint.make(f"bridge {name}")
        upstream.accept(credentials[name])
        stage.openbao.put(f"kv/{name}/bridge", credentials[name])
    gateway = Gateway(stage, "bridge", configuration(stage, list(upstreams))).start().log_in()
    gateway.apply(documents(stage, upstreams))
    tokens = {name: stage.issuer.agent("triage-bot", gateway.door("dev", name)) for name in upstreams}
    steps = 0
    for name, bridged, direct in RUNS:
        steps += compare(stage, gateway, upstreams[name], (name, bridged, direct), tokens[name], credentials[name])
    refused = untranslatable(stage, gateway, tokens)
    for name, upstream in upstreams.items():
        shook = [line for line in upstream.log.all() if line.get("mcp_method") == "initialize"]
        demand(name == "newcomer" or shook, "server-everything saw no handshake")
    gateway.keep_metrics()
    gateway.stop()
    return (f"{len(RUNS)} pairs of client and server of different generations, {steps} steps equal to the "
            f"same-generation run, each cancellation arrived; {refused} untranslatable requests answered by name")


def documents(stage, upstreams):
    policy = """kind: Policy
name: everything
environment: dev
owner: support
cedar: |
  permit (principal, action, resource) when { principal has agent };
"""
    more = 'methods: [resources/read, prompts/get, resources/subscribe]\n'
    bindings = [binding(f"bridge-{name}", f"bao://kv/{name}/bridge#token", "triage-bot", server_name=name,
                        policy_name="everything", more=more) for name in upstreams]
    servers = [server(upstream.url, name) for name, upstream in upstreams.items()]
    return together(environment(), *servers, agent(stage, "triage-bot"), policy, *bindings)


def compare(stage, gateway, upstream, run, token, credential):
    name, bridged, direct = run
    title = f"{' '.join(bridged)} on {name}"
    wanted = walk(stage, direct, upstream.url, credential.value, STEPS[name])
    demand(wanted["ok"], f"{title}: the direct run failed: {wanted['error']}")
    mark = upstream.log.mark()
    got = walk(stage, bridged, gateway.door("dev", name), token, [*STEPS[name], CANCELLED[name]])
    stage.keep("bridge", json.dumps({"run": title, "got": got}))
    demand(got["ok"], f"{title}: {got['error']} after {len(got['steps'])} steps")
    demand(got["era"] in ERAS[bridged[1]], f"{title}: the client speaks {got['era']}")
    for step, expected, found in zip(STEPS[name], wanted["steps"], got["steps"]):
        expected, found = plain(expected), plain(found)
        demand(found == expected, f"{title}: {step}: {shown(found)} where {shown(expected)} was expected")
    demand(got["steps"][-1] == "cancelled", f"{title}: the last call was {got['steps'][-1]}")
    arrived(upstream, name, mark, title)
    return len(STEPS[name]) + 1


def arrived(upstream, name, mark, title):
    """Older servers are told; to newer ones the closed stream is the cancellation."""
    def told():
        seen = upstream.log.since(mark)
        if name == "everything":
            return any(line.get("mcp_method") == "notifications/cancelled" for line in seen)
        call = [line["sequence"] for line in seen if line.get("mcp_name") == "slow"][-1]
        return any(line.get("event") == "end" and line["sequence"] == call for line in seen)

    until(f"{title}: the cancellation arrives", told, 15)


def plain(result):
    """The result without what only one generation has."""
    if not isinstance(result, dict):
        return result
    if "progress" in result and "result" in result:
        return {"progress": result["progress"], "result": plain(result["result"])}
    if isinstance(result.get("error"), int):
        return {"error": CODES.get(result["error"], result["error"])}
    result = {name: value for name, value in result.items() if name not in ADDED}
    if "tools" in result:
        # Tasks of 2025-11-25: a member of tools that clients of the newer generation leave out.
        result["tools"] = [{name: value for name, value in tool.items() if name != "execution"}
                           for tool in result["tools"]]
    return result


def shown(result):
    return json.dumps(result)[:300]


def untranslatable(stage, gateway, tokens):
    """What has no counterpart is refused in the client's own generation."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}
    asked = send(gateway, "everything", tokens, "subscriptions/listen", {"_meta": meta},
                 {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"})
    demand(asked.status == 404, f"subscriptions/listen: status {asked.status}")
    opened = send(gateway, "newcomer", tokens, "initialize", {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "prove", "version": "1"}})
    session = {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-06-18"}
    subscribed = send(gateway, "newcomer", tokens, "resources/subscribe", {"uri": "docs://handbook"}, session)
    demand(subscribed.status == 200, f"resources/subscribe: status {subscribed.status}")
    for answer in (asked, subscribed):
        error = answer.json()["error"]
        demand(error["code"] == -32601 and error["data"]["code"] == "request.untranslatable", f"refused as {error}")
    return 2


def send(gateway, name, tokens, method, params, headers=None):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Authorization": f"Bearer {tokens[name]}", "Content-Type": "application/json",
               "Accept": "application/json, text/event-stream", **(headers or {})}
    return web.request("POST", gateway.door("dev", name), body, headers)


def walk(stage, client, url, token, steps):
    """The steps, by a client of its own process; the token comes by its environment."""
    kind, era = client
    command = {
        "pypi": [parts.python(), parts.PYTHON / "walk.py"],
        "npm2": [parts.program("node"), parts.NPM / "walk.mjs", "--sdk", "2"],
        "npm1": [parts.program("node"), parts.NPM / "walk.mjs", "--sdk", "1"],
    }[kind]
    options = ["--url", url, "--token-env", "TOKEN", "--era", era, "--steps", json.dumps(steps), "--timeout", "60"]
    environment_ = {**os.environ, "TOKEN": token, "NO_PROXY": "127.0.0.1"}
    _, out, err = stage.children.run([*command, *options], 120, env=environment_)
    demand(out.strip(), f"{kind} {era}: the client printed nothing: {err[-300:]}")
    return json.loads(out)


CLAIMS = (
    Claim("bridge", "clients of 2026-07-28 work on npm server-everything, which speaks the older generation only, and "
                    "clients of the older one on a server of 2026-07-28 alone: tools, resources, prompts, progress and "
                    "cancellation equal a same-generation run", judge),
)
