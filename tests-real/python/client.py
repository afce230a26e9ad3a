"""PyPI mcp (its Client class) as a command-line client.

    client.py --url URL [--token-env NAME] | --command JSON
              [--era auto|legacy|modern] [--list [--whole]] [--call TOOL [--args JSON]] [--timeout SECONDS]

--command starts a server itself, a JSON array, with this program's own environment, and speaks to it
over stdio. --whole reports all that is said about a tool instead of its name. Prints {ok, era, tools, result, error: {message, code, status}, caller_token_echoed}, as the npm
clients do. `modern` pins 2026-07-28, which skips discovery. The token comes from the environment,
because process arguments are world-readable; it never reaches the output.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

MODES = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28", "2026-07-28": "2026-07-28"}


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--url")
    place.add_argument("--command", type=json.loads, metavar="JSON")
    parser.add_argument("--token-env", metavar="NAME")
    parser.add_argument("--era", choices=MODES, default="auto")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--call", metavar="TOOL")
    parser.add_argument("--args", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS")
    return parser.parse_args(argv)


def token_of(job: argparse.Namespace) -> str | None:
    if job.token_env is None:
        return None
    token = os.environ.get(job.token_env)
    if not token:
        raise LookupError(f"environment variable {job.token_env} is not set")
    return token


async def run(job: argparse.Namespace, token: str | None, outcome: dict[str, Any], seen: dict[str, Any]) -> None:
    async def remember(response: httpx2.Response) -> None:
        if response.status_code >= 400:
            seen["status"] = response.status_code

    if job.command:
        program = StdioServerParameters(command=job.command[0], args=job.command[1:], env=dict(os.environ))
        return await act(job, stdio_client(program), outcome)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with create_mcp_http_client(headers=headers) as http:
        http.event_hooks["response"].append(remember)
        await act(job, streamable_http_client(job.url, http_client=http), outcome)


async def act(job: argparse.Namespace, transport: Any, outcome: dict[str, Any]) -> None:
    async with Client(transport, mode=MODES[job.era]) as client:
        outcome["era"] = client.protocol_version
        if job.list or not job.call:
            tools = (await client.list_tools()).tools
            outcome["tools"] = [written(tool) if job.whole else tool.name for tool in tools]
        if job.call:
            outcome["result"] = written(await client.call_tool(job.call, job.args))


def written(model: Any) -> Any:
    """As it came over the wire."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def first_cause(error: BaseException) -> BaseException:
    """The first real error inside the groups that task groups wrap errors in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def describe(error: BaseException, seen: dict[str, Any]) -> dict[str, Any]:
    cause = first_cause(error)
    code = cause.code if isinstance(cause, MCPError) else type(cause).__name__
    return {"message": str(cause) or type(cause).__name__, "code": code, "status": seen["status"]}


def emit(outcome: dict[str, Any], token: str | None) -> None:
    text = json.dumps(outcome)
    echoed = token is not None and token in text
    if echoed:
        text = text.replace(token, "[caller token]")
    print(json.dumps({**json.loads(text), "caller_token_echoed": echoed}))


def main() -> int:
    logging.disable(logging.CRITICAL)
    # What is under test stands on loopback; a proxy of the machine has no business there.
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    job = parse(sys.argv[1:])
    token: str | None = None
    outcome: dict[str, Any] = {"ok": False, "era": None, "tools": None, "result": None, "error": None}
    seen: dict[str, Any] = {"status": None}
    try:
        token = token_of(job)
        asyncio.run(asyncio.wait_for(run(job, token, outcome, seen), job.timeout))
        result = outcome["result"]
        if result and result.get("isError"):
            texts = [block["text"] for block in result["content"] if block["type"] == "text"]
            outcome["error"] = {"message": texts[0] if texts else "", "code": "tool_error", "status": None}
        outcome["ok"] = outcome["error"] is None
    except Exception as error:  # every failure belongs into the report
        outcome["error"] = describe(error, seen)
    emit(outcome, token)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
