"""The guides of promises 3 to 6, followed by a reader who copies and pastes.

A comment before a fence says what the reader does with it: `<!-- file: NAME -->` writes it, `<!-- execute -->`
runs it in the one shell of that page, `<!-- expect -->` reads each of its lines in what the command before said.
"""

import os
import re
import signal
import subprocess

from .. import parts
from ..claim import demand
from ..processes import free_port, until

PAGES = ("service-account", "user-delegated", "agent-scoped", "workload-identity")
FENCE = re.compile(r"^<!-- (file: (?P<file>\S+)|execute|expect) -->\n```\w*\n(?P<text>.*?)^```$", re.M | re.S)
ADDRESS = re.compile(r"\b(127\.0\.0\.\d):(\d{4})\b")
SECONDS = 90


def judge(stage):
    figures = [read(stage, page) for page in PAGES]
    return "; ".join(figures)


def read(stage, page):
    """Follows one page in a folder of its own; the count of what was done."""
    folder = stage.folder / f"reader-{page}"
    folder.mkdir()
    text, control = moved((parts.ROOT / "docs" / f"{page}.md").read_text())
    script, runs, expectations, files = ["set -euo pipefail"], 0, [], 0
    for fence in FENCE.finditer(text):
        kind = fence[1].partition(":")[0]
        if kind == "file":
            (folder / fence["file"]).write_text(fence["text"])
            files += 1
        elif kind == "execute":
            runs += 1
            script.append(f"{{\n{fence['text']}}} > said-{runs} 2>&1")
        else:
            expectations.append((runs, fence["text"].strip().splitlines()))
    demand(runs and expectations, f"{page}: nothing to execute, or nothing to expect")
    try:
        follow(stage, page, folder, "\n".join(script) + "\n", control)
    finally:
        remember(stage, folder)
    for run, lines in expectations:
        said = (folder / f"said-{run}").read_text()
        for line in lines:
            demand(line in said, f"{page}, example {run}: `{line}` was not said, but: {said[-400:]}")
    lines = sum(len(expected) for _, expected in expectations)
    return f"{page}.md: {files} files written, {runs} examples run, {lines} promised lines read"


def send(group, what):
    """Whether anybody of the process group was there to get the signal."""
    try:
        os.killpg(group, what)
    except ProcessLookupError:
        return False
    return True


def remember(stage, folder):
    """What the reader's own files hold, to be looked for everywhere else."""
    for key in folder.glob("*.key"):
        stage.mint.also("a reader's key", key.read_text().strip())
    for header in folder.glob("*.header"):
        stage.mint.also("a reader's token", header.read_text().split()[-1])


def moved(text):
    """The page with addresses that are free on this machine in place of its own; and where its control API is."""
    ports = {port: str(free_port()) for _, port in ADDRESS.findall(text)}
    written = re.compile(rf"\b({'|'.join(ports)})\b")
    return written.sub(lambda found: ports[found[1]], text), f"http://127.0.0.1:{ports['8081']}"


def follow(stage, page, folder, script, control):
    """One shell for the whole page, so that what one example sets the next one has."""
    (folder / "page.sh").write_text(script)
    names = {"HOME": str(folder), "LC_ALL": "C", "CHECKOUT": str(parts.ROOT), "MCP_GATEWAY_CONTROL": control,
             "PATH": f"{stage.program.parent}:{parts.folder() / 'bin'}:{os.environ['PATH']}"}
    child = stage.children.start(f"reader-{page}", ["bash", "page.sh"], cwd=folder, env=names)
    try:
        code = child.process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        code = "no end"
    finally:
        # What the page left running in the background is in the shell's group.
        send(child.pid, signal.SIGTERM)
        until(f"what {page} started has ended", lambda: child.alive() is False and not send(child.pid, 0), 30)
    if code != 0:
        reached = sorted(folder.glob("said-*"), key=lambda file: int(file.name.partition("-")[2]))
        said = reached[-1].read_text() if reached else child.tail()
        demand(False, f"{page}, example {len(reached)} ended with {code}: {said[-500:]}")
