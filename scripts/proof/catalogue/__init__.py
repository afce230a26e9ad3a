"""The catalogue that people look at: the console, the bridge, and the way out of loose keys (issue 6)."""

from . import canary, connect, console, explain, loose, promotion, scale

CLAIMS = (
    *console.CLAIMS,
    *connect.CLAIMS,
    *explain.CLAIMS,
    *promotion.CLAIMS,
    *loose.CLAIMS,
    *scale.CLAIMS,
    *canary.CLAIMS,
)
