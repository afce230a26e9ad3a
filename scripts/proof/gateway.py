"""A running gateway: its configuration, its process, its doors, its control API and its command line."""

import json
import signal

from . import web
from .claim import demand
from .processes import free_port, until


class Gateway:
    """`configuration` is text with @LISTEN@ and @CONTROL@ where the addresses go."""

    def __init__(self, stage, name, configuration, **options):
        self.stage, self.name, self.options = stage, name, options
        self.folder = stage.folder / name
        self.folder.mkdir()
        self.port, self.control_port = free_port(), free_port()
        self.public_url = f"http://127.0.0.1:{self.port}"
        self.control = f"http://127.0.0.1:{self.control_port}"
        self.file = self.folder / "gateway.yaml"
        text = configuration.replace("@LISTEN@", f"127.0.0.1:{self.port}")
        self.file.write_text(text.replace("@CONTROL@", f"127.0.0.1:{self.control_port}"))
        self.token_file, self.keys_file = self.folder / "operator.token", self.folder / "audit-keys.json"
        self.child = None

    # The process

    def start(self, prefix=()):
        command = [*prefix, self.stage.program, "serve", "--config", self.file]
        self.child = self.stage.children.start(self.name, command, cwd=self.folder, **self.options)
        self.await_ready()
        return self

    def await_ready(self, seconds=60):
        def ready():
            demand(self.child.alive(), f"the gateway ended: {self.child.tail()}")
            try:
                return web.request("GET", f"{self.control}/readyz", seconds=5).status == 200
            except OSError:
                return False

        until("the gateway is ready", ready, seconds)

    def stop(self):
        return self.child.end(signal.SIGTERM, 60)

    def kill(self):
        self.child.end(signal.SIGKILL)

    # Operators

    def log_in(self, name="ada"):
        """Uses up the bootstrap token of the first start, through the command line."""
        bootstrap = self.folder / "data" / "bootstrap-token"
        until("the bootstrap token is there", bootstrap.exists, 10)
        token = bootstrap.read_text().strip()
        self.stage.mint.also("bootstrap token", token)
        self.cli("login", "--bootstrap-token-file", bootstrap, "--name", name)
        self.stage.mint.also("operator token", self.token_file.read_text().strip())
        # The keys of the first start are the only ones that count, whatever comes later.
        self.keys_file.write_text(json.dumps(self.cli("audit", "keys")))
        return self

    def borrow_operator(self, other):
        """Of another gateway on the same state: who is an operator there is one here. The keys are its own."""
        self.stage.private(self.token_file, other.token_file.read_text())
        self.keys_file.write_text(json.dumps(self.cli("audit", "keys")))
        return self

    def cli(self, *arguments, token_file=None, expect=(0,)):
        """Runs a command of the gateway's against its control API; the parsed JSON that it printed."""
        code, out, err = self.try_cli(*arguments, token_file=token_file)
        demand(code in expect, f"`{arguments[0]} {arguments[1] if len(arguments) > 1 else ''}` ended with "
                               f"{code}: {(out + err)[-600:]}")
        return json.loads(out) if out.strip() else {}

    def try_cli(self, *arguments, token_file=None):
        command = [self.stage.program, "--control", self.control, "--token-file", token_file or self.token_file,
                   "--output", "json", *arguments]
        result = self.stage.children.run(command, cwd=self.folder)
        self.stage.keep(f"{self.name}-cli", result[1] + result[2])
        return result

    def api(self, method, path, body=None, token_file=None):
        token = (token_file or self.token_file).read_text().strip()
        answer = web.request(method, f"{self.control}/v1{path}", body, {"Authorization": f"Bearer {token}"})
        self.stage.keep(f"{self.name}-api", answer.text)
        return answer

    def apply(self, manifests, expect=(0,), token_file=None):
        """Writes manifests (text) and applies them."""
        self.count = getattr(self, "count", 0) + 1
        file = self.folder / f"manifests-{self.count}.yaml"
        file.write_text(manifests)
        return self.cli("apply", "-f", file, expect=expect, token_file=token_file)

    def records(self, token_file=None, **query):
        """The events that the audit search finds, newest first."""
        words = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.api("GET", f"/audit?limit=1000&{words}", token_file=token_file)
        demand(answer.status == 200, f"audit search: {answer.status} {answer.text[:200]}")
        return [record.get("event", record) for record in answer.json()["records"]]

    # Evidence on disk

    @property
    def audit(self):
        return self.folder / "data" / "audit"

    def events(self):
        """Every event of the segments, in order, from the files themselves."""
        for segment in sorted(self.audit.glob("segment-*.jsonl")):
            with open(segment, "rb") as lines:
                for line in lines:
                    if line.startswith(b'{"seq":') and line.endswith(b"}\n"):
                        yield json.loads(line)["event"]

    def verify(self, directory=None, against=None):
        """`audit verify` over a directory, without the gateway. Returns exit code and output."""
        command = [self.stage.program, "--output", "json", "audit", "verify",
                   "--directory", directory or self.audit, "--keys", self.keys_file]
        command += ["--against", against] if against else []
        code, out, err = self.stage.children.run(command)
        return code, (out + err).strip()

    # Agents

    def door(self, environment, server):
        return f"{self.public_url}/mcp/{environment}/{server}"

    def keep_metrics(self):
        """Fetches the open pages for the sweep."""
        for page in ("metrics", "readyz", "livez", ".well-known/jwks.json", "v1/openapi.json"):
            self.stage.keep(f"{self.name}-pages", web.request("GET", f"{self.control}/{page}").text)


def modern(tool, arguments=None, number=1):
    """The body of a self-contained tools/call of 2026-07-28."""
    return json.dumps({
        "jsonrpc": "2.0", "id": number, "method": "tools/call",
        "params": {
            "name": tool, "arguments": arguments or {},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "prove", "version": "1"},
            },
        },
    }).encode()


def modern_headers(token, tool):
    return {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call", "Mcp-Name": tool,
    }


def call(stage, door, token, tool, arguments=None, seconds=60):
    """One call; the answer is kept for the sweep."""
    answer = web.request("POST", door, modern(tool, arguments), modern_headers(token, tool), seconds)
    stage.keep("calls", f"{answer.status}\n{answer.headers}\n{answer.text}")
    return answer


def succeeded(answer):
    """Whether a tool's result came back, over JSON or as an event stream."""
    return answer.status == 200 and b'"result"' in answer.body and b'"isError":true' not in answer.body
