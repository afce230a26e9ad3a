"""PyPI mcp (its Client class) calls a tool and does what its person is asked to do.

    elicit.py --url URL [--token-env NAME] --era legacy|modern --call TOOL [--args JSON] [--timeout SECONDS]

Says {"asked": {mode, url, message}} for each address that is to be opened. In 2026-07-28 it answers at once with
ELICIT_ANSWER (accept, decline or cancel) and lets the SDK come back; in 2025-11-25, where the call fails
with what is required, it calls once more when a line arrives on standard input. Then it prints what client.py prints.
"""

import asyncio
import json
import logging
import os
import sys
from typing import Any

import httpx2
from client import MODES, describe, emit, parse, token_of, written
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import ElicitRequestURLParams, ElicitResult

REQUIRED = -32042


def say(asked: ElicitRequestURLParams) -> None:
    print(json.dumps({"asked": {"mode": asked.mode, "url": asked.url, "message": asked.message}}), flush=True)


async def answer(_context: Any, asked: Any) -> ElicitResult:
    say(asked)
    return ElicitResult(action=os.environ.get("ELICIT_ANSWER", "accept"))


async def with_person(client: Client, tool: str, arguments: dict[str, Any]) -> Any:
    try:
        return await client.call_tool(tool, arguments)
    except MCPError as error:
        if error.code != REQUIRED:
            raise
        for asked in UrlElicitationRequiredError.from_error(error.error).elicitations:
            say(asked)
    await asyncio.to_thread(sys.stdin.readline)
    return await client.call_tool(tool, arguments)


async def run(job: Any, token: str | None, outcome: dict[str, Any], seen: dict[str, Any]) -> None:
    async def remember(response: httpx2.Response) -> None:
        if response.status_code >= 400:
            seen["status"] = response.status_code

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with create_mcp_http_client(headers=headers) as http:
        http.event_hooks["response"].append(remember)
        transport = streamable_http_client(job.url, http_client=http)
        async with Client(transport, mode=MODES[job.era], elicitation_callback=answer) as client:
            outcome["era"] = client.protocol_version
            outcome["result"] = written(await with_person(client, job.call, job.args))


def main() -> int:
    logging.disable(logging.CRITICAL)
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    job = parse(sys.argv[1:])
    outcome: dict[str, Any] = {"ok": False, "era": None, "tools": None, "result": None, "error": None}
    seen: dict[str, Any] = {"status": None}
    token: str | None = None
    try:
        token = token_of(job)
        asyncio.run(asyncio.wait_for(run(job, token, outcome, seen), job.timeout))
        outcome["ok"] = True
    except Exception as error:  # every failure belongs into the report
        outcome["error"] = describe(error, seen)
    emit(outcome, token)
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
