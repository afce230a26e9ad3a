"""Bindings that live for a moment: applied at one replica, used at both, revoked at either, in the middle of the chaos."""

import random
import threading
import time

from ...claim import demand
from ...load import micros
from ...spine.revocation import spec
from .house import BRIEF


class Revoker:
    """Goes on until `stop`; what was acknowledged is judged by the upstream's log."""

    def __init__(self, house, seed):
        self.house, self.chance = house, random.Random(seed)
        # (binding, the moment at which the answer had been read, by the upstream's clock)
        self.acknowledged, self.refused = [], 0
        # Takes the moment of the application for the one of the answer: its calls must be found.
        self.sabotaged = house.stage.sabotage == "acknowledgement"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._over.set()
        self._thread.join(90)
        return not self._thread.is_alive()

    def _run(self):
        number = 0
        while not self._over.is_set():
            number += 1
            name = f"brief-{number:03}"
            document = {**spec(name), "server": BRIEF, "secret": "bao://kv/chaos/issues#token"}
            if self._ask("POST", "/apply", {"specs": [document]}):
                applied = micros()
                self._over.wait(self.chance.uniform(0.5, 2))
                if self._ask("POST", f"/bindings/dev/{name}/revoke"):
                    self.acknowledged.append((name, applied if self.sabotaged else micros()))
            self._over.wait(0.2)

    def _ask(self, method, path, body=None):
        """Until somebody has done it, or says that it cannot be done any more."""
        for _ in range(40):
            station = self.chance.choice(self.house.pair)
            try:
                answer = station.gateway.api(method, path, body)
            except OSError:
                # Nobody there, or gone before the answer: asked again, it says whether it was done.
                self.refused += 1
                time.sleep(0.3)
                continue
            if answer.status == 200:
                return True
            self.refused += 1
            if answer.status in (404, 409, 422) or self._over.is_set():
                return False
            time.sleep(0.3)
        return False

    def judge(self, seen, sent):
        """No call under a binding was sent upstream after its revocation was acknowledged; `sent` says when a request had
        left its gateway, for what a line that hangs holds back arrives later, and cannot be called back."""
        ends = dict(self.acknowledged)
        late, held, used = [], [], set()
        for line in seen:
            name = (line["binding"] or "").partition("@")[0]
            if name in ends:
                used.add(name)
                arrived = line["arrival_micros"]
                left = sent.get(line["request_id"], arrived)
                if left > ends[name]:
                    late.append((name, line["request_id"], round(left - ends[name])))
                elif arrived > ends[name]:
                    held.append(round(arrived - ends[name]))
        demand(not late, f"{len(late)} calls after the acknowledgement of their revocation, the latest by "
                         f"{max((micros for *_, micros in late), default=0)} us: {late[:3]}")
        demand(used, "no binding was both used and revoked")
        return (f"{len(ends)} revocations acknowledged ({len(used)} of bindings in use), no call sent after any "
                f"({len(held)} sent before were held up by a hanging line)")
