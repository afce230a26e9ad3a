"""PyPI mcp (its Client class) through a list of steps, to compare two ways to one server.

    walk.py --url URL [--token-env NAME] [--era auto|legacy|modern] --steps JSON [--timeout SECONDS]

A step is ["tools"], ["resources"], ["templates"], ["prompts"], ["read", URI], ["prompt", NAME, ARGUMENTS],
["call", TOOL, ARGUMENTS], ["progress", TOOL, ARGUMENTS] (with what was reported meanwhile) or
["cancel", TOOL, ARGUMENTS] (cancelled at the first report). Prints {ok, era, steps, error}; a step that
fails is {"error": code}.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from typing import Any

from client import MODES, describe, token_of
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-env", metavar="NAME")
    parser.add_argument("--era", choices=MODES, default="auto")
    parser.add_argument("--steps", type=json.loads, required=True, metavar="JSON")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    return parser.parse_args(argv)


def plain(result: Any) -> Any:
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


async def step(client: Client, what: str, *given: Any) -> Any:
    match what:
        case "tools":
            return plain(await client.list_tools())
        case "resources":
            return plain(await client.list_resources())
        case "templates":
            return plain(await client.list_resource_templates())
        case "prompts":
            return plain(await client.list_prompts())
        case "read":
            return plain(await client.read_resource(given[0]))
        case "prompt":
            return plain(await client.get_prompt(given[0], given[1]))
        case "call":
            return plain(await client.call_tool(given[0], given[1]))
        case "progress":
            heard: list[float] = []

            async def hear(progress: float, _total: float | None, _message: str | None) -> None:
                heard.append(progress)

            result = await client.call_tool(given[0], given[1], progress_callback=hear)
            return {"result": plain(result), "progress": heard}
        case "cancel":
            return await cancelled(client, *given)
    raise LookupError(what)


async def cancelled(client: Client, tool: str, arguments: dict[str, Any]) -> Any:
    begun = asyncio.Event()

    async def hear(*_: Any) -> None:
        begun.set()

    call = asyncio.create_task(client.call_tool(tool, arguments, progress_callback=hear))
    await begun.wait()
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    return "answered"


async def run(job: argparse.Namespace, token: str | None, outcome: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with create_mcp_http_client(headers=headers) as http:
        async with Client(streamable_http_client(job.url, http_client=http), mode=MODES[job.era]) as client:
            outcome["era"] = client.protocol_version
            for given in job.steps:
                try:
                    outcome["steps"].append(await step(client, *given))
                except MCPError as error:
                    outcome["steps"].append({"error": error.code})


def main() -> int:
    logging.disable(logging.CRITICAL)
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    job = parse(sys.argv[1:])
    outcome: dict[str, Any] = {"ok": False, "era": None, "steps": [], "error": None}
    try:
        asyncio.run(asyncio.wait_for(run(job, token_of(job), outcome), job.timeout))
        outcome["ok"] = True
    except Exception as error:  # every failure belongs into the report
        outcome["error"] = describe(error, {"status": None})
    print(json.dumps(outcome))
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
