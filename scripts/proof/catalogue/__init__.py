"""The catalogue that people look at: the console, and the way out of loose keys (issue 6)."""

from . import canary, console, loose

CLAIMS = (
    *console.CLAIMS,
    *loose.CLAIMS,
    *canary.CLAIMS,
)
