"""Renders templates: `@{kind}` plants a key, `~{kind}` and `~[text]` place something that is none. What stands where
is written down, so that a report can be held against it."""

import json
import re
from dataclasses import dataclass
from urllib.parse import unquote

from . import clean, clients, texts
from .forge import EXAMPLES, Forge

MARK = re.compile(r"@\{(?P<key>[a-z0-9:=-]+)\}|~\{(?P<near>[a-z0-9:-]+)\}|~\[(?P<text>[^\]]+)\]")


@dataclass
class Placed:
    """A text in a file, and whether it is a key."""

    file: str
    start: tuple
    end: tuple
    kind: str
    value: str
    is_key: bool

    def meets(self, finding):
        """Whether a finding of the report touches it."""
        begin, end = (finding["line"], finding["column"]), (finding["end_line"], finding["end_column"])
        return finding["file"] == self.file and begin < self.end and self.start < end

    def __str__(self):
        return f"{self.file}:{self.start[0]}:{self.start[1]} ({self.kind})"


class Corpus:
    """Every file of one seed."""

    def __init__(self, seed):
        self.forge = Forge(seed)
        self.files, self.placed = {}, []
        for path, template in {**clients.FILES, **texts.FILES, **clean.FILES}.items():
            self.files[path] = self._render(path, template)

    @property
    def keys(self):
        return [one for one in self.placed if one.is_key]

    @property
    def near(self):
        return [one for one in self.placed if not one.is_key]

    def write(self, folder):
        for path, text in self.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        return folder

    def _render(self, path, template):
        text, at = "", 0
        for mark in MARK.finditer(template):
            text += template[at:mark.start()]
            written, value, kind, is_key = self._fill(mark)
            start = position(text)
            text += written
            self.placed.append(Placed(path, start, position(text), kind, value, is_key))
            at = mark.end()
        return text + template[at:]

    def _fill(self, mark):
        if mark["text"]:
            return mark["text"], mark["text"], "text", False
        kind = mark["key"] or mark["near"]
        form, _, plain = kind.rpartition(":")
        if form == "example":
            return EXAMPLES[plain], EXAMPLES[plain], kind, False
        value = self.forge.last[plain[1:]] if plain.startswith("=") else self.forge.make(plain)
        written = {"json": json.dumps(value)[1:-1], "line": value.replace("\n", "\\n")}.get(form, value)
        return written, unquote(value) if plain == "percent" else value, kind, bool(mark["key"])


def position(text):
    """Line and column of what comes next, both from 1, in characters; a byte order mark is none."""
    line = text.rpartition("\n")[2].lstrip("\ufeff")
    return text.count("\n") + 1, len(line) + 1
