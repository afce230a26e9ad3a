"""The bench's own verdict, in its short form."""

import json
import subprocess
import sys

from .. import parts
from ..claim import demand

LIMIT = 3.0


def judge(stage):
    figures = stage.folder / "bench.json"
    subprocess.run([parts.ROOT / "scripts" / "parts" / "install", "nginx", "envoy"], check=True)
    command = [sys.executable, parts.ROOT / "bench" / "run", "--quick", "--limit", str(LIMIT), "--json", figures]
    code, out, err = stage.children.run(command, 1800, cwd=parts.ROOT)
    stage.keep("bench", out + err)
    verdicts = [line for line in (out + err).splitlines() if line.startswith(("held:", "BROKEN:", "this processor"))]
    demand(code == 0 and verdicts, f"exit code {code}: {'; '.join(verdicts) or err.strip()[-300:]}")
    demand(json.loads(figures.read_text()), "no figures")
    return "; ".join(verdicts)
