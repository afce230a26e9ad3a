"""A server over standard input and output that makes the trouble it is asked for, one tool a kind.

    trouble.py ENVIRONMENT_VARIABLE | trouble.py --file VARIABLE

Its credential is the variable's value, or the content of the file that the variable names. It speaks
2025-11-25, needs nothing but Python, and answers one request after another, so that a tool that hangs
hangs the server. Where the variable CALLS names a file, each call is written there before it is answered.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import quote

OUT = sys.stdout


def credential() -> str:
    if sys.argv[1] == "--file":
        with open(os.environ[sys.argv[2]], encoding="utf-8") as file:
            return file.read()
    return os.environ[sys.argv[1]]


def send(message: dict) -> None:
    OUT.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    OUT.flush()


def whoami(_: dict) -> str:
    """Who this process is, and the digest of its credential."""
    digest = hashlib.sha256(credential().encode()).hexdigest()
    return json.dumps({"pid": os.getpid(), "uid": os.getuid(), "sha256": digest, "directory": os.getcwd()})


def say(_: dict) -> str:
    """Shouts the credential in every form, on standard error and in the answer."""
    value = credential()
    raw = value.encode()
    said = [value, json.dumps(value), quote(value, safe=""), raw.hex(), raw.hex().upper()]
    said += [base64.b64encode(b"\0" * shift + raw).decode() for shift in range(3)]
    said += [base64.urlsafe_b64encode(b"\0" * shift + raw).decode() for shift in range(3)]
    for text in said:
        print(f"my key is {text}, in case anybody asks", file=sys.stderr, flush=True)
    return "\n".join(said)


def slow(given: dict) -> str:
    """Answers after a while."""
    time.sleep(given["millis"] / 1000)
    return whoami(given)


def crash(_: dict) -> str:
    """Ends without an answer."""
    print(f"crashed with {credential()}", file=sys.stderr, flush=True)
    os._exit(3)


def hang(_: dict) -> str:
    """Never answers, and reads nothing any more."""
    while True:
        time.sleep(60)


def flood(given: dict) -> str:
    """Writes many messages before its answer."""
    for number in range(given["messages"]):
        send({"method": "notifications/message", "params": {"level": "info", "data": f"flood {number} " + "x" * 200}})
    return "dry"


def garbage(given: dict) -> str:
    """Writes lines that are no messages, and then its answer; or no end of them."""
    number = 0
    while given.get("lines") is None or number < given["lines"]:
        OUT.write(f"no message, but {credential()} \x00\x1b[2J{{\n")
        number += 1
    OUT.flush()
    return "after the garbage"


def endless_line(_: dict) -> str:
    """Writes a message that never ends."""
    OUT.write('{"jsonrpc":"2.0","id":1,"result":"')
    while True:
        OUT.write("x" * 65536)
        OUT.flush()


def deaf(_: dict) -> str:
    """Ignores every request to end, and the end of its input."""
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(asked, signal.SIG_IGN)
    return whoami(_)


def spawn(_: dict) -> str:
    """Leaves a process of its own behind, which has the credential too."""
    return str(subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL).pid)  # noqa: S603


def read(given: dict) -> str:
    """Reads a file, as far as it may."""
    try:
        with open(given["path"], "rb") as file:
            return f"read {len(file.read())} bytes"
    except OSError as error:
        return type(error).__name__


TOOLS = {tool.__name__: tool for tool in (whoami, say, slow, crash, hang, flood, garbage, endless_line, deaf,
                                          spawn, read)}


def answer(request: dict) -> dict:
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        version = params["protocolVersion"]
        return {"result": {"protocolVersion": version, "capabilities": {"tools": {}, "logging": {}},
                           "serverInfo": {"name": "trouble", "version": "1"}}}
    if method == "ping":
        return {"result": {}}
    if method == "tools/list":
        tools = [{"name": name, "description": tool.__doc__, "inputSchema": {"type": "object"}}
                 for name, tool in TOOLS.items()]
        return {"result": {"tools": tools}}
    if method == "tools/call":
        note(params)
        text = TOOLS[params["name"]](params.get("arguments", {}))
        return {"result": {"content": [{"type": "text", "text": text}]}}
    return {"error": {"code": -32601, "message": f"Method not found: {method}"}}


def note(params: dict) -> None:
    """One line for each call, written at once: several processes may share the file."""
    if path := os.environ.get("CALLS"):
        digest = hashlib.sha256(credential().encode()).hexdigest()
        line = json.dumps({"name": params["name"], "pid": os.getpid(), "credential_sha256": digest}) + "\n"
        with open(path, "ab", buffering=0) as file:
            file.write(line.encode())


def main() -> None:
    print("trouble is up", file=sys.stderr, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            send({"id": message["id"], **answer(message)})
    while signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        time.sleep(60)


if __name__ == "__main__":
    main()
