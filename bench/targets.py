"""The parts of a run: upstream, issuer, nginx and the gateways, each ended when the run ends."""

import json
import os
import random
import re
import resource
import secrets
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOOR = "/mcp/dev/echo"


def program(name):
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return folder / "release" / name


def part(name):
    """A real part of `scripts/parts/install`."""
    return Path(os.environ.get("MCP_GATEWAY_PARTS", ROOT / ".parts")) / "bin" / name


def free_port():
    """A port below the range that connections take theirs from, so that none slips in before us."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def private(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def filled(name, values, folder):
    """A template of this folder with its places filled in, as a private file in `folder`."""
    text = (ROOT / "bench" / name).read_text()
    for key, value in values.items():
        text = text.replace(key, value)
    return private(folder / name, text)


def await_port(port, process, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"{process.args[0]} does not listen")


class Process:
    """A child that is ended with us; its standard output's first line is kept."""

    def __init__(self, command, reads_line=False, **more):
        command = [str(part) for part in command]
        stdout = subprocess.PIPE if reads_line else subprocess.DEVNULL
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, text=True, **more)
        self.line = self.child.stdout.readline().strip() if reads_line else ""
        if reads_line and not self.line:
            raise SystemExit(f"{command[0]} did not start: exit code {self.child.wait()}")

    def pids(self):
        """The process and its children (nginx's workers)."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Target:
    def __init__(self, name, url, token_file, process):
        self.name, self.url, self.token_file, self.process = name, url, token_file, process

    def pids(self):
        return self.process.pids()


class Upstream(Process):
    def __init__(self, folder):
        self.secret_file = private(folder / "upstream-secret", secrets.token_hex(24))
        credential = private(folder / "upstream-credential", f"Bearer {self.secret_file.read_text()}")
        super().__init__([program("bench-upstream"), "--credential-file", credential], reads_line=True)
        self.address = self.line

    def seen(self):
        with urllib.request.urlopen(f"http://{self.address}/seen", timeout=5) as answer:
            return json.load(answer)


class Nginx(Process):
    def __init__(self, folder, upstream, template="nginx.conf"):
        prefix = folder / "nginx"
        (prefix / "temporary").mkdir(parents=True)
        self.port = free_port()
        # As root, workers would become `nobody` and could not enter the folder.
        values = {
            "@USER@": "user root;" if os.geteuid() == 0 else "",
            "@PORT@": str(self.port),
            "@UPSTREAM@": upstream.address,
            "@CREDENTIAL@": upstream.secret_file.read_text(),
            "@DESCRIPTORS@": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        }
        config = filled(template, values, prefix)
        command = [part("nginx"), "-p", f"{prefix}/", "-c", config.name, "-e", "stderr"]
        super().__init__(command)
        await_port(self.port, self.child)

    @staticmethod
    def version():
        done = subprocess.run([part("nginx"), "-v"], stderr=subprocess.PIPE, text=True, check=True)
        return done.stderr.strip().rpartition("/")[2]


class Envoy(Process):
    def __init__(self, folder, upstream):
        self.port = free_port()
        host, _, port = upstream.address.rpartition(":")
        values = {
            "@PORT@": str(self.port),
            "@UPSTREAM_HOST@": host,
            "@UPSTREAM_PORT@": port,
            "@CREDENTIAL@": upstream.secret_file.read_text(),
        }
        config = filled("envoy.yaml", values, folder)
        # As many workers as nginx has; no shared memory, so that two runs do not meet in it.
        command = [part("envoy"), "-c", config, "--concurrency", "2", "--disable-hot-restart", "--log-level", "error"]
        super().__init__(command, stderr=subprocess.DEVNULL)
        await_port(self.port, self.child)

    @staticmethod
    def version():
        done = subprocess.run([part("envoy"), "--version"], stdout=subprocess.PIPE, text=True, check=True)
        return re.search(r"/(\d+\.\d+\.\d+)/", done.stdout)[1]


class Plane(Process):
    """The data plane alone."""

    def __init__(self, folder, durability, port, parts):
        data = folder / f"plane-{durability}"
        data.mkdir(mode=0o700)
        command = [program("bench-gateway"), "--listen", f"127.0.0.1:{port}", "--data", data]
        command += ["--upstream", parts.upstream.address, "--issuer", parts.issuer.line]
        command += ["--secret-file", parts.upstream.secret_file, "--durability", durability]
        super().__init__(command, reads_line=True)


class Gateway(Process):
    """The gateway as an operator runs it: configuration file, login, secret, manifests."""

    def __init__(self, folder, durability, port, parts):
        data = folder / f"gateway-{durability}"
        data.mkdir(mode=0o700)
        self.control_port = free_port()
        values = {
            "@PORT@": str(port),
            "@CONTROL@": str(self.control_port),
            "@DATA@": str(data),
            "@DURABILITY@": durability,
            "@ISSUER@": parts.issuer.line,
            "@UPSTREAM@": parts.upstream.address,
        }
        self.data = data
        config = filled("gateway.yaml", values, data)
        super().__init__([program("mcp-gateway"), "serve", "--config", config])
        try:
            await_port(self.control_port, self.child)
            await_port(port, self.child)
            self._set_up(filled("manifests.yaml", values, data), parts.upstream.secret_file)
        except BaseException:
            self.end()
            raise

    def _command(self, *arguments, **more):
        environment = os.environ | {"MCP_GATEWAY_TOKEN_FILE": str(self.data / "operator.token")}
        control = f"http://127.0.0.1:{self.control_port}"
        command = [program("mcp-gateway"), *arguments, "--control", control]
        command += ["--token-file", self.data / "operator.token"]
        done = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=30, env=environment, **more,
        )
        if done.returncode != 0:
            raise SystemExit(f"mcp-gateway {arguments[0]} ended with {done.returncode}: {done.stdout}")

    def _set_up(self, manifests, secret_file):
        token = self.data / "bootstrap-token"
        self._command("login", "--bootstrap-token-file", token, "--name", "bench")
        self._command("secret", "put", "local", "bench", "--field", "token", input=secret_file.read_text())
        self._command("apply", "-f", manifests)


class Parts:
    """Everything a run needs, as a context."""

    def __init__(self, folder, plane):
        self.folder, self.plane = folder, plane
        self.started, self.targets = [], []

    def start(self, make, *arguments):
        part = make(*arguments)
        self.started.append(part)
        return part

    def __enter__(self):
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for part in reversed(self.started):
            part.end()

    def _start_all(self):
        self.upstream = self.start(Upstream, self.folder)
        doors = {}
        command = [program("bench-issuer")]
        for durability in ("process", "fsync"):
            port, token_file = free_port(), self.folder / f"token-{durability}"
            doors[durability] = (port, token_file)
            command += ["--audience", f"http://127.0.0.1:{port}{DOOR}", "--token-file", token_file]
        self.issuer = self.start(Process, command, True)
        nginx = self.start(Nginx, self.folder, self.upstream)
        upstream_url = f"http://{self.upstream.address}/mcp"
        self.targets.append(Target("direct", upstream_url, self.upstream.secret_file, self.upstream))
        # nginx gets the same token as the gateway, and puts its own value in its place.
        nginx_url = f"http://127.0.0.1:{nginx.port}{DOOR}"
        self.targets.append(Target("nginx", nginx_url, doors["process"][1], nginx))
        envoy = self.start(Envoy, self.folder, self.upstream)
        self.targets.append(Target("envoy", f"http://127.0.0.1:{envoy.port}{DOOR}", doors["process"][1], envoy))
        for durability, (port, token_file) in doors.items():
            kind = Plane if self.plane else Gateway
            gateway = self.start(kind, self.folder, durability, port, self)
            url = f"http://127.0.0.1:{port}{DOOR}"
            self.targets.append(Target(f"gateway-{durability}", url, token_file, gateway))

    def versions(self):
        return {"nginx": Nginx.version(), "envoy": Envoy.version()}
