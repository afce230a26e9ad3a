"""The figures of all rounds, as medians and as ratios to the baselines."""

import statistics

# The bound is against nginx; Envoy tells what the machine makes of a program of the gateway's size.
BASELINE = "nginx"
YARDSTICK = "envoy"
GATED_CONNECTIONS = 64
COLUMNS = (
    ("cpu_millis_per_1000", "CPU ms per 1,000 calls", "{:.1f}"),
    ("calls_per_second", "calls/s", "{:,.0f}"),
    ("p50_micros", "p50 µs", "{:,.0f}"),
    ("p99_micros", "p99 µs", "{:,.0f}"),
    ("rss_kib", "RSS MiB", "{:.1f}"),
)


# Not at the target yet: this bound only catches what makes it worse. See docs/performance.md.
REGRESSION = {"gateway-fsync": 4.5}
# On some processors every large program is slow, and a ratio to one as small as nginx says more of the processor than
# of the gateway. So it holds as well where it costs, with all it does, at most this many times what Envoy costs that
# adds the static header alone.
LIMIT_TO_YARDSTICK = 1.1


class Report:
    def __init__(self, limit):
        self.limit = limit
        self.runs = []

    def add(self, number, target, figures):
        self.runs.append({"round": number, "target": target} | figures)

    @staticmethod
    def progress(number, target, figures):
        return (
            f"round {number} {target:16} {figures['connections']:3} connections: "
            f"{figures['cpu_millis_per_1000']:7.1f} CPU ms per 1,000, {figures['calls_per_second']:9,.0f} calls/s, "
            f"p50 {figures['p50_micros']:6,.0f} µs, p99 {figures['p99_micros']:7,.0f} µs"
        )

    def _of(self, target, connections):
        return [run for run in self.runs if run["target"] == target and run["connections"] == connections]

    def median(self, target, connections, field):
        return statistics.median(run[field] for run in self._of(target, connections))

    def ratio(self, target, connections, field, to=BASELINE):
        """The median of the rounds' own ratios: a round's targets ran side by side."""
        baseline = {run["round"]: run[field] for run in self._of(to, connections)}
        return statistics.median(run[field] / baseline[run["round"]] for run in self._of(target, connections))

    def _targets(self):
        return list(dict.fromkeys(run["target"] for run in self.runs))

    def table(self, facts, versions):
        lines = [", ".join(f"{name} {value}" for name, value in (facts | versions).items()), ""]
        for connections in (1, GATED_CONNECTIONS):
            lines += [f"{connections} connection{'s' if connections > 1 else ''}:", ""]
            lines.append("| target | " + " | ".join(title for _, title, _ in COLUMNS) + " | CPU ÷ nginx | CPU ÷ Envoy | p50 ÷ nginx |")
            lines.append("| --- |" + " ---: |" * (len(COLUMNS) + 3))
            for target in self._targets():
                cells = []
                for field, _, form in COLUMNS:
                    value = self.median(target, connections, field)
                    cells.append(form.format(value / 1024 if field == "rss_kib" else value))
                if target == "direct":
                    cells += ["–", "–", "–"]
                else:
                    cells.append(f"{self.ratio(target, connections, 'cpu_millis_per_1000'):.2f}")
                    cells.append(f"{self.ratio(target, connections, 'cpu_millis_per_1000', YARDSTICK):.2f}")
                    cells.append(f"{self.ratio(target, connections, 'p50_micros'):.2f}")
                lines.append(f"| {target} | " + " | ".join(cells) + " |")
            lines.append("")
        return "\n".join(lines)

    def verdict(self):
        """The exit code; says of each durability which bound was held, or that none was."""
        return max(self._judged(target) for target in self._targets() if target.startswith("gateway"))

    def _judged(self, target):
        """0 where the target is held to nginx, or else to Envoy; 1 where it is within neither."""
        allowance = max(1, REGRESSION.get(target, 0) / self.limit)
        told = []
        for baseline, whose, limit in ((BASELINE, "nginx's", self.limit), (YARDSTICK, "Envoy's", LIMIT_TO_YARDSTICK)):
            ratio = self.ratio(target, GATED_CONNECTIONS, "cpu_millis_per_1000", baseline)
            told.append(f"{ratio:.2f} x {whose} CPU (bound {limit * allowance:.2f})")
            if ratio <= limit * allowance:
                print(f"held: {target} needs {' and '.join(told)} per call at {GATED_CONNECTIONS} connections")
                if ratio > limit:
                    print(f"not yet: the target of {target} is {limit:.2f}; its bound only catches what makes it worse")
                return 0
        print(f"BROKEN: {target} needs {' and '.join(told)} per call at {GATED_CONNECTIONS} connections: within neither")
        return 1
