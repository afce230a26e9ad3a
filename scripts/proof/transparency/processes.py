"""Servers that are processes, as the gateway is told of them, and as the machine shows them."""

import json
import os
import shutil
import sys
from pathlib import Path

from .. import manifests, parts
from ..claim import demand

EVERYTHING = parts.NPM / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
VARIABLE = "SERVICE_KEY"


def node_server(package):
    """The start file of a server among the parts."""
    return parts.folder() / "servers" / "node_modules" / "@modelcontextprotocol" / package / "dist" / "index.js"


def everything():
    return [str(parts.program("node").resolve()), str(EVERYTHING.resolve()), "stdio"]


def trouble(folder, *options):
    """The small Python server, from a place that every user of the machine can read."""
    program = folder / "trouble.py"
    if not program.exists():
        shutil.copyfile(parts.PYTHON / "trouble.py", program)
        program.chmod(0o644)
    # The system's own where there is one: a user's Python may be where no other user can go.
    system = Path("/usr/bin/python3")
    return [os.path.realpath(system if system.exists() else sys.executable), str(program), *options]


def section(commands, **more):
    """The configuration's part about processes."""
    return f"stdio: {json.dumps({'commands': commands, **more})}\n"


def server(name, command, environment=None, timeout=60, risks=""):
    """The manifest of a server that is a process."""
    route = {"command": command, "environment": environment or {}, "timeout_seconds": timeout}
    return (f"kind: Server\nname: {name}\nenvironment: dev\nowner: platform\nroute: {json.dumps(route)}\n"
            f"tools: {{ default_risk: read{risks} }}\n")


def binding(name, server_name, secret, agents, place="environment", variable=VARIABLE):
    """A binding that gives the secret to the process."""
    text = manifests.binding(name, secret, agents, server_name=server_name, more='methods: ["*"]\n')
    written = 'inject: { header: Authorization, format: "Bearer {secret}" }'
    demand(written in text, "the manifests' binding has changed")
    return text.replace(written, f"inject: {{ {place}: {variable} }}")


# The machine's view

def alive(pid):
    """Whether the process is there; one that ended and was not waited for is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def below(root):
    """All descendants of a process that are alive: pid -> command line."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_bytes()
                parents[int(entry)] = int(stat.rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found = {}
    for pid in parents:
        above = parents[pid]
        while above in parents and above != root:
            above = parents[above]
        if above == root and alive(pid):
            found[pid] = command_line(pid)
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def environment(pid):
    """What the process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.partition(b"=")[::2] for pair in pairs if pair)
