"""Calls through the door of a large and of a small state, side by side: a decision must not cost more where there are
more bindings."""

import http.client
import statistics
import time

from estate import SPARE, Reader
from proof.claim import demand
from proof.gateway import modern, modern_headers

ROUNDS = 6
CHANGES = 10


class Caller:
    """One agent on one connection that stays open."""

    def __init__(self, estate):
        self.estate = estate
        self.reader = Reader(estate.gateway)
        self.connection = http.client.HTTPConnection("127.0.0.1", estate.gateway.port, timeout=60)
        self.path = "/mcp/" + estate.door.partition("/mcp/")[2]
        self.body, self.headers = modern("whoami"), modern_headers(estate.token(), "whoami")

    def call(self):
        """Seconds of one call."""
        began = time.perf_counter()
        self.connection.request("POST", self.path, self.body, self.headers)
        response = self.connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - began
        demand(response.status == 200 and b'"result"' in body, f"a call: {response.status} {body[:300]!r}")
        return seconds

    def change(self, act):
        """Something else changes: whatever was decided is decided anew."""
        status, body, _ = self.reader.post(f"/v1/bindings/dev/{SPARE}/{act}")
        demand(status == 200, f"{act}: {status} {body[:200]!r}")


def compared(large, small, calls):
    """Rounds alternate; a figure is the median of all, the ratio the median of the rounds' own."""
    for caller in (large, small):
        for _ in range(50):
            caller.call()
    medians = {large: [], small: []}
    for _ in range(ROUNDS):
        for caller in (large, small):
            taken = [caller.call() for _ in range(calls // ROUNDS)]
            medians[caller].append(statistics.median(taken))
    ratio = statistics.median(one / other for one, other in zip(medians[large], medians[small]))
    anew = {large: [], small: []}
    for number in range(CHANGES):
        for caller in (large, small):
            caller.change("enable" if number % 2 else "disable")
            anew[caller].append(caller.call())
    return {
        "ratio": ratio, "calls": calls,
        "large_micros": statistics.median(medians[large]) * 1e6, "small_micros": statistics.median(medians[small]) * 1e6,
        "large_anew_millis": statistics.median(anew[large]) * 1000,
        "small_anew_millis": statistics.median(anew[small]) * 1000,
        "anew_millis": (statistics.median(anew[large]) - statistics.median(anew[small])) * 1000,
    }
