"""The real upstream servers: npm server-everything behind the credential gate, the rmcp server, and one that
demands OAuth of its own.

All demand a credential and write down what arrived; verdicts come from these logs.
"""

import hashlib
import json
import os

from . import parts


class Log:
    """A log with one JSON object a line, read as it grows."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        path.touch()

    def all(self):
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def mark(self):
        """From here on: the place that `since` takes. Always the beginning of a line: the upstream may be in
        the middle of writing one."""
        with open(self.path, "rb") as file:
            end = file.seek(0, 2)
            start = max(0, end - 65_536)
            file.seek(start)
            last = file.read(end - start).rfind(b"\n")
        return start + last + 1

    def since(self, mark):
        with open(self.path, "rb") as file:
            file.seek(mark)
            return [json.loads(line) for line in file.read().split(b"\n")[:-1]]


class AcceptFile:
    """The digests of the credentials that are good now; replaced as a whole, never half written."""

    def __init__(self, path):
        self.path, self.digests = path, []
        self._write()

    def accept(self, digest):
        self.digests.append(digest)
        self._write()

    def reject(self, digest):
        self.digests.remove(digest)
        self._write()

    def _write(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(f"{digest}\n" for digest in self.digests))
        os.replace(fresh, self.path)


class Workshop:
    """The rmcp server of both protocol generations, in a process of its own."""

    def __init__(self, stage, name):
        self.log = Log(stage.folder / f"{name}-upstream.jsonl")
        self.good = AcceptFile(stage.folder / f"{name}-accepted")
        command = [stage.program, "fixture-server", "--listen", "127.0.0.1:0",
                   "--accept-file", self.good.path, "--log", self.log.path]
        self.child = stage.children.start(f"{name}-upstream", command, reads=True)
        self.url = self.child.ready()

    def accept(self, credential):
        self.good.accept(credential.sha256)

    def reject(self, credential):
        self.good.reject(credential.sha256)


class Gated:
    """A real server that knows no credential, behind the gate."""

    def __init__(self, stage, name, command, ends=False):
        server = stage.children.start(name, command, reads=True)
        address = server.ready(60)
        self.log = Log(stage.folder / f"{name}-gate.jsonl")
        self.good = AcceptFile(stage.folder / f"{name}-gate-accepted")
        gate = [parts.program("node"), parts.NPM / "credential-gate.mjs", "--port", "0",
                "--upstream", address, "--log", self.log.path, *(["--log-ends"] if ends else [])]
        gate = stage.children.start(
            f"{name}-gate", gate, reads=True, env={**os.environ, "EXPECT_FILE": str(self.good.path)}
        )
        self.url = gate.ready() + "/mcp"

    def accept(self, credential):
        self.good.accept(hashlib.sha256(f"Bearer {credential.value}".encode()).hexdigest())


class Everything(Gated):
    """npm server-everything, which speaks the older generation."""

    def __init__(self, stage, name):
        super().__init__(stage, f"{name}-everything", [parts.NPM / "everything.sh", "0"])


class Newcomer(Gated):
    """PyPI mcp's server, held to the newer generation alone."""

    def __init__(self, stage, name):
        command = [parts.python(), parts.PYTHON / "newcomer.py", "0"]
        super().__init__(stage, f"{name}-newcomer", command, ends=True)


class OAuthServer:
    """npm @modelcontextprotocol/sdk with its own authorization: it verifies the tokens of one issuer, by the
    issuer's keys or by asking it, and reports the authority that it saw."""

    def __init__(self, stage, name, issuer, scopes="", jwks=None, introspect=None):
        self.log = Log(stage.folder / f"{name}.jsonl")
        command = [parts.program("node"), parts.NPM / "oauth-server.mjs", "--port", "0",
                   "--issuer", issuer, "--scopes", scopes, "--log", self.log.path]
        environment = dict(os.environ)
        if jwks:
            command += ["--jwks", jwks]
        if introspect:
            client, environment["INTROSPECTION_SECRET"] = introspect
            command += ["--introspect", client]
        self.child = stage.children.start(name, command, reads=True, env=environment)
        self.url = self.child.ready()

    def calls(self, mark=0):
        """The tool calls that arrived since, with the authority of each; also those that it refused."""
        return [line for line in self.log.since(mark) if line["rpc"] == "tools/call"]
