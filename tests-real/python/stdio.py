"""PyPI mcp (its Client class) that knows stdio alone: it is given a program to start, and no URL, no token.

    stdio.py --command JSON [--era auto|legacy|modern] [--calls JSON] [--rounds N] [--abandon] [--timeout SECONDS]

Lists the tools and makes the calls, `[[tool, arguments], ...]`, all at once; before each further round it prints
{"round": N} and waits for a line on standard input. --abandon takes a call of `slow` back half a second later. Prints
{ok, era, tools, results, progress, asked, error} at the end: `progress` counts notifications, `asked` what the server
asked its client for.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from typing import Any

import mcp_types as types
from client import MODES, describe, written
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def run(job: argparse.Namespace, outcome: dict[str, Any]) -> None:
    async def progress(_done: float, _total: float | None, _message: str | None) -> None:
        outcome["progress"] += 1

    async def elicited(_context: Any, asked: Any) -> types.ElicitResult:
        outcome["asked"].append("elicitation")
        names = (getattr(asked, "requested_schema", None) or {}).get("properties", {})
        return types.ElicitResult(action="decline" if not names else "accept", content={"name": "by hand"})

    async def sampled(_context: Any, _asked: Any) -> types.CreateMessageResult:
        outcome["asked"].append("sampling")
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="sampled by hand"), model="none")

    program = StdioServerParameters(command=job.command[0], args=job.command[1:], env=dict(os.environ))
    callbacks = {"elicitation_callback": elicited, "sampling_callback": sampled}
    async with Client(stdio_client(program), mode=MODES[job.era], **callbacks) as client:
        outcome["era"] = client.protocol_version
        for number in range(job.rounds):
            if number:
                say({"round": number})
                await asyncio.to_thread(sys.stdin.readline)
            outcome["tools"] = [tool.name for tool in (await client.list_tools()).tools]
            called = [client.call_tool(name, arguments, progress_callback=progress) for name, arguments in job.calls]
            outcome["results"] += [written(result) for result in await asyncio.gather(*called)]
        if job.abandon:
            call = asyncio.create_task(client.call_tool("slow", {"millis": 20_000}))
            await asyncio.sleep(0.5)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            outcome["results"].append(written(await client.call_tool("whoami", {})))


def main() -> int:
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", type=json.loads, required=True)
    parser.add_argument("--era", choices=MODES, default="auto")
    parser.add_argument("--calls", type=json.loads, default=[["whoami", {}]])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--abandon", action="store_true")
    parser.add_argument("--timeout", type=float, default=60.0)
    job = parser.parse_args()
    outcome: dict[str, Any] = {"ok": False, "era": None, "tools": None, "results": [], "progress": 0, "asked": [],
                               "error": None}
    try:
        asyncio.run(asyncio.wait_for(run(job, outcome), job.timeout))
        outcome["ok"] = not any(result.get("isError") for result in outcome["results"])
    except BaseException as error:  # noqa: BLE001 - every failure belongs into the report
        outcome["error"] = describe(error, {"status": None})
    say(outcome)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
