"""The four credential modes, with real identities and a real authorization server (issue 4)."""

from ..claim import Claim
from . import agent, authorization_conformance, canary, connect, documents, grants, leased, login, minted, sources, workload

CLAIMS = (
    *sources.CLAIMS,
    *minted.CLAIMS,
    *leased.CLAIMS,
    *agent.CLAIMS,
    *workload.CLAIMS,
    *login.CLAIMS,
    *connect.CLAIMS,
    *grants.CLAIMS,
    *authorization_conformance.CLAIMS,
    Claim("documents", "the guides of the promises show complete examples: each runs as it stands, and says what the "
                       "guide says", documents.judge),
    *canary.CLAIMS,
)
