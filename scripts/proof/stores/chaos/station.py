"""A gateway that somebody keeps alive, as an init system does: what ends is started again, and it is known when."""

import os
import signal
import subprocess
import threading
import time

from ... import parts, web
from ...gateway import Gateway
from .relay import Relay
from .disk import Disk
from .receiver import Receiver

# How long after a death a connection may still tell of it, on a busy machine.
SLACK = 1.0


class Clock:
    """The wall clock of one process: a file that libfaketime reads again at most a second after it changed."""

    def __init__(self, path):
        self.path = path
        self.move(0)

    def move(self, seconds):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        os.replace(fresh, self.path)

    def environment(self):
        # The monotonic clock stays: no setting of a clock moves it.
        return {**os.environ, "LD_PRELOAD": str(parts.program("libfaketime.so.1").resolve()),
                "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


class Lately:
    """Something that holds, or held a moment ago: what ends just now may have ended because of it."""

    SECONDS = 8

    def __init__(self):
        self._on, self._ended = False, -self.SECONDS

    def turn(self, on):
        self._on, self._ended = on, time.monotonic()

    def holds(self):
        return self._on or time.monotonic() - self._ended < self.SECONDS


class Station:
    """A gateway with a disk, a clock and a sink of its own."""

    def __init__(self, stage, name, text, seed):
        self.stage, self.name = stage, name
        self.receiver = Receiver(stage.folder / f"{name}-sink.jsonl")
        self.line = Relay(self.receiver.url, seed)
        self.clock = Clock(stage.folder / f"{name}-clock")
        text = text.replace("@SINK@", self.line.url)
        self.gateway = Gateway(stage, name, text, env=self.clock.environment())
        self.disk = Disk(self.gateway.audit)
        # Moments of death, times of absence, and deaths that nobody asked for: exit code, whether a fault explains it, why.
        self.deaths, self.downs, self.unasked = [], [], []
        self.most = {"rss_mib": 0, "fds": 0}
        self.killed, self.down_since = False, None
        self.excused = lambda: False
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    # Its life

    def begin(self):
        self.gateway.audit.mkdir(parents=True, mode=0o700)
        self.disk.mount()
        self.gateway.start()
        return self

    def watch(self):
        self._watcher.start()

    def kill(self):
        """SIGKILL, whatever it is doing."""
        self.killed = True
        self._signal(signal.SIGKILL)

    def sleep(self):
        self._signal(signal.SIGSTOP)

    def wake(self):
        self._signal(signal.SIGCONT)

    def _signal(self, which):
        try:
            os.killpg(self.gateway.child.pid, which)
        except ProcessLookupError:
            # Dead already, and not started again yet.
            return

    def ready(self):
        try:
            return web.request("GET", f"{self.gateway.control}/livez", seconds=2).status == 200
        except OSError:
            return False

    def end(self):
        """Stops watching it, and it."""
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join(30)
        code = self.gateway.stop()
        self._forget(self.gateway.child.pid)
        return code

    def put_away(self):
        """The evidence stays for the sweep when its disk goes."""
        if self.disk.mounted:
            subprocess.run(["cp", "-r", str(self.gateway.audit), str(self.gateway.folder / "audit-kept")], check=False)
        self.disk.unmount()
        self.line.end()
        self.receiver.end()

    def _watch(self):
        looked = 0.0
        while not self._over.wait(0.02):
            child = self.gateway.child
            if child.alive():
                if time.monotonic() - looked > 0.5:
                    looked = time.monotonic()
                    self._weigh(child.pid)
                continue
            self._start_again(child)

    def _start_again(self, child):
        self.down_since = time.monotonic() - SLACK
        self.deaths.append(time.monotonic())
        if not self.killed:
            self.unasked.append((child.process.returncode, self.disk.lately_full() or self.excused(), child.tail()[-300:]))
        self.killed = False
        self._forget(child.pid)
        command = [self.stage.program, "serve", "--config", self.gateway.file]
        self.gateway.child = child = self.stage.children.start(
            self.name, command, cwd=self.gateway.folder, **self.gateway.options)
        while not self._over.is_set() and child.alive() and not self.ready():
            time.sleep(0.02)
        self.downs.append((self.down_since, time.monotonic() + SLACK))
        self.down_since = None

    def _weigh(self, pid):
        try:
            status = open(f"/proc/{pid}/status").read()
            memory = next(line for line in status.split("\n") if line.startswith("VmRSS:"))
            self.most["rss_mib"] = max(self.most["rss_mib"], int(memory.split()[1]) // 1024)
            self.most["fds"] = max(self.most["fds"], len(os.listdir(f"/proc/{pid}/fd")))
        except (OSError, StopIteration):
            return

    @staticmethod
    def _forget(pid):
        """A killed process leaves libfaketime's shared memory behind."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            try:
                os.unlink(f"/dev/shm/{name}")
            except OSError:
                continue

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.gateway.child.pid}/fd"))

    # What may be put down to its deaths

    def excuses(self, opened, noticed, refused=False):
        """Whether a connection of that time may have ended by a death, or found nobody."""
        if any(opened - SLACK <= died <= noticed + SLACK for died in list(self.deaths)):
            return True
        absent = self.down_since is not None and self.down_since <= noticed
        return refused and (absent or any(start <= noticed <= end for start, end in list(self.downs)))
