"""The leak canary over everything that the stores left behind."""

from ..claim import Claim
from ..spine.canary import swept


def judge(stage):
    return swept(stage, stage.mint.make("a form to plant"))


CLAIMS = (
    Claim("canary-stores", "no secret of a store, no login and no token, in any listed encoding, in any response, page, "
                           "log, state file, audit file, metric or process argument of this run", judge),
)
