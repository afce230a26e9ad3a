"""Child processes: each ends with the prover, and their arguments are sampled for the sweep."""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from .claim import Unproven


_handed_out = set()


def free_port():
    """A loopback port that was free a moment ago, for programs that must be told one; never the same twice,
    for the system is free to name one again that nobody listens on yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port


def until(what, holds, seconds=30, pause=0.02):
    """Asks again and again until it holds; returns what `holds` returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Unproven(f"not within {seconds} s: {what}")
        time.sleep(pause)


def ignore_file_size_signal():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


class Child:
    """A running program in a process group of its own."""

    def __init__(self, name, process, log):
        self.name, self.process, self.log = name, process, log

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def ready(self, seconds=30):
        """The address that the program reports in its first line, {"ready": ADDRESS}."""
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if readable else b""
        if not line:
            raise Unproven(f"{self.name} did not start: {self.tail()}")
        return json.loads(line)["ready"]

    def tail(self):
        return Path(self.log).read_text(errors="replace")[-600:].strip()

    def end(self, how=signal.SIGTERM, seconds=15):
        """Ends it with the signal, and with SIGKILL where that does not help. Returns the exit code."""
        if self.alive():
            self._signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait(10)
        return self.process.returncode

    def _signal(self, how):
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            pass


class Children:
    """All of them."""

    def __init__(self, logs):
        self.logs = logs
        self.started = []
        self.arguments = set()
        self._sampling = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def start(self, name, command, **options):
        """Starts a program; standard error goes to a log, standard output too unless it is read (`reads`).
        `writes` leaves its standard input open."""
        log = self.logs / f"{name}-{len(self.started)}.log"
        reads, writes = options.pop("reads", False), options.pop("writes", False)
        with open(log, "wb") as sink:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.PIPE if writes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if reads else sink, stderr=sink, start_new_session=True, **options,
            )
        child = Child(name, process, log)
        self.started.append(child)
        return child

    def run(self, command, seconds=120, **options):
        """Runs a program to its end; returns exit code, standard output and standard error."""
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            options.pop("stdin")
        done = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=seconds, text=True, **options,
        )
        return done.returncode, done.stdout, done.stderr

    def end_all(self):
        self._sampling.set()
        for child in reversed(self.started):
            child.end(seconds=5)

    def _sample(self):
        """Keeps the arguments of every process below this one, which anybody on the machine may read."""
        own = os.getpid()
        while not self._sampling.wait(0.1):
            self.arguments.update(arguments_below(own))


def arguments_below(root):
    """The command lines of all descendants, as bytes."""
    parents, found = {}, set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_bytes()
                parents[int(entry)] = int(stat.rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and pid != root:
            try:
                found.add(Path(f"/proc/{pid}/cmdline").read_bytes())
            except OSError:
                continue
    return found
