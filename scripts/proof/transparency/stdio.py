"""Servers that are processes: their credential shows nowhere, and rotates, ends and fails with them alone."""

import json
import os

from ..claim import Claim, demand
from ..gateway import Gateway
from ..manifests import agent, configuration, environment, policy, together
from ..session import Session
from ..spine.canary import excluded
from ..sweep import Sweep
from . import processes, stdio_ends, stdio_trouble, stdio_users
from .stdio_tools import call_every_tool

SERVERS = ("everything-env", "everything-file", "trouble", "trouble-file", "impatient")
# Seconds after which the impatient server's route gives a call up.
PATIENCE = 2


class Scene:
    """The gateway of this claim, and what its parts share."""

    def __init__(self, stage):
        self.stage = stage
        self.folder = stage.folder / "stdio-programs"
        self.folder.mkdir()
        self.credentials = {name: stage.mint.make(f"stdio {name}") for name in SERVERS}
        for name, credential in self.credentials.items():
            stage.openbao.put(f"kv/stdio/{name}", credential)
        commands = [processes.everything(), processes.trouble(self.folder)]
        private = stage.folder / "stdio-private"
        more = processes.section(commands, processes=64, idle_seconds=600, directory=str(private))
        self.gateway = Gateway(stage, "stdio", configuration(stage, SERVERS, more=more)).start().log_in()
        self.private = private
        self.gateway.apply(self._manifests())
        self.tokens = {}

    def _manifests(self):
        in_variable = processes.trouble(self.folder, processes.VARIABLE)
        in_file = processes.trouble(self.folder, "--file", processes.VARIABLE)
        servers = {
            "everything-env": (processes.everything(), "environment", 60),
            "everything-file": (processes.everything(), "file", 60),
            "trouble": (in_variable, "environment", 60),
            "trouble-file": (in_file, "file", 60),
            "impatient": (in_variable, "environment", PATIENCE),
        }
        documents = [environment(), agent(self.stage, "triage-bot"), agent(self.stage, "steady-bot"),
                     policy(condition="true").replace('action == Action::"call_tool"', "action")]
        for name, (command, place, timeout) in servers.items():
            documents.append(processes.server(name, command, timeout=timeout))
            for who in ("triage", "steady"):
                documents.append(processes.binding(f"{name}-{who}", name, f"bao://kv/stdio/{name}#token",
                                                   f"{who}-bot", place))
        return together(*documents)

    def session(self, server, who="triage"):
        """An open session of the agent's at the server."""
        return self.unopened(server, who).open()

    def unopened(self, server, who="triage"):
        door = self.gateway.door("dev", server)
        token = self.tokens.get((door, who))
        if token is None:
            token = self.tokens[door, who] = self.stage.issuer.agent(f"{who}-bot", door)
        return Session(self.stage, door, token, "stdio-sessions")

    def children(self):
        """The processes that the gateway has started and that are alive."""
        return processes.below(self.gateway.child.pid)


def whoami(session, tool="whoami", arguments=None):
    reply = session.call(tool, arguments)
    demand(reply.status == 200 and reply.result, f"{tool}: {reply}")
    return json.loads(reply.text())


def judge(stage):
    scene = Scene(stage)
    figures = []
    try:
        figures.append(call_every_tool(scene))
        figures.append(shouted(scene))
        figures.append(stdio_ends.rotation(scene, whoami))
        figures.append(stdio_trouble.judge(scene, whoami))
        figures.append(stdio_ends.revocation(scene, whoami))
        figures.append(stdio_ends.kill9(scene, whoami))
        figures.append(stdio_users.judge(stage, whoami))
    finally:
        if scene.gateway.child.alive():
            scene.gateway.keep_metrics()
        scene.gateway.stop()
    figures.append(swept(stage, scene))
    return "; ".join(figures)


def shouted(scene):
    """A server that shouts its credential in every form reaches nobody with it."""
    for name in ("trouble", "trouble-file"):
        session = scene.session(name)
        demand(whoami(session)["sha256"] == scene.credentials[name].sha256, f"{name}: another credential")
        reply = session.call("say")
        marker = f"[scrubbed:{name}-triage]"
        demand(reply.text().count(marker) == 11, f"{name}: {reply.text().count(marker)} of 11 forms scrubbed")
        session.end()
    return "a server that shouts it in 11 forms, on both its outputs, is scrubbed in all"


def swept(stage, scene):
    """Nothing of it in any file of the run, nor among any process's arguments."""
    sweep = Sweep(stage.mint.needles())
    hits, files, size = sweep.folder(stage.folder, excluded(stage))
    demand(not hits, "; ".join(f"{os.path.relpath(path, stage.folder)} holds {', '.join(names[:3])}"
                               for path, names in hits[:5]))
    shown = [name for line in stage.children.arguments for name in sweep.bytes(line)]
    demand(not shown, f"a process had {', '.join(shown[:3])} among its arguments")
    logs = (stage.folder / "logs").glob("stdio-*.log")
    heard = sum(path.read_bytes().count(b"[scrubbed:") for path in logs)
    demand(heard > 0, "the log never had anything to scrub: nothing was proven")
    return (f"0 hits in {files} files ({size / 1e6:.0f} MB) and {len(stage.children.arguments)} command lines, "
            f"{heard} markers in the log")


CLAIMS = (
    Claim("stdio", "the credential of a process shows nowhere, whatever it does with it; rotation fails no call, "
                   "revocation and the gateway's own end leave no process that it started, and one that crashes, "
                   "hangs, floods or is deaf harms only its own calls", judge),
)
