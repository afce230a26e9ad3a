"""The official conformance suite finds the same through the gateway as without it."""

from ..claim import Claim
from ..conformance import sandwich, server_side, suite

CLAIMS = tuple(
    Claim(f"conformance-server-{revision}",
          f"the official suite's server scenarios of {revision} come out check by check as without the gateway, which "
          "authenticates, decides and injects; everything required passes", server_side.judge(revision))
    for revision in suite.REVISIONS
) + tuple(
    Claim(f"conformance-client-{revision}",
          f"the official suite's client scenarios of {revision}, authorization apart, come out check by check the same "
          "for a client behind the gateway; everything required passes", sandwich.judge(revision))
    for revision in suite.REVISIONS
)
