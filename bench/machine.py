"""What the figures were measured on. No host names."""

import os
import platform
from pathlib import Path


def _field(path, name):
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def describe():
    """Cores, processor, memory and kernel."""
    memory_kib = int(_field("/proc/meminfo", "MemTotal").split()[0])
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory_gib": round(memory_kib / 1024 / 1024, 1),
        "kernel": f"{platform.system()} {platform.release()}",
    }
