"""The table of verdicts."""

import textwrap

WIDTH = 110


def word(verdict):
    return "ok  " if verdict.ok else "FAIL"


def line(verdict):
    return f"{word(verdict)} {verdict.claim.name} ({verdict.seconds:.1f} s): {verdict.figure}"


def render(verdicts):
    """One block a claim: verdict, name, statement, and the figure measured."""
    names = max((len(verdict.claim.name) for verdict in verdicts), default=0)
    rows = []
    for verdict in verdicts:
        head = f"{word(verdict)}  {verdict.claim.name:<{names}}  {verdict.seconds:7.1f} s  "
        indent = " " * len(head)
        rows += wrapped(head, verdict.claim.statement, indent)
        rows += wrapped(indent, "-> " + verdict.figure, indent + "   ")
    return "\n".join(rows)


def wrapped(first, text, rest):
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
                         break_on_hyphens=False)
