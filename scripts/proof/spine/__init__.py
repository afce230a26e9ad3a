"""The spine: the brokered path from end to end (issue 2)."""

from ..claim import Claim
from . import (
    attacker, audit_down, bad_input, bench, canary, clients, demo, kill9, outage, postgres, replicas, revocation,
    rotation,
)

CLAIMS = (
    Claim("demo", "`mcp-gateway demo` plays every act, and each one holds", demo.judge),
    Claim("clients", "PyPI mcp, npm client and the Inspector, in both protocol generations, are served by the "
                     "README's example as if they called the upstream directly; none sees the credential",
          clients.judge),
    Claim("rotation", "no call fails in 20,000 over 16 connections while the credential is rotated 20 times, "
                      "and each old value is refused upstream after its overlap", rotation.judge),
    Claim("revocation", "200 revocations with 64 calls in flight each: the upstream sees no call under the binding "
                        "after the acknowledgement, and another binding keeps flowing", revocation.judge),
    Claim("replicas", "with two gateways on one database, what one ends is over on both when it answers, also where the other "
                      "one sleeps or has died", replicas.judge),
    Claim("kill9", "20 times kill -9 under load: every call that the upstream saw has its intent record, and the "
                   "chain verifies after each restart", kill9.judge),
    Claim("attacker", "self-approval, another team's path, a re-pointed route, a loosened policy and a development "
                      "identity in production are refused or left pending, each shown in the audit", attacker.judge),
    Claim("outage", "with OpenBao stopped, cached values serve until their TTL, then 503 store.unavailable; started "
                    "again, calls recover by themselves", outage.judge),
    Claim("audit-down", "no evidence, no call: with the audit disk full, calls end with 503 audit.unavailable and the "
                        "upstream sees none; with space again they recover", audit_down.judge),
    Claim("bad-input", "each kind of bad input gets its stable code, and its place where it stands in a file",
          bad_input.judge),
    Claim("postgres", "apply, call, rotate and revoke work with PostgreSQL as the state", postgres.judge),
    Claim("bench", "the gateway's CPU per call is at most 3.0 times nginx's with durability process, or at most "
                   "1.1 times what Envoy needs for the static header alone", bench.judge, slow=True),
    Claim("canary", "no credential, in any listed encoding, in any response, log, state file, audit file, metric or "
                    "process argument of this run", canary.judge),
)
