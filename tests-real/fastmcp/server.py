"""A PyPI fastmcp server as an upstream, on loopback, endpoint /mcp.

    server.py PORT      (0: any free port)

Prints {"ready": "http://127.0.0.1:PORT"} once it listens. Tools: echo(message), add(a, b), weather(city).
"""

import json
import socket
import sys
from dataclasses import dataclass

import uvicorn
from fastmcp import FastMCP

server = FastMCP("tests-real-fastmcp")


@dataclass
class Weather:
    city: str
    celsius: float
    words: list[str]


@server.tool
def echo(message: str) -> str:
    """Answers with the message."""
    return f"Echo: {message}"


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def weather(city: str) -> Weather:
    """A structured answer: numbers, lists and text beyond ASCII."""
    return Weather(city=city, celsius=-0.5, words=["dünn", "雪", "\u2028"])


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: server.py PORT")
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print(json.dumps({"ready": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(server.http_app(path="/mcp"), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
