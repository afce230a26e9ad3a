"""The audit disk is full."""

import subprocess
import time

from ..claim import Unproven, demand
from ..gateway import Gateway, call, succeeded
from ..load import Load
from ..manifests import basic, binding, configuration
from ..processes import until
from ..upstreams import Workshop

DISK, RESERVE = "2m", 65_536


def judge(stage):
    upstream = Workshop(stage, "audit-down")
    gateway = Gateway(stage, "audit-down", configuration(stage, ["issues"], audit=f", reserve_bytes: {RESERVE}"))
    gateway.audit.mkdir(parents=True, mode=0o700)
    with Disk(gateway.audit) as disk:
        credential = stage.mint.make("audit-down")
        upstream.accept(credential)
        stage.openbao.put("kv/issues/audited", credential)
        gateway.start().log_in()
        gateway.apply(basic(stage, upstream, [binding("audited", "bao://kv/issues/audited#token", "triage-bot")]))
        door = gateway.door("dev", "issues")
        token = stage.issuer.agent("triage-bot", door)

        def one():
            return call(stage, door, token, "echo", {"text": "hello"})

        load = Load(door, token, "echo", {"text": "x"}, 16).start()
        until("calls under load", lambda: load.succeeded > 200, 60)
        disk.fill()
        until("refusals under load", lambda: load.refused > 32, 30)
        settle(load)
        mark, before = upstream.log.mark(), load.succeeded
        answers = [one() for _ in range(50)]
        until("more refusals under load", lambda: load.refused > 500, 60)
        load.stop()
        last = answers[-1]
        demand(all((answer.status, answer.code()) == (503, "audit.unavailable") for answer in answers),
               f"another answer: {[answer.code() for answer in answers][:5]}")
        demand(load.broken == 0, f"{load.broken} broken calls: {load.failures[:3]}")
        demand(load.succeeded == before, f"{load.succeeded - before} calls went through without evidence")
        arrived = len(upstream.log.since(mark))
        demand(arrived == 0, f"{arrived} calls reached the upstream without evidence")
        disk.free()
        until("calls recover", lambda: succeeded(one()), 60, 0.05)
        saw = {line["request_id"] for line in upstream.log.all()}
        intents = {event["request_id"] for event in gateway.events() if event["kind"] == "intent"}
        demand(saw <= intents, f"{len(saw - intents)} calls seen upstream have no intent record")
        gateway.keep_metrics()
        gateway.stop()
        code, told = gateway.verify()
        demand(code == 0, f"the chain does not verify: {told[-300:]}")
        # The sweep reads it after the disk is gone.
        subprocess.run(["cp", "-r", str(gateway.audit), str(gateway.folder / "audit-kept")], check=True)
        return (f"{len(answers) + load.refused} calls refused with {last.status} {last.code()}, {arrived} upstream "
                f"calls; recovered; {len(saw)} calls seen upstream, each with an intent record; chain verified")


def settle(load):
    """Until no call gets through any more: begun ones end, and the last page on the disk has room for a few."""
    while (before := load.succeeded) >= 0:
        time.sleep(0.3)
        if load.succeeded == before:
            return


class Disk:
    """A small file system of its own at the audit directory; needs root."""

    def __init__(self, folder):
        self.folder = folder
        self.ballast = folder / "ballast"

    def __enter__(self):
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(self.folder)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Unproven(f"a full disk needs a small file system: {done.stderr.strip()}")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def fill(self):
        """Takes every byte that is left."""
        with open(self.ballast, "wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self):
        self.ballast.unlink()
