"""Transparency: a gateway that nobody notices (issue 3)."""

from . import bridge, conformance, matrix, oauth_upstream, stdio, streams

CLAIMS = (*bridge.CLAIMS, *conformance.CLAIMS, *streams.CLAIMS, *oauth_upstream.CLAIMS, *matrix.CLAIMS, *stdio.CLAIMS)
