"""A person's session as a desktop has it: a D-Bus session bus and GNOME Keyring as its secret service, without a
screen; and a default browser that hands the address to the prover's Chromium."""

import json
import os
from urllib.parse import parse_qs, urlsplit

from .. import parts
from ..claim import demand
from ..processes import until

SERVICE = "mcp-gateway connect"
# A session bus that starts nothing by itself: no second keyring, and no prompter that would want a screen.
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""


class Desktop:
    """One person's. The keyring's file is encrypted, so it is swept like everything else."""

    def __init__(self, stage, person, keyring=True):
        self.stage, self.person = stage, person
        self.folder = stage.folder / f"desktop-{person}-{len(stage.children.started)}"
        self.folder.mkdir()
        for name in ("home", "run", "data", "bin"):
            (self.folder / name).mkdir(mode=0o700)
        self.opened = self.folder / "opened"
        self.opened.touch()
        browser = self.folder / "bin" / "xdg-open"
        browser.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{self.opened}'\n")
        browser.chmod(0o755)
        self.environment = {
            **os.environ, "HOME": str(self.folder / "home"), "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "XDG_DATA_HOME": str(self.folder / "data"), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.folder / 'run' / 'no-bus'}", "NO_PROXY": "127.0.0.1",
        }
        self.environment.pop("DISPLAY", None)
        if keyring:
            self._start()

    def _start(self):
        config = self.folder / "bus.conf"
        config.write_text(BUS.format(socket=self.folder / "run" / "bus"))
        bus = self.stage.children.start("dbus", [parts.program("dbus-daemon"), f"--config-file={config}", "--nofork",
                                                 "--print-address=1"], reads=True, env=self.environment)
        address = bus.process.stdout.readline().decode().strip()
        demand(address, f"no session bus: {bus.tail()}")
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = address
        daemon = self.stage.children.start(
            "gnome-keyring", [parts.program("gnome-keyring-daemon"), "--foreground", "--unlock", "--components=secrets"],
            writes=True, env=self.environment)
        daemon.process.stdin.write(b"the person's own password")
        daemon.process.stdin.close()
        until("the keyring is unlocked", lambda: self._send("ReadAlias", "string:default").endswith('collection/login"'), 20)

    def _send(self, method, *arguments):
        command = [parts.program("dbus-send"), "--session", "--print-reply", "--dest=org.freedesktop.secrets",
                   "/org/freedesktop/secrets", f"org.freedesktop.Secret.Service.{method}", *arguments]
        return self.run(command)[1].strip()

    def lock(self):
        self._send("Lock", "array:objpath:/org/freedesktop/secrets/collection/login")

    def run(self, command, **options):
        return self.stage.children.run(command, env=self.environment, **options)

    def kept(self, door):
        """The entry of a door, read by another program than ours; nothing where there is none. Its tokens are looked for
        from now on."""
        code, out, _ = self.run([parts.program("secret-tool"), "lookup", "service", SERVICE, "username", door])
        if code or not out:
            return None
        entry = json.loads(out)
        for name in ("access_token", "refresh_token"):
            if entry.get(name):
                self.stage.mint.also(f"the bridge's {name}", entry[name])
        return entry

    def replace(self, door, entry):
        """Puts another entry in its place."""
        self.run([parts.program("secret-tool"), "clear", "service", SERVICE, "username", door])
        if entry is not None:
            text = entry if isinstance(entry, str) else json.dumps(entry)
            code, _, err = self.run([parts.program("secret-tool"), "store", "--label", "changed by the prover", "service",
                                     SERVICE, "username", door], input=text)
            demand(code == 0, f"secret-tool: {err}")

    def addresses(self):
        """Where the browser was sent so far."""
        return self.opened.read_text().splitlines()

    # The bridge

    def command(self, door, *more):
        return [str(self.stage.program), "connect", door, *more]

    def connect(self, act, door, *more, seconds=60):
        """`connect login|logout|status`, without anybody at the browser. Exit code, standard output, standard error."""
        command = [self.stage.program, "--output", "json", "connect", act, door, *more]
        result = self.run(command, seconds=seconds)
        self.stage.keep("connect-cli", result[1] + result[2])
        return result


def redirect_of(url):
    return parse_qs(urlsplit(url).query)["redirect_uri"][0]

