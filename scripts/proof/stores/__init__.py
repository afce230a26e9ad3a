"""What follows from a store's secret: who was told what about its use (issue 5)."""

from . import receipts

CLAIMS = (
    *receipts.CLAIMS,
)
