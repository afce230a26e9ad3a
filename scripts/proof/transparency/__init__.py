"""Transparency: a gateway that nobody notices (issue 3)."""

from . import conformance, streams

CLAIMS = (*conformance.CLAIMS, *streams.CLAIMS)
