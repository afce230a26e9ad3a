"""Receivers of evidence and traces: a strict one for OTLP and webhooks, and real rsyslogd over TCP and TLS. Each can be
killed and brought back at the same address."""

import json
import os
import pwd
import re
import signal
import subprocess

from . import parts
from .claim import demand
from .processes import free_port, until


class Receiver:
    """tests-real/telemetry/receiver.py: it keeps what it takes before it answers."""

    def __init__(self, stage, name):
        self.stage, self.name, self.port = stage, name, free_port()
        self.folder = stage.folder / name
        self.folder.mkdir()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        program = parts.ROOT / "tests-real" / "telemetry" / "receiver.py"
        python = parts.folder() / "telemetry" / "bin" / "python"
        self.child = self.stage.children.start(self.name, [python, program, self.port, self.folder], reads=True)
        self.child.ready()

    def kill(self):
        self.child.end(signal.SIGKILL)

    def lines(self, name):
        """What it kept, parsed."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_bytes().split(b"\n") if line] if path.exists() else []

    def refused(self):
        path = self.folder / "refused.txt"
        return path.read_text() if path.exists() else ""


class Rsyslog:
    """rsyslogd with nothing but one TCP input, as a user of its own; one line a message in `got`."""

    def __init__(self, stage, name, authority=None):
        self.stage, self.name, self.port = stage, name, free_port()
        self.folder = stage.folder / name
        self.folder.mkdir(mode=0o755)
        os.chmod(stage.folder, 0o711)
        self.got = self.folder / "got.log"
        self.scheme = "tls" if authority else "tcp"
        self.address = f"{self.scheme}://127.0.0.1:{self.port}"
        (self.folder / "rsyslog.conf").write_text(self._configuration(authority))
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.account:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        self.start()

    def _configuration(self, authority):
        driver = secured = ""
        if authority:
            certificate, key = authority.issue("IP:127.0.0.1", "serverAuth")
            for file in (authority.certificate, certificate, key):
                (self.folder / file.name).write_bytes(file.read_bytes())
            driver = (f' DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="{self.folder}/{authority.certificate.name}"'
                      f' DefaultNetstreamDriverCertFile="{self.folder}/{certificate.name}"'
                      f' DefaultNetstreamDriverKeyFile="{self.folder}/{key.name}"')
            secured = ' StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
        return (f'global(workDirectory="{self.folder}" maxMessageSize="64k"{driver})\n'
                f'module(load="imtcp"{secured})\n'
                'template(name="line" type="string" string="%app-name% %msgid% %structured-data% %msg%\\n")\n'
                f'ruleset(name="audit") {{ action(type="omfile" file="{self.got}" template="line") }}\n'
                f'input(type="imtcp" address="127.0.0.1" port="{self.port}" ruleset="audit")\n')

    def start(self):
        command = [parts.program("rsyslogd").resolve(), "-n", "-f", self.folder / "rsyslog.conf", "-i", self.folder / "pid"]
        if self.account:
            identity = [f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups", "--"]
            command = ["setpriv", *identity, *command]
        (self.folder / "pid").unlink(missing_ok=True)
        self.child = self.stage.children.start(self.name, command, cwd=self.folder)
        until(f"{self.name} listens", self._listens, 30)

    def _listens(self):
        demand(self.child.alive(), f"{self.name} ended: {self.child.tail()}")
        sockets = open("/proc/net/tcp").read()
        return re.search(rf"0100007F:{self.port:04X} 00000000:0000 0A", sockets)

    def kill(self):
        self.child.end(signal.SIGKILL)

    def chain_lines(self):
        """The chain lines in order of arrival, and how many were torn by a kill."""
        found, torn = [], 0
        for line in self.got.read_text().splitlines() if self.got.exists() else ():
            match = re.fullmatch(r"mcp-gateway (\S+) \[chain@32473 id=\"([0-9a-f]{32})\"([^\]]*)\] (\{.*\})", line)
            if match:
                place = re.fullmatch(r' seq="(\d+)" hash="([0-9a-f]{64})"', match[3])
                found.append((match[4], int(place[1]) if place else None, place[2] if place else None))
            else:
                torn += 1
        return found, torn


def promtool(text):
    """Exit code and output of `promtool check metrics`."""
    done = subprocess.run([parts.program("promtool"), "check", "metrics"], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()
