"""`client-config`: what it prints for each client is read by a parser of that syntax, is clean, and opens the door."""

import json
import os
import re
import stat
import tomllib

from ... import parts
from ...claim import demand
from ...gateway import call, succeeded
from ...keys import secret_folder

VARIABLE = "MCP_GATEWAY_TOKEN"
# client -> (file as the client looks for it, key of its servers, field of the address, how it writes a variable)
CLIENTS = {
    "claude-code": (".mcp.json", "mcpServers", "url", "${%s}"),
    "claude-desktop": ("claude_desktop_config.json", "mcpServers", None, None),
    "cursor": (".cursor/mcp.json", "mcpServers", "url", "${env:%s}"),
    "vscode": (".vscode/mcp.json", "servers", "url", "${input:mcp-gateway-token}"),
    "windsurf": (".codeium/windsurf/mcp_config.json", "mcpServers", "serverUrl", "${env:%s}"),
    "zed": ("settings.json", "context_servers", "url", None),
    "codex": (".codex/config.toml", "mcp_servers", "url", None),
    "gemini-cli": (".gemini/settings.json", "mcpServers", "httpUrl", "${%s}"),
    "cline": ("cline_mcp_settings.json", "mcpServers", "url", None),
    "librechat": ("librechat.yaml", "mcpServers", "url", "${%s}"),
}
READ_YAML = "import { parse } from 'yaml'; let t = ''; for await (const c of process.stdin) t += c; " \
            "console.log(JSON.stringify(parse(t)))"
# Stands for npx: writes down what it was started with.
NPX = """#!/bin/sh
printf '%s\\n' "$@" > "$OUT/arguments"
printf %s "$MCP_GATEWAY_AUTHORIZATION" > "$OUT/header"
"""


def judged(house, url):
    """Every client, with the browser's login and with a token; the figures."""
    stage = house.stage
    gateway, _, rest = url.partition("/mcp/")
    token_file = secret_folder(stage) / "agent.token"
    token = stage.mint.also("a pasted agent's token", issue(house, token_file))
    opened = 0
    for client, (file, servers, address, variable) in CLIENTS.items():
        for login in ("browser", "token"):
            made = printed(house, client, login, rest, gateway)
            place = secret_folder(stage) / f"paste-{client}-{login}" / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(made)
            code, out, err = stage.children.run([stage.program, "--output", "json", "adopt", place, "--check"])
            demand(code == 0 and not json.loads(out)["notes"], f"{client} ({login}) is not clean: {(out + err)[-300:]}")
            document = read(stage, file, made)
            (name, entry), = document[servers].items()
            demand(name == rest.partition("/")[2], f"{client}: the server is called {name}")
            header = sent(stage, client, entry, url, address, variable, login, token_file)
            if login == "token":
                demand(header == f"Bearer {token}", f"{client}: sends no token")
                answer = call(stage, url, token, "echo", {"message": client})
                demand(succeeded(answer), f"{client}: {answer.status} {answer.text[:200]}")
                opened += 1
            else:
                demand(header is None, f"{client}: sends a header though the browser logs in")
    return f"client-config for {len(CLIENTS)} clients: {2 * len(CLIENTS)} entries parsed and clean, {opened} called with"


def issue(house, file):
    house.gateway.cli("agent", "token", "issue", "adopter", "--environment", "dev", "--write", file)
    return file.read_text().strip()


def printed(house, client, login, server, gateway):
    command = [house.stage.program, "client-config", "--for", client, server, "--gateway", gateway, "--login", login]
    code, out, err = house.stage.children.run(command)
    demand(code == 0 and err.startswith("merge this into"), f"client-config for {client}: {err[-300:]}")
    house.silent(out + err)
    return out


def read(stage, file, text):
    """By a parser that is none of ours."""
    if file.endswith(".toml"):
        return tomllib.loads(text)
    if file.endswith(".yaml"):
        code, out, err = stage.children.run(
            [parts.program("node"), "--input-type=module", "-e", READ_YAML], input=text, cwd=parts.NPM)
        demand(code == 0, f"no YAML: {err[-300:]}")
        return json.loads(out)
    return json.loads(text)


def sent(stage, client, entry, url, address, variable, login, token_file):
    """The Authorization header that this client would send; the address must be the gateway's."""
    if "command" in entry:
        return bridged(stage, client, entry, url, token_file)
    demand(entry[address] == url, f"{client}: another address: {entry}")
    if client == "codex":
        named = entry.get("bearer_token_env_var")
        demand(named in (None, VARIABLE), f"codex: {entry}")
        return named and f"Bearer {token_file.read_text().strip()}"
    headers = entry.get("headers", {})
    if not headers:
        return None
    written = variable % VARIABLE if "%s" in variable else variable
    demand(headers == {"Authorization": f"Bearer {written}"}, f"{client} ({login}): {headers}")
    return headers["Authorization"].replace(written, token_file.read_text().strip())


def bridged(stage, client, entry, url, token_file):
    """The program that the entry starts, with a home of its own; the token may stand in no argument."""
    home = secret_folder(stage) / f"home-of-{client}"
    kept = home / ".config/mcp-gateway"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "agent.token").write_bytes(token_file.read_bytes())
    programs = home / "bin"
    programs.mkdir(exist_ok=True)
    npx = programs / "npx"
    npx.write_text(NPX)
    npx.chmod(npx.stat().st_mode | stat.S_IXUSR)
    code, _, err = stage.children.run(
        [entry["command"], *entry["args"]],
        env={"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}", "OUT": str(home)})
    demand(code == 0, f"{client}: {err[-300:]}")
    arguments = (home / "arguments").read_text().splitlines()
    demand(url in arguments and re.fullmatch(r"mcp-remote@\^[0-9.]+", arguments[1]), f"{client}: {arguments}")
    header = (home / "header").read_text()
    demand(token_file.read_text().strip() not in " ".join(arguments), f"{client}: the token is an argument")
    if not header:
        return None
    # mcp-remote puts the variable in itself, where the argument names it.
    demand(arguments[-1] == "Authorization:${MCP_GATEWAY_AUTHORIZATION}", f"{client}: {arguments}")
    return header
