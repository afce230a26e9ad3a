"""Latencies by address and phase, as a table with a verdict."""

import math
import statistics

LIMIT_MILLIS = 100.0
# A percentile of fewer measurements would be their maximum.
ENOUGH = 20


def quantile(values, share):
    """By nearest rank: the smallest of the values that so great a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Report:
    """Seconds by (phase, address); the pages of all operators count, each for itself."""

    def __init__(self):
        self.seconds, self.firsts, self.cpu, self.bytes = {}, {}, {}, {}
        self.unbound, self.facts = set(), {}

    def add(self, phase, address, seconds, size):
        self.seconds.setdefault((phase, address), []).append(seconds)
        self.bytes[address] = size

    def first(self, address, seconds):
        self.firsts.setdefault(address, seconds)

    def phases(self):
        return list(dict.fromkeys(phase for phase, _ in self.seconds))

    def of(self, phase):
        return {address: values for (known, address), values in self.seconds.items() if known == phase}

    def worst(self, phase, share=0.95, prefix="", enough=ENOUGH):
        """The address that is slowest at this share, and its milliseconds."""
        counted = {address: quantile(values, share) * 1000 for address, values in self.of(phase).items()
                   if address not in self.unbound and address.startswith(prefix) and len(values) >= enough}
        return max(counted.items(), key=lambda pair: pair[1])

    def together(self, phase, addresses, share=0.95):
        """Milliseconds at this share of all measurements of these addresses, and the address with the slowest median."""
        values = {address: self.of(phase)[address] for address in addresses}
        slowest = max(values, key=lambda address: statistics.median(values[address]))
        return quantile([one for some in values.values() for one in some], share) * 1000, slowest

    def median(self, phase, address):
        return statistics.median(self.of(phase)[address]) * 1000

    def table(self, baseline):
        """`baseline` is the address that the ratios are of."""
        lines = ["| page | first ms |" + "".join(f" {phase}: p50 / p95 / p99 ms |" for phase in self.phases())
                 + " CPU ms | p50 ÷ livez | KiB |"]
        lines.append("| --- | ---: |" + " ---: |" * (len(self.phases()) + 3))
        quiet = self.phases()[0]
        for address in self.of(quiet):
            cells = [f"{self.firsts[address] * 1000:.1f}" if address in self.firsts else "–"]
            for phase in self.phases():
                values = self.of(phase).get(address)
                cells.append(" / ".join(f"{quantile(values, share) * 1000:.1f}" for share in (0.5, 0.95, 0.99))
                             if values else "–")
            cells.append(f"{self.cpu[address]:.1f}" if address in self.cpu else "–")
            cells.append(f"{self.median(quiet, address) / self.median(quiet, baseline):.1f}")
            cells.append(f"{self.bytes[address] / 1024:.0f}")
            lines.append(f"| `{address.replace('|', '%7C')}` | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def record(self):
        runs = [{"phase": phase, "address": address, "millis": [round(one * 1000, 3) for one in values]}
                for (phase, address), values in self.seconds.items()]
        return {"facts": self.facts, "runs": runs, "firsts": self.firsts, "cpu_millis": self.cpu}
