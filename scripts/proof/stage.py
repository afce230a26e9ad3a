"""What the claims of one run share: the folder, the children, the store, the issuer, the values."""

import os
import shutil
import tempfile
from pathlib import Path

from .browser import Browser
from .credential import Mint
from .issuer import Issuer
from .openbao import OpenBao
from .processes import Children

AGENTS = ("triage-bot", "steady-bot", "dev-bot")
PEOPLE = {
    "alice": {"groups": ["editors"]},
    "bob": {"groups": ["approvers"]},
    "carol": {"groups": ["payments"]},
    "dora": {"groups": ["red", "blue"]},
}


class Stage:
    """Parts start when a claim first asks for them, and end with the run."""

    def __init__(self, program, quick=False, sabotage=None, seed=None, seconds=None):
        self.program, self.quick, self.sabotage = program, quick, sabotage
        # Of the claim `chaos` alone: the seed to play again, and for how long.
        self.seed, self.seconds = seed, seconds
        self.folder = Path(tempfile.mkdtemp(prefix="prove-"))
        logs = self.folder / "logs"
        logs.mkdir()
        self.mint = Mint()
        self.children = Children(logs)
        self.gateways = []
        self._openbao = self._issuer = self._browser = None

    @property
    def openbao(self):
        if self._openbao is None:
            self._openbao = OpenBao(self, self.folder / "openbao")
        return self._openbao

    @property
    def issuer(self):
        if self._issuer is None:
            self._issuer = Issuer(self, AGENTS, PEOPLE)
        return self._issuer

    @property
    def browser(self):
        if self._browser is None:
            self._browser = Browser(self)
        return self._browser

    def private(self, path, text):
        """A file for its owner alone."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def keep(self, name, text):
        """Keeps what a client or an operator was shown, for the sweep."""
        shown = self.folder / "shown"
        shown.mkdir(exist_ok=True)
        with open(shown / name, "a") as file:
            file.write(text + "\n")

    def note(self, name, text):
        """Keeps why a claim could not be judged."""
        (self.folder / "logs" / f"{name}.trace").write_text(text)

    def end(self, keep=False):
        self.children.end_all()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
