"""A server with OAuth of its own behind the gateway: what callers are told, and what evidence keeps."""

import json
import os
import re

from .. import parts, web
from ..claim import Claim, demand
from ..gateway import Gateway, call, modern, modern_headers
from ..manifests import agent, binding, configuration, environment, policy, server, together
from ..upstreams import OAuthServer

SERVERS = ("keyed", "scoped", "granted")


def judge(stage):
    plain = OAuthServer(stage, "oauth-plain", stage.issuer.url, "mcp:tools")
    strict = OAuthServer(stage, "oauth-strict", stage.issuer.url, "mcp:tools mcp:admin")
    behind = dict(zip(SERVERS, (plain, strict, plain)))
    key = stage.mint.make("a key that is no grant")
    challenge = challenged(stage, plain, key.value)
    values = {"keyed": key, "scoped": stage.issuer.agent("steady-bot", strict.url),
              "granted": stage.issuer.agent("steady-bot", plain.url)}
    for name, value in values.items():
        stage.openbao.put(f"kv/{name}/key", value)
    gateway = Gateway(stage, "oauth-upstream", configuration(stage, SERVERS)).start().log_in()
    gateway.apply(together(
        environment(), agent(stage, "triage-bot"), policy(),
        *[server(behind[name].url, name) for name in SERVERS],
        *[binding(name, f"bao://kv/{name}/key#token", "triage-bot", server_name=name) for name in SERVERS],
    ))
    tokens = {name: stage.issuer.agent("triage-bot", gateway.door("dev", name)) for name in SERVERS}
    addresses = {challenge, plain.url, strict.url, stage.issuer.url}
    refused(stage, gateway, plain, "keyed", tokens, addresses, "upstream.oauth_required", 401)
    refused(stage, gateway, strict, "scoped", tokens, addresses, "upstream.scope_missing", 403)
    served(stage, gateway, plain, tokens["granted"])
    judge_evidence(gateway)
    gateway.keep_metrics()
    gateway.stop()
    return ("a key: 401 with its own metadata upstream, 502 upstream.oauth_required here; a token without mcp:admin: "
            "403 upstream, 502 upstream.scope_missing here, the scopes in the audit alone; a token with them: served; "
            f"none of {len(addresses)} addresses in any answer")


def challenged(stage, upstream, key):
    """What the server says to a caller who comes directly; the URL of its metadata."""
    answer = web.request("POST", upstream.url, modern("whoami"), modern_headers(key, "whoami"))
    demand(answer.status == 401, f"directly: {answer.status}")
    headers = {name.lower(): value for name, value in dict(answer.headers).items()}
    found = re.search(r'resource_metadata="([^"]+)"', headers.get("www-authenticate", ""))
    demand(found, f"directly: no metadata in {headers.get('www-authenticate')}")
    metadata = web.request("GET", found[1]).json()
    demand(metadata["authorization_servers"] == [stage.issuer.url], f"metadata: {metadata}")
    return found[1]


def refused(stage, gateway, upstream, name, tokens, addresses, code, status):
    """One call as JSON over HTTP, one by a real client: both learn the code and nothing of the server."""
    mark = upstream.log.mark()
    answer = call(stage, gateway.door("dev", name), tokens[name], "whoami")
    demand((answer.status, answer.code()) == (502, code), f"{name}: {answer.status} {answer.text[:300]}")
    shown = f"{answer.headers}\n{answer.text}"
    demand("www-authenticate" not in shown.lower(), f"{name}: a challenge came through")
    outcome = client(stage, gateway.door("dev", name), tokens[name])
    demand(not outcome["ok"] and outcome["error"]["status"] == 502, f"{name}: the client was told {outcome}")
    shown += json.dumps(outcome)
    demand(not any(address in shown for address in addresses), f"{name}: an address of the server's came through")
    demand("mcp:admin" not in shown, f"{name}: the server's scopes came through")
    seen = upstream.log.since(mark)
    demand(seen and all(line["status"] == status for line in seen), f"{name}: the server saw {seen}")


def served(stage, gateway, upstream, token):
    mark = upstream.log.mark()
    outcome = client(stage, gateway.door("dev", "granted"), token)
    demand(outcome["ok"], f"granted: {outcome['error']}")
    told = json.loads(outcome["result"]["content"][0]["text"])["client"]
    demand(told == "steady-bot", f"granted: the server knew the caller as {told}")
    clients = {line["client"] for line in upstream.log.since(mark) if line["status"] < 300}
    demand(clients == {"steady-bot"}, f"granted: the server served {clients}")


def client(stage, url, token):
    """npm sdk 1.x: handshake, list, call."""
    command = [parts.program("node"), parts.NPM / "sdk1.mjs", "--url", url, "--token-env", "TOKEN",
               "--list", "--call", "whoami"]
    _, out, err = stage.children.run(command, env={**os.environ, "TOKEN": token, "NO_PROXY": "127.0.0.1"})
    stage.keep("oauth-clients", out + err)
    demand(out.strip(), f"the client printed nothing: {err[-300:]}")
    return json.loads(out)


def judge_evidence(gateway):
    outcomes = [event for event in gateway.events() if event["kind"] == "outcome"]

    def of(name):
        return [event for event in outcomes if event["server"] == name]

    demand(of("keyed") and all(
        event["reason"] == "upstream.oauth_required" and event["outcome"]["upstream_status"] == 401
        for event in of("keyed")), f"evidence of keyed: {of('keyed')}")
    demand(of("scoped") and all(
        event["reason"] == "upstream.scope_missing"
        and event["outcome"]["upstream_scopes"] == "mcp:tools mcp:admin"
        for event in of("scoped")), f"evidence of scoped: {of('scoped')}")
    demand(of("granted") and not any(event.get("reason") for event in of("granted")),
           f"evidence of granted: {of('granted')}")


CLAIMS = (
    Claim("oauth-upstream", "a real server that demands OAuth of its own is reported as that, a missing scope as "
                            "that; neither its challenge nor its addresses reach the caller, and a token with the "
                            "scopes is served", judge),
)
