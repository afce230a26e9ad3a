"""The stores that secrets stay in, and what follows from a secret: who was told what about its use (issue 5)."""

from . import aws, canary, dynamic, logins, receipts

CLAIMS = (
    *aws.CLAIMS,
    *dynamic.CLAIMS,
    *logins.CLAIMS,
    *receipts.CLAIMS,
    *canary.CLAIMS,
)
