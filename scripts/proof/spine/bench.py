"""The bench's own verdict, in its short form, after the verdict itself was put to the test."""

import contextlib
import io
import json
import subprocess
import sys

from .. import parts
from ..claim import demand

LIMIT = 3.0
# CPU of Envoy and of the gateway as multiples of nginx's, and the exit code: by nginx alone, by Envoy, and by neither.
VERDICTS = ((2.5, 2.9, 0), (2.5, 3.1, 1), (4.6, 4.9, 0), (5.5, 6.0, 0), (5.5, 6.1, 1))


def check_verdicts():
    """Figures of either side of both bounds, which the bench must tell apart."""
    sys.path.insert(0, str(parts.ROOT / "bench"))
    from report import Report

    for envoy, gateway, code in VERDICTS:
        report = Report(LIMIT)
        for target, cpu in (("nginx", 1.0), ("envoy", envoy), ("gateway-process", gateway)):
            report.add(1, target, {"connections": 64, "cpu_millis_per_1000": cpu})
        with contextlib.redirect_stdout(io.StringIO()):
            told = report.verdict()
        demand(told == code, f"with Envoy at {envoy} and the gateway at {gateway} times nginx the bench ends with {told}")


def judge(stage):
    check_verdicts()
    figures = stage.folder / "bench.json"
    subprocess.run([parts.ROOT / "scripts" / "parts" / "install", "nginx", "envoy"], check=True)
    command = [sys.executable, parts.ROOT / "bench" / "run", "--quick", "--limit", str(LIMIT), "--json", figures]
    code, out, err = stage.children.run(command, 1800, cwd=parts.ROOT)
    stage.keep("bench", out + err)
    verdicts = [line for line in (out + err).splitlines() if line.startswith(("held:", "BROKEN:"))]
    demand(code == 0 and verdicts, f"exit code {code}: {'; '.join(verdicts) or err.strip()[-300:]}")
    demand(json.loads(figures.read_text()), "no figures")
    return "; ".join(verdicts)
