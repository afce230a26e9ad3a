"""Where the real parts and the gateway's program are, installed or built where they are missing."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NPM = ROOT / "tests-real" / "npm"
PYTHON = ROOT / "tests-real" / "python"
NEEDED = ("openbao", "node", "npm", "python", "servers", "fastmcp", "moto", "browser", "faketime", "postgres",
          "telemetry", "rsyslog", "prometheus", "keyring",
          "schemathesis")


def folder():
    return Path(os.environ.get("MCP_GATEWAY_PARTS") or ROOT / ".parts")


def program(name):
    return folder() / "bin" / name


def python():
    return folder() / "python" / "bin" / "python"


def install():
    """Idempotent: what is there already is left alone."""
    subprocess.run([ROOT / "scripts" / "parts" / "install", *NEEDED], check=True)


def gateway():
    """The gateway's program; built only where there is none."""
    named = os.environ.get("MCP_GATEWAY_BIN")
    if named:
        return Path(named).resolve()
    built = built_in() / "mcp-gateway"
    if not built.exists():
        subprocess.run(["cargo", "build", "--release", "-p", "mcp-gateway"], cwd=ROOT, check=True)
    return built


def built_in():
    return Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"


def example(name):
    """An example in Rust; the tests build them all, and whoever did not run those builds this one."""
    built = built_in() / "examples" / name
    if not built.exists():
        subprocess.run(["cargo", "build", "--release", "--workspace", "--example", name], cwd=ROOT, check=True)
    return built
