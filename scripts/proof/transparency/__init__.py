"""Transparency: a gateway that nobody notices (issue 3)."""

from . import bridge, conformance, oauth_upstream, streams

CLAIMS = (*bridge.CLAIMS, *conformance.CLAIMS, *streams.CLAIMS, *oauth_upstream.CLAIMS)
