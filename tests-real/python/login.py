"""PyPI mcp that logs a person in by itself: it is told a URL and nothing else.

    login.py --url URL [--metadata-url URL] [--era auto|legacy|modern] [--call TOOL [--args JSON]] [--timeout SECONDS]

Prints {"open": URL} when it wants a browser to go there, and at the end
{ok, era, tools, result, error, registered}. Tokens stay in memory and never reach the output.
"""

import argparse
import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from client import MODES, first_cause, written


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


class Memory(TokenStorage):
    """All that the application remembers."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Callback:
    """The application's own listener for the way back."""

    def __init__(self) -> None:
        self.arrived: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def listen(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).decode().split(" ")[1]
        body = b"<title>done</title>You may close this page."
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        parts = urlsplit(target)
        if parts.path == "/callback" and not self.arrived.done():
            self.arrived.set_result({name: values[0] for name, values in parse_qs(parts.query).items()})

    async def result(self) -> AuthorizationCodeResult:
        came = await self.arrived
        if "error" in came:
            raise PermissionError(f"{came['error']}: {came.get('error_description', '')}")
        return AuthorizationCodeResult(code=came["code"], state=came.get("state"), iss=came.get("iss"))


async def go_to(url: str) -> None:
    say({"open": url})


async def run(job: argparse.Namespace, outcome: dict[str, Any]) -> None:
    callback = Callback()
    await callback.listen()
    memory = Memory()
    metadata = OAuthClientMetadata(
        client_name="tests-real-login", redirect_uris=[AnyUrl(callback.url)], token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )
    auth = OAuthClientProvider(
        server_url=job.url, client_metadata=metadata, storage=memory, redirect_handler=go_to,
        callback_handler=callback.result, client_metadata_url=job.metadata_url,
    )
    async with create_mcp_http_client(auth=auth) as http:
        transport = streamable_http_client(job.url, http_client=http)
        async with Client(transport, mode=MODES[job.era]) as client:
            outcome["era"] = client.protocol_version
            outcome["tools"] = [tool.name for tool in (await client.list_tools()).tools]
            if job.call:
                outcome["result"] = written(await client.call_tool(job.call, job.args))
    named = memory.client and memory.client.client_id == job.metadata_url
    outcome["registered"] = "metadata document" if named else "dynamically"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--era", choices=MODES, default="auto")
    parser.add_argument("--call", metavar="TOOL")
    parser.add_argument("--args", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    job = parser.parse_args(argv)
    outcome: dict[str, Any] = dict.fromkeys(("era", "tools", "result", "error", "registered"))
    outcome["ok"] = False
    try:
        asyncio.run(asyncio.wait_for(run(job, outcome), job.timeout))
        outcome["ok"] = not (outcome["result"] or {}).get("isError", False)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the outcome says so
        cause = first_cause(error)
        outcome["error"] = {"message": str(cause), "code": type(cause).__name__}
    say(outcome)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
