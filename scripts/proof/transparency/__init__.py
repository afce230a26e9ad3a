"""Transparency: a gateway that nobody notices (issue 3)."""

from . import conformance, oauth_upstream, streams

CLAIMS = (*conformance.CLAIMS, *streams.CLAIMS, *oauth_upstream.CLAIMS)
