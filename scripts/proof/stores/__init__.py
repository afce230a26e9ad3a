"""The stores that secrets stay in, and what follows from a secret: who was told what about its use (issue 5)."""

from . import (
    aws, canary, chaos, clouds, crash, dynamic, locks, logins, receipts, revocation, rotation, sinks, tamper,
)

CLAIMS = (
    *aws.CLAIMS,
    *clouds.CLAIMS,
    *dynamic.CLAIMS,
    *logins.CLAIMS,
    *receipts.CLAIMS,
    *revocation.CLAIMS,
    *crash.CLAIMS,
    *rotation.CLAIMS,
    *sinks.CLAIMS,
    *tamper.CLAIMS,
    *locks.CLAIMS,
    *chaos.CLAIMS,
    *canary.CLAIMS,
)
