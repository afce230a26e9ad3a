"""The leak canary over everything that the claims of the catalogue left behind, pages and the browser's trace included."""

from ..claim import Claim
from ..spine.canary import swept


def judge(stage):
    return swept(stage, stage.mint.make("a form to plant"))


CLAIMS = (
    Claim("canary-catalogue", "no secret, no login and no token, in any listed encoding, in any page, response, log, "
                              "state file, audit file, metric or process argument of this run", judge),
)
