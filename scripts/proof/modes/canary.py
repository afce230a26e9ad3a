"""The leak canary over everything that the modes left behind."""

from ..claim import Claim
from ..spine.canary import swept


def judge(stage):
    return swept(stage, stage.mint.make("a form to plant"))


CLAIMS = (
    Claim("canary-modes", "no secret of a client, no token, code or key, in any listed encoding, in any response, page, "
                          "log, state file, audit file, metric or process argument of this run", judge),
)
