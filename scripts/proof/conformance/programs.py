"""The server and the client of the conformance runs, built where they are missing."""

import os
import subprocess
from pathlib import Path

from .. import parts
from ..upstreams import Log


def program(name):
    """`conformance-server` or `conformance-client`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or parts.ROOT / "target")
    built = target / "release" / name
    if not built.exists():
        subprocess.run(["cargo", "build", "--release", "-p", "gateway-conformance"], cwd=parts.ROOT, check=True)
    return built


class Upstream:
    """A running `conformance-server`; with a credential it demands exactly this one."""

    def __init__(self, stage, name, credential=None):
        self.log = Log(stage.folder / f"{name}.jsonl")
        command = [program("conformance-server"), "--log", self.log.path]
        if credential:
            command += ["--accept-sha256", credential.sha256]
        self.child = stage.children.start(name, command, reads=True)
        self.url = self.child.ready()
