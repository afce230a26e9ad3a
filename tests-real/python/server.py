"""PyPI mcp's own server as an upstream of both protocol eras, on loopback, endpoint /mcp.

    server.py PORT      (0: any free port)

Prints {"ready": "http://127.0.0.1:PORT"} once it listens. Tools: echo(message), add(a, b).
"""

import json
import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("tests-real-upstream")


@server.tool()
def echo(message: str) -> str:
    """Answers with the message."""
    return f"Echo: {message}"


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: server.py PORT")
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(json.dumps({"ready": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
