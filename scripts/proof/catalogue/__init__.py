"""The catalogue that people look at: the console (issue 6)."""

from . import canary, console

CLAIMS = (
    *console.CLAIMS,
    *canary.CLAIMS,
)
