"""The five independent clients, each a process of its own that prints what it was given."""

import json
import os

from .. import parts
from ..claim import demand
from ..conformance import programs

# client: its modes; the one that is not negotiated by the client itself comes first.
MODES = {
    "pypi": ("auto", "legacy", "modern"),
    "npm": ("default", "auto"),
    "sdk1": ("legacy",),
    "inspector": ("legacy", "modern"),
    "rmcp": ("legacy", "auto", "modern"),
}
QUICK = {
    "pypi": ("auto",), "npm": ("default", "auto"), "sdk1": ("legacy",), "inspector": ("legacy",), "rmcp": ("auto",),
}
NAMES = {"pypi": "PyPI mcp", "npm": "npm client 2", "sdk1": "npm sdk 1", "inspector": "Inspector CLI", "rmcp": "rmcp"}


def over_http(stage, client, mode, url, token, call):
    """Lists and calls; the token comes by the environment."""
    command = {
        "pypi": [parts.python(), parts.PYTHON / "client.py"],
        "npm": [parts.program("node"), parts.NPM / "client.mjs"],
        "sdk1": [parts.program("node"), parts.NPM / "sdk1.mjs"],
        "inspector": [parts.NPM / "inspector.sh"],
        "rmcp": [programs.program("matrix-client")] if client == "rmcp" else None,
    }[client]
    options = ["--url", url, "--token-env", "TOKEN", "--era", mode]
    environment = {**os.environ, "TOKEN": token, "NO_PROXY": "127.0.0.1"}
    return run(stage, f"{client} ({mode})", [*command, *options], environment, call)


def over_stdio(stage, client, server, environment, call):
    """The direct run of a server that is a process: a client that starts it itself."""
    program = [parts.NPM / "inspector.sh"] if client == "inspector" else [parts.python(), parts.PYTHON / "client.py"]
    command = [*program, "--command", json.dumps(server), "--era", "legacy"]
    environment = {"PATH": os.environ["PATH"], "MCP_GATEWAY_PARTS": str(parts.folder()), **environment}
    return run(stage, f"{client} over stdio", command, environment, call)


def run(stage, name, command, environment, call):
    tool, given = call
    command = [*command, "--list", "--whole", "--call", tool, "--args", json.dumps(given), "--timeout", "90"]
    _, out, err = stage.children.run(command, 120, env=environment)
    demand(out.strip(), f"{name}: the client printed nothing: {err[-300:]}")
    return json.loads(out)
