"""A real browser: Debian's Chromium without a screen, in which each person has cookies of their own."""

import json
import os
import select

from . import parts
from .claim import Unproven, demand

PROGRAM = parts.ROOT / "tests-real" / "browser" / "browser.mjs"


class Browser:
    """`walk` goes where a person would go and presses what a person would press."""

    def __init__(self, stage):
        self.stage = stage
        # The profile holds cookies: it is the people's, not the gateway's.
        self.folder = stage.folder / "browser"
        self.folder.mkdir()
        command = [parts.program("node"), PROGRAM, "--executable", parts.program("chromium"),
                   "--screenshots", self.folder / "pictures"]
        environment = {**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        self.child = stage.children.start("browser", command, reads=True, writes=True, env=environment)
        self.child.ready(60)

    def walk(self, person, url, **order):
        """Walks as `person` from `url`; see browser.mjs for the order. What the pages showed is swept."""
        answer = self._ask({"do": "walk", "person": person, "url": url, **order})
        self.stage.keep("browser", json.dumps({name: value for name, value in answer.items() if name != "stopped"}))
        return answer

    def walked(self, person, url, **order):
        """The same, and it must come to its end."""
        answer = self.walk(person, url, **order)
        pages = [step["page"] for step in answer.get("steps", ())]
        demand(answer["ok"], f"{person} did not get through: {answer['error']} at {answer.get('url')} after {pages}: "
                             f"{answer.get('text', '')[:300]}")
        return answer

    def look(self, person, url):
        answer = self._ask({"do": "open", "person": person, "url": url})
        self.stage.keep("browser", json.dumps(answer))
        return answer

    def visit(self, person, url, picture=None, glance=False):
        """A page of the console, judged on wide and narrow screens, in the dark and without script."""
        return self._shown({"do": "visit", "person": person, "url": url, "picture": picture, "glance": glance})

    def press(self, person, url, form, fill=None, **more):
        """Fills in the form that goes to `form` and sends it."""
        return self._shown({"do": "press", "person": person, "url": url, "form": form, "fill": fill or {}, **more})

    def hold(self, person, url, form):
        """Opens a page and leaves its form unsent, as somebody does who is called away; `release` sends it."""
        return self._shown({"do": "hold", "person": person, "url": url, "form": form})

    def release(self, person, picture=None):
        return self._shown({"do": "release", "person": person, "url": "what was held", "picture": picture})

    def watch(self, person, url):
        """Opens a page and looks on: what changes by itself is told by `watched`."""
        return self._shown({"do": "watch", "person": person, "url": url})

    def watched(self, person, text, seconds=15, pause=False):
        return self._shown({"do": "watched", "person": person, "url": "what is watched", "text": text, "seconds": seconds, "pause": pause})

    def fetch(self, person, url):
        """What a link downloads, with that person's cookies."""
        return self._shown({"do": "fetch", "person": person, "url": url})

    def _shown(self, order):
        answer = self._ask(order)
        self.stage.keep("browser", json.dumps(answer))
        demand(answer["ok"], f"{order['person']} at {order['url']}: {answer.get('error')}")
        return answer

    def cookies(self, person):
        return self._ask({"do": "cookies", "person": person})

    def forget(self, person):
        self._ask({"do": "forget", "person": person})

    def _ask(self, order, seconds=120):
        self.child.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.child.process.stdin.flush()
        readable, _, _ = select.select([self.child.process.stdout], [], [], seconds)
        line = self.child.process.stdout.readline() if readable else b""
        if not line:
            raise Unproven(f"the browser says nothing: {self.child.tail()}")
        return json.loads(line)
