"""PyPI mcp's own server as an upstream of 2026-07-28 alone, on loopback, endpoint /mcp.

    newcomer.py PORT      (0: any free port)

Prints {"ready": "http://127.0.0.1:PORT"} once it listens. The SDK serves both eras on one endpoint and
tells them apart by `MCP-Protocol-Version`; what comes in the older one is marked as of a version nobody
serves, so that the SDK's own modern entry refuses it.

Tools: echo(message), add(a, b), order(region, item) with the region mirrored into a header, slow(steps,
seconds) with progress. One resource and one prompt.
"""

import asyncio
import json
import socket
import sys
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field

MODERN = b"2026-07-28"
VERSION = b"mcp-protocol-version"

server = MCPServer("tests-real-newcomer", instructions="be brief")


@server.tool()
def echo(message: str) -> str:
    """Answers with the message."""
    return f"Echo: {message}"


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def order(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], item: str) -> str:
    """Orders an item in a region."""
    return f"{item} for {region}"


@server.tool()
async def slow(steps: int, seconds: float, ctx: Context) -> str:
    """Takes its time, and reports progress."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps)
        await asyncio.sleep(seconds / steps)
    return "done"


@server.resource("docs://handbook")
def handbook() -> str:
    """The handbook."""
    return "Label every issue."


@server.prompt()
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Say hello to {name}."


class ModernAlone:
    """Sends everything to the SDK's modern entry."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            others = [(name, value) for name, value in scope["headers"] if name != VERSION]
            stated = dict(scope["headers"]).get(VERSION)
            version = MODERN if stated == MODERN else b"unserved"
            scope = {**scope, "headers": [*others, (VERSION, version)]}
        await self.app(scope, receive, send)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: newcomer.py PORT")
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(json.dumps({"ready": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(ModernAlone(server.streamable_http_app()), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
