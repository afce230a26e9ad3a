"""The credentials that the gateway brokers: each carries a mark that occurs nowhere else in the world.

Characters that JSON, percent-encoding and base64 write differently are among them, so that each
encoding has a form of its own to look for.
"""

import base64
import hashlib
import json
import secrets
import string
from urllib.parse import quote, quote_plus

ALPHABET = string.ascii_letters + string.digits


def random_text(length):
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


class Credential:
    """A value, the name it has in this run, and its digest."""

    def __init__(self, name, value):
        self.name, self.value = name, value
        self.sha256 = hashlib.sha256(value.encode()).hexdigest()

    def __repr__(self):
        return f"Credential({self.name})"


class Mint:
    """Makes credentials with this run's mark."""

    def __init__(self):
        self.mark = f'{random_text(14)}"\\+/%{random_text(6)}'
        self.made = []
        # Values that others make: tokens and logins of the stores, callers' tokens.
        self.foreign = []

    def make(self, name):
        credential = Credential(name, f"{self.mark}.{random_text(24)}")
        self.made.append(credential)
        return credential

    def also(self, name, value):
        """Remembers a value that somebody else made, to be looked for as well."""
        self.foreign.append((name, value))
        return value

    def needles(self):
        """(name, form, bytes) of everything that must not occur."""
        found = [(f"credential as {form}", needle) for form, needle in forms(self.mark)]
        for name, value in self.foreign:
            if value.count(".") == 2:
                # The signature of a JWT identifies it; its head is the same for all.
                value = value.rpartition(".")[2]
            found += [(f"{name} as {form}", needle) for form, needle in forms(value)]
        return list(dict((needle, (name, needle)) for name, needle in found).values())


def forms(value):
    """Every listed encoding of a value, as it can stand inside anything longer."""
    raw = value.encode()
    once = json.dumps(value)[1:-1]
    listed = [
        ("raw", raw),
        ("json", once.encode()),
        ("json twice", json.dumps(once)[1:-1].encode()),
        ("json with \\/", once.replace("/", "\\/").encode()),
        ("percent", quote(value, safe="").encode()),
        ("percent, lower", lower_percent(quote(value, safe="")).encode()),
        ("form", quote_plus(value).encode()),
        ("hex", raw.hex().encode()),
        ("HEX", raw.hex().upper().encode()),
    ]
    for alignment in range(3):
        # Without the characters that neighbours decide: those that hold bits of what is around.
        padded = b"\0" * alignment + raw
        text = base64.b64encode(padded)
        first = (0, 2, 3)[alignment]
        last = len(padded) // 3 * 4 + (0, 1, 2)[len(padded) % 3]
        core = text[first:last]
        listed.append((f"base64 at {alignment}", core))
        listed.append((f"base64url at {alignment}", core.replace(b"+", b"-").replace(b"/", b"_")))
    return listed


def lower_percent(text):
    pieces = text.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])
