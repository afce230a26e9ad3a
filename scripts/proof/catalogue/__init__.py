"""The catalogue that people look at: the console, the bridge, reviews, and the way out of loose keys (issue 6)."""

from . import canary, connect, console, loose, reviews, scale

CLAIMS = (
    *console.CLAIMS,
    *connect.CLAIMS,
    *loose.CLAIMS,
    *reviews.CLAIMS,
    *scale.CLAIMS,
    *canary.CLAIMS,
)
