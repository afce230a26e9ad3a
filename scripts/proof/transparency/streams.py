"""Open streams: the bench's own verdict."""

import json
import subprocess
import sys

from .. import parts
from ..claim import Claim, demand

LIMIT_KIB = 64


def judge(stage):
    figures = stage.folder / "streams.json"
    subprocess.run([parts.ROOT / "scripts" / "parts" / "install", "nginx"], check=True)
    command = [sys.executable, parts.ROOT / "bench" / "streams", "--limit", str(LIMIT_KIB), "--json", figures]
    code, out, err = stage.children.run(command + ["--quick"] * stage.quick, 1800, cwd=parts.ROOT)
    stage.keep("streams", out + err)
    verdicts = [line for line in (out + err).splitlines() if line.startswith(("held:", "BROKEN:"))]
    demand(code == 0 and verdicts, f"exit code {code}: {'; '.join(verdicts) or err.strip()[-300:]}")
    run = json.loads(figures.read_text())
    gateway, processes = run["targets"]["gateway"], run["machine"]["gateway_processes"]
    demand(gateway["early_ends"] == 0 and gateway["streams"] > 0, "no stream was held open")
    return (f"{gateway['streams']:,} streams over {processes} gateway process(es), half of each generation, at rest "
            f"for {run['machine']['idle_seconds']} s, none ended early; {'; '.join(verdicts)}")


CLAIMS = (
    Claim("streams", "ten thousand open streams of both generations (2,000 with --quick) rest without being cut, get "
                     "every event at once, cost at most 64 KiB each, and give it back; a client that does not read "
                     "costs no more than a bounded buffer", judge),
)
