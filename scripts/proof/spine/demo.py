"""The demo, judged by its own machine-readable account."""

import json
import os

from ..claim import demand

DEADLINE = 300


def judge(stage):
    home = stage.folder / "demo"
    home.mkdir()
    command = [stage.program, "--output", "json", "demo"]
    environment = {**os.environ, "TMPDIR": str(home)}
    code, out, err = stage.children.run(command, DEADLINE, env=environment)
    stage.keep("demo", out + err)
    demand(out.strip(), f"exit code {code}, no account: {err.strip()[-300:]}")
    acts = json.loads(out)["acts"]
    failed = [act["name"] for act in acts if act.get("ok") is not True]
    demand(not failed, f"acts that failed: {', '.join(failed)}")
    demand(code == 0, f"exit code {code} although every act held")
    demand(len(acts) >= 8, f"only {len(acts)} acts")
    return f"{len(acts)} acts of {len(acts)}, exit code 0"
