"""What the claims about modes share: one answer shape, and how a tool's answer is read."""

import json
import time

from ..claim import demand
from ..gateway import call, succeeded
from ..processes import until

# How long a line that should not come is waited for.
SETTLED_SECONDS = 0.05


def said(answer):
    """The first text of a tool's result, over JSON or as an event stream."""
    text = answer.text
    if text.startswith("event:") or "\ndata:" in text or text.startswith("data:"):
        lines = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        text = lines[-1]
    return json.loads(text)["result"]["content"][0]["text"]


class Door:
    """One caller at one door; `upstream` is the server behind it, whose log is the judge."""

    def __init__(self, stage, gateway, server, token, upstream, environment="dev"):
        self.stage, self.url, self.token, self.upstream = stage, gateway.door(environment, server), token, upstream
        self.server = server

    def call(self, tool="whoami", arguments=None):
        """The answer, and the calls that the upstream saw meanwhile."""
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.url, self.token, tool, arguments)
        if succeeded(answer):
            # The upstream writes its line once its answer is out, and the answer may be here before.
            until("the upstream's line", lambda: self.upstream.calls(mark), 5)
        else:
            time.sleep(SETTLED_SECONDS)
        return answer, self.upstream.calls(mark)

    def served(self, tool="whoami"):
        """The authority that the upstream saw; for `whoami` it must be what the caller was told, too."""
        answer, seen = self.call(tool)
        demand(succeeded(answer), f"{self.server}, {tool}: {answer.status} {answer.text[:300]}")
        demand(len(seen) == 1 and seen[0]["status"] == 200, f"{self.server}, {tool}: the upstream saw {seen}")
        authority = seen[0]["authority"]
        if tool == "whoami":
            told = json.loads(said(answer))
            demand(all(told.get(name) == value for name, value in authority.items()),
                   f"{self.server}: the caller was told {told}, the upstream saw {authority}")
        return authority

    def refused(self, code, status=None, tool="whoami", arrives=False):
        """The call ends with the code, and nothing arrives upstream."""
        answer, seen = self.call(tool, None)
        demand(answer.code() == code and (status is None or answer.status == status),
               f"{self.server}, {tool}: {answer.status} {answer.code()} where {code} was expected: {answer.text[:300]}")
        demand(arrives or not seen, f"{self.server}, {tool}: a refused call reached the upstream: {seen}")
        return answer


def scopes(authority):
    return set((authority.get("scope") or "").split())
