"""Every tool of npm server-everything, as a process that holds a credential."""

import hashlib
import json
import time
from pathlib import Path

from ..claim import demand
from . import processes

# Plausible arguments of each tool that takes any. A tool that is not known here fails the claim.
ARGUMENTS = {
    "echo": {"message": "what is your key?"},
    "get-annotated-message": {"messageType": "debug", "includeImage": True},
    "get-env": {},
    "get-resource-links": {"count": 3},
    "get-resource-reference": {"resourceType": "Text", "resourceId": 1},
    "get-structured-content": {"location": "Chicago"},
    "get-sum": {"a": 1, "b": 2},
    "get-tiny-image": {},
    "gzip-file-as-resource": {"name": "a.gz", "data": "data:text/plain,hello", "outputType": "resource"},
    "toggle-simulated-logging": {},
    "toggle-subscriber-updates": {},
    "trigger-long-running-operation": {"duration": 1, "steps": 2},
    "get-roots-list": {},
    "trigger-elicitation-request": {},
    "trigger-elicitation-request-async": {},
    "trigger-sampling-request": {"prompt": "say it", "maxTokens": 10},
    "trigger-sampling-request-async": {"prompt": "say it", "maxTokens": 10},
    "trigger-url-elicitation": {"url": "https://example.com/", "message": "open"},
    "simulate-research-query": {"topic": "keys"},
}
# The tools that are registered only for clients that can do what they ask for.
LATE = ("get-roots-list", "trigger-elicitation-request", "trigger-sampling-request", "trigger-url-elicitation",
        "simulate-research-query")
AS_TASK = ("simulate-research-query",)


def call_every_tool(scene):
    tools, asked = 0, set()
    for name in ("everything-env", "everything-file"):
        session = scene.session(name).listen()
        listed = [tool["name"] for tool in session.ask("tools/list", {}).result["tools"]]
        missing = [tool for tool in LATE if tool not in listed]
        demand(not missing, f"{name}: not registered: {', '.join(missing)}")
        unknown = [tool for tool in listed if tool not in ARGUMENTS]
        demand(not unknown, f"{name}: no arguments known for {', '.join(unknown)}")
        for tool in listed:
            reply = as_task(session, tool) if tool in AS_TASK else session.call(tool, ARGUMENTS[tool])
            demand(reply.status == 200 and reply.result and not reply.result.get("isError"), f"{name}: {tool}: {reply}")
            if tool == "get-env":
                judge_environment(scene, name, json.loads(reply.text()))
        for method in ("resources/list", "resources/templates/list", "prompts/list"):
            demand(session.ask(method, {}).result, f"{name}: {method}")
        tools += len(listed)
        asked.update(session.asked)
        demand(session.end() in (200, 202, 204), f"{name}: the session did not end")
    return (f"{tools} calls of every tool of server-everything in two bindings (variable, file), the server asking "
            f"back {', '.join(sorted(asked))}")


def as_task(session, tool):
    """A tool that only runs as a task: started, asked about, and its result fetched."""
    made = session.call(tool, ARGUMENTS[tool], task={"ttl": 60_000})
    demand(made.result and "task" in made.result, f"{tool}: {made}")
    task = made.result["task"]["taskId"]
    deadline = time.monotonic() + 30
    while True:
        told = session.ask("tasks/get", {"taskId": task})
        demand(told.result and time.monotonic() < deadline, f"{tool}: the task does not complete: {told}")
        if told.result["status"] == "completed":
            break
        time.sleep(0.1)
    return session.ask("tasks/result", {"taskId": task})


def judge_environment(scene, name, shown):
    """The dump shows the marker or the file's path; the process itself, as the machine sees it, the value."""
    credential = scene.credentials[name]
    pids = [pid for pid, line in scene.children().items() if b"server-everything" in line]
    held = [pid for pid in pids if processes.VARIABLE.encode() in processes.environment(pid)]
    demand(held, f"{name}: no process has {processes.VARIABLE}")
    found = set()
    for pid in held:
        value = processes.environment(pid)[processes.VARIABLE.encode()]
        if value.startswith(b"/proc/self/fd/"):
            value = Path(f"/proc/{pid}/fd/{value.rpartition(b'/')[2].decode()}").read_bytes()
        found.add(hashlib.sha256(value).hexdigest())
    demand(credential.sha256 in found, f"{name}: the process was given something else")
    said = shown.get(processes.VARIABLE)
    if name.endswith("-env"):
        demand(said == f"[scrubbed:{name}-triage]", f"{name}: get-env shows {said}")
    else:
        demand(str(said).startswith("/proc/self/fd/"), f"{name}: get-env shows {said}")
    foreign = set(shown) - {processes.VARIABLE, "PATH", "LANG", "HOME", "TMPDIR"}
    demand(not foreign, f"{name}: the process was also given {', '.join(sorted(foreign))}")
