"""What a claim is, and what comes of judging one."""

import time
import traceback


class Unproven(Exception):
    """The claim does not hold, or could not be judged; the text says why."""


def demand(holds, why):
    """Ends the claim as failed unless `holds`."""
    if not holds:
        raise Unproven(why)


class Claim:
    """A named statement and the function that measures it: stage -> text with the figures."""

    def __init__(self, name, statement, judge, slow=False):
        self.name, self.statement, self.judge, self.slow = name, statement, judge, slow


class Verdict:
    """How one claim came out."""

    def __init__(self, claim, ok, figure, seconds):
        self.claim, self.ok, self.figure, self.seconds = claim, ok, figure, seconds

    def record(self):
        claim = self.claim
        return {
            "name": claim.name, "statement": claim.statement, "ok": self.ok,
            "figure": self.figure, "seconds": round(self.seconds, 1),
        }


def judge(claim, stage):
    """Judges one claim; whatever goes wrong on the way fails it."""
    began = time.monotonic()
    try:
        figure, ok = claim.judge(stage), True
    except Unproven as why:
        figure, ok = str(why), False
    except Exception as error:  # noqa: BLE001 - a claim that cannot be judged does not hold
        where = traceback.extract_tb(error.__traceback__)[-1]
        stage.note(claim.name, traceback.format_exc())
        figure, ok = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})", False
    return Verdict(claim, ok, " ".join(str(figure).split()), time.monotonic() - began)
