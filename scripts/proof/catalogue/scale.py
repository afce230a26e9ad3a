"""Ten thousand bindings and a million records: the bench's own verdict on every page of the console."""

import json
import os
import sys

from .. import parts
from ..claim import Claim, demand

HELD = 8


def judge(stage):
    figures = stage.folder / "scale.json"
    command = [sys.executable, parts.ROOT / "bench" / "pages", "--json", figures]
    environment = {**os.environ, "MCP_GATEWAY_BIN": str(stage.program)}
    code, out, err = stage.children.run(command + ["--quick"] * stage.quick, 900, cwd=parts.ROOT, env=environment)
    stage.keep("scale", out + err)
    stage.note("scale", out + err)
    verdicts = [line for line in out.splitlines() if line.startswith(("held:", "BROKEN:"))]
    broken = [line for line in verdicts if line.startswith("BROKEN:")]
    demand(code == 0 and not broken, f"exit code {code}: {'; '.join(broken) or err.strip()[-400:]}")
    demand(len(verdicts) >= HELD, f"only {len(verdicts)} verdicts: {verdicts}")
    facts = json.loads(figures.read_text())["facts"]
    beside = facts["beside"]
    return (f"{facts['bindings']:,} bindings, {facts['events']:,} records of evidence ({facts['audit_bytes'] >> 20} MB, made in "
            f"{facts['seconds']['made']:.0f} s, the gateway ready on them in {facts['seconds']['started']:.1f} s, "
            f"{facts['memory_kib'] >> 10} MiB); beside {beside['calls']:,} calls and {beside['changes']} changes; "
            + "; ".join(line.removeprefix("held: ") for line in verdicts))


CLAIMS = (
    Claim("scale", "at 10,000 bindings and a million records (1,000 and 50,000 with --quick) every page of the console and "
                   "every read of the API behind them answers within 100 ms, also beside calls and changes; a revocation "
                   "blocks at once; a call costs what it costs on a small state", judge, slow=True),
)
