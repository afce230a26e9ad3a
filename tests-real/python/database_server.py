"""PyPI mcp's own server in front of PostgreSQL: it logs in with the user and the password that each request hands it
(HTTP basic authentication), and holds no credential of its own.

    database_server.py --psql PATH --port PORT --log FILE

Tool `whoami()` asks the database who is logged in, and answers with it. Prints {"ready": ADDRESS}, endpoint /mcp; LOG
gets one line for each call: {at (microseconds), user, backend (the database's process), ok}, never a password.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
import time

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

QUERY = "select current_user || ' ' || pg_backend_pid()"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("psql", "port", "log"):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


given = options()
log = open(given.log, "a", encoding="utf-8", buffering=1)
server = MCPServer("tests-real-database")


def handed(ctx: Context) -> tuple[str, str]:
    """User and password, as the request hands them (RFC 7617)."""
    scheme, _, encoded = (ctx.headers or {}).get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise ValueError("no basic authentication")
    user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    return user, password


@server.tool()
async def whoami(ctx: Context) -> str:
    """Says as whom the database knows the caller."""
    user, password = handed(ctx)
    command = [given.psql, "-h", "127.0.0.1", "-p", given.port, "-AtX", "-d", "postgres", "-U", user, "-c", QUERY]
    child = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "PGPASSWORD": password}, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    out, complaint = await child.communicate()
    current, _, backend = out.decode().strip().partition(" ")
    line = {"at": time.time_ns() // 1000, "user": current or user, "backend": backend, "ok": child.returncode == 0}
    log.write(json.dumps(line) + "\n")
    if child.returncode != 0:
        raise ValueError(f"the database refuses: {complaint.decode().strip()[-200:]}")
    return f"the database knows you as {current}"


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"ready": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
