"""When what goes wrong: drawn from a seed, so that the same seed is the same schedule."""

import itertools
import random
import threading
import time
from collections import Counter

# Seconds at the beginning and at the end in which nothing goes wrong.
QUIET_BEFORE, QUIET_AFTER = 3, 4


class Moment:
    """One occurrence of a fault: from `at` on, for `seconds`."""

    def __init__(self, fault, at, seconds):
        self.fault, self.at, self.seconds = fault, at, seconds

    def __repr__(self):
        return f"{self.at:6.1f} s  {self.fault.kind} {self.fault.where}" + (f", {self.seconds:.1f} s" if self.seconds else "")


def draw(faults, seed, seconds, times):
    """Every fault at least `times` times, anywhere within the time; so several hold at once."""
    chance, found = random.Random(seed), []
    for fault in faults:
        for _ in range(times):
            lasts = chance.uniform(*fault.seconds)
            at = chance.uniform(QUIET_BEFORE, max(QUIET_BEFORE, seconds - QUIET_AFTER - lasts))
            found.append(Moment(fault, at, lasts))
    return sorted(found, key=lambda moment: moment.at)


def most_at_once(moments):
    """How many faults held at the same time at the most."""
    edges = sorted([(one.at, 1) for one in moments] + [(one.at + one.seconds, -1) for one in moments])
    return max(itertools.accumulate(step for _, step in edges))


class Play:
    """Plays a schedule on a thread of its own; `counted` says what has happened."""

    def __init__(self, moments, seconds):
        self.counted, self.failure = Counter(), None
        steps = [(one.at, 0, number, one) for number, one in enumerate(moments)]
        steps += [(one.at + one.seconds, 1, number, one) for number, one in enumerate(moments) if one.seconds]
        self._steps, self._seconds = sorted(steps, key=lambda step: step[:3]), seconds
        self._thread = threading.Thread(target=self._run, daemon=True)

    def run(self):
        """Until the time is over and everything is well again."""
        self._thread.start()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self):
        began, begun = time.monotonic(), {}
        try:
            for at, ending, number, moment in self._steps:
                time.sleep(max(0.0, began + at - time.monotonic()))
                if ending:
                    begun.pop(number)
                    moment.fault.end(number)
                else:
                    begun[number] = moment
                    moment.fault.begin(number)
                    self.counted[moment.fault.kind] += 1
            time.sleep(max(0.0, began + self._seconds - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - raised again where the claim is judged
            self.failure = error
        finally:
            for number, moment in begun.items():
                moment.fault.end(number)
