"""The catalogue that people look at: the console, the bridge, reviews, and the way out of loose keys (issue 6)."""

from . import canary, connect, console, editors, explain, fuzz, loose, promotion, reviews, scale

CLAIMS = (
    *console.CLAIMS,
    *connect.CLAIMS,
    *explain.CLAIMS,
    *promotion.CLAIMS,
    *loose.CLAIMS,
    *fuzz.CLAIMS,
    *editors.CLAIMS,
    *reviews.CLAIMS,
    *scale.CLAIMS,
    *canary.CLAIMS,
)
