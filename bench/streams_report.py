"""The figures of open streams as a table, and what they must keep to."""

# Growth of the gateway's memory for a stream that is flooded while its client does not read.
FLOOD_KIB = 512
# How much of what the streams took may stay with the process after they ended, and how much more a
# second wave of as many streams may need than the first: allocators keep some, leaks add up.
KEPT = 0.25
AGAIN = 1.15

MIB = 1024
ROWS = (
    ("streams", lambda f: f"{f['streams']:,}"),
    ("RSS before, MiB", lambda f: f"{f['rss_before_kib'] / MIB:,.1f}"),
    ("RSS with all streams, MiB", lambda f: f"{peak(f) / MIB:,.1f}"),
    ("**memory for each, KiB**", lambda f: f"**{f['kib_per_stream']:.1f}**"),
    ("RSS after they ended, MiB", lambda f: f"{f['rss_after_kib'] / MIB:,.1f}"),
    ("RSS with as many again, MiB", lambda f: f"{f['rss_again_kib'] / MIB:,.1f}"),
    ("opening all, s", lambda f: f"{f['open_seconds']:.1f}"),
    ("opening one, p50 / p99 ms", lambda f: pair(f["open"], 1000)),
    ("event to one stream, p50 / p99 µs", lambda f: pair(f["event"], 1)),
    ("event to all streams, p50 / p99 ms", lambda f: pair(f["broadcast"], 1000)),
    ("CPU while nothing is sent, ms a second", lambda f: f"{f['idle_cpu_millis_per_second']:.1f}"),
    ("heartbeats that arrived", lambda f: f"{f['comments']:,}"),
    ("flooded streams, unread", lambda f: f"{f['flooded']}"),
    ("memory for each of them, KiB", lambda f: f"{f['flood_kib_each']:.0f}"),
    ("event to another one meanwhile, p50 / p99 µs", lambda f: pair(f["event_in_flood"], 1)),
    ("ending all, s", lambda f: f"{f['close_seconds']:.1f}"),
    ("streams that ended early", lambda f: f"{f['early_ends']}"),
)


def peak(figures):
    return max(figures["rss_open_kib"], figures["rss_used_kib"])


def pair(latency, divisor):
    return f"{latency['p50'] / divisor:,.0f} / {latency['p99'] / divisor:,.0f}"


def table(facts, figures):
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    lines.append("| | " + " | ".join(figures) + " |")
    lines.append("| --- |" + " ---: |" * len(figures))
    for title, cell in ROWS:
        lines.append(f"| {title} | " + " | ".join(cell(target) for target in figures.values()) + " |")
    return "\n".join(lines) + "\n"


def bounds(gateway, limit):
    """What the gateway must keep to: (whether it does, in words)."""
    before, most = gateway["rss_before_kib"], peak(gateway)
    kept = (gateway["rss_after_kib"] - before) / max(most - before, 1)
    again = gateway["rss_again_kib"] / most
    return (
        (gateway["kib_per_stream"] <= limit, f"{gateway['kib_per_stream']:.1f} KiB for a stream; bound {limit:.0f}"),
        (gateway["flood_kib_each"] <= FLOOD_KIB,
         f"{gateway['flood_kib_each']:.0f} KiB for a flooded stream that nobody reads; bound {FLOOD_KIB}"),
        (kept <= KEPT, f"{kept:.0%} of the streams' memory is kept after they ended; bound {KEPT:.0%}"),
        (again <= AGAIN, f"a second wave needs {again:.2f} x the memory of the first; bound {AGAIN}"),
    )


def verdict(figures, limit):
    """The exit code; says which bound was broken."""
    code = 0
    for name, target in figures.items():
        for failure in target["failures"]:
            print(f"BROKEN: {name}: {failure}")
            code = 1
    for held, words in bounds(figures["gateway"], limit):
        print(f"{'held' if held else 'BROKEN'}: {words}")
        code = code or (0 if held else 1)
    return code
