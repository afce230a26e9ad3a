"""Transparency: a gateway that nobody notices (issue 3)."""

from . import conformance

CLAIMS = (*conformance.CLAIMS,)
