"""Which pages and which reads of the API are asked for: every one there is, so that none is forgotten."""

import json
import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote

from proof.claim import demand

CONSOLE = Path(__file__).resolve().parent.parent / "crates" / "console" / "src"
# What stands in the place of the parts of a path. A new path with parts must be given values here.
PLACES = {
    "/console/bindings/{environment}/{name}": ("dev", "binding-00000"),
    "/console/approvals/{kind}/{environment}/{name}": ("binding", "staging", "binding-00007"),
    "/console/environments/{name}": ("production",),
    "/console/servers/{environment}/{name}": ("dev", "server-000"),
    "/console/agents/{name}": ("agent-021",),
    "/console/workloads/{name}": ("runner-02",),
    "/console/providers/{environment}/{name}": ("dev", "tracker"),
    "/console/policies/{environment}/{name}": ("dev", "policy-03"),
}
# Pages that hold no list of the estate, and what is no page.
NO_PAGES = re.compile(r"/console/(act|style|assets|static)\b|\.css$|\.js$")
# Filters, deep places, searches for nothing; the first binding has been used most and has the longest history.
MORE = {
    "/console/bindings": [
        "?environment=production", "?server=server-003", "?agent=agent-021", "?owner=team-07", "?status=pending",
        "?status=disabled", "?status=revoked", "?agent=nobody",
    ],
    "/console/bindings/{environment}/{name}": [
        "staging/binding-00007", "dev/binding-00900", "dev/measured-calls",
    ],
    "/console/servers/{environment}/{name}": ["production/server-001"],
    "/console/access": [
        "?question=who&environment=dev&server=server-000&tool=tool-05", "?question=what&subject=agent&name=agent-021",
        "?question=why&environment=dev&server=server-000&tool=tool-05&agent=agent-021",
    ],
    "/console/audit": [
        "?kind=refused", "?kind=object_approved", "?binding=binding-00000", "?agent=agent-021&tool=tool-05",
        "?user=https%3A%2F%2Fidp.internal%7Cuser-77", "?decision=deny&environment=production", "?operator=ada",
        "?agent=nobody", "?agent=agent-021&user=nobody",
    ],
}
# Reads that answer a question, and none without one.
QUESTIONS = {
    "/v1/access/who": ["?environment=dev&server=server-000&tool=tool-05"],
    "/v1/access/what": ["?agent=agent-021", "?workload=runner-02"],
}
# Pages by cursor are walked so far, and the last one is measured like any other.
DEEP = 25
FURTHER = re.compile(r'<a[^>]*href="([^"]+)"[^>]*>\s*(?:Further|Older|Next)[^<]*</a>')


def templates():
    """The paths of the console's own router that are read."""
    text = "\n".join(file.read_text() for file in sorted(CONSOLE.rglob("*.rs")) if "tests" not in file.parts)
    found = re.findall(r'\.route\(\s*"(/console[^"]*)"\s*,\s*(?:\w+::)*get\(', text)
    demand(len(found) >= 12, f"the console's router shows only {found}")
    return sorted({path for path in found if not NO_PAGES.search(path)})


def pages(found):
    """The addresses of every page, with the variants of those that have some; `found` is what the estate came to hold."""
    places, addresses = PLACES | found, []
    for template in templates():
        names = re.findall(r"\{\*?(\w+)\}", template)
        values = iter(places.get(template, ()))
        demand(len(names) == len(places.get(template, ())), f"{template}: nothing is known to stand for {names}")
        addresses.append(re.sub(r"\{\*?\w+\}", lambda _: next(values), template))
        for variant in MORE.get(template, ()):
            base = template.partition("{")[0]
            addresses.append(template + variant if variant.startswith("?") else base + variant)
    missing = [template for template in (*MORE, *PLACES) if template not in templates()]
    demand(not missing, f"the console has no {missing} any more")
    return addresses


def deep(visitor, start):
    """Walks pages by their own links; the address of the last one."""
    address = start
    for _ in range(DEEP):
        status, body, _ = visitor.page(address)
        demand(status == 200, f"{address}: {status}")
        link = FURTHER.search(body.decode())
        if not link:
            break
        address = unescape(link[1])
    demand(address != start, f"{start} has one page only")
    return address


def evidence(reader):
    """Searches of the evidence by every kind of condition, from both ends, a hundred records a page."""
    def span(record, seconds):
        """From this record's time on."""
        at = datetime.fromisoformat(record["event"]["time"].replace("Z", "+00:00"))
        until = (at + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        return f"from={quote(record['event']['time'])}&until={quote(until)}"

    def first(query):
        status, body, _ = reader.page(f"/v1/audit?limit=1&{query}")
        records = json.loads(body).get("records") if status == 200 else None
        demand(records, f"no record for {query}: {status} {body[:200]!r}")
        return records[0]

    oldest, middle = first("order=oldest_first"), first("agent=agent-021&kind=intent&order=oldest_first")
    event = middle["event"]
    conditions = [
        f"request_id={event['request_id']}", f"trace_id={event['trace_id']}", f"user={quote(event['user'])}",
        "agent=agent-021", "surface=desktop", f"source_address={event['source_address']}", "environment=staging",
        "server=server-017", "tool=tool-07", "risk=read", "binding=binding-00000", "binding=binding-00417%401",
        "operator=https%3A%2F%2Fidp.internal%7Ceditor", "object=binding-00249", "kind=object_approved", "decision=deny",
        "reason=tool.unknown", "policy=policy-03", f"policy_version={event['policy_version']}", "upstream_status=404",
        "agent=nobody", "surface=desktop&user=nobody", "agent=agent-021&tool=tool-05&decision=allow",
        span(oldest, 30), span(middle, 30), f"{span(oldest, 86_400)}&agent=agent-021",
        f"after={oldest['sequence'] + 1000}&before={oldest['sequence'] + 3000}&server=server-017",
    ]
    return [f"/v1/audit?{condition}&order={order}" for condition in conditions
            for order in ("newest_first", "oldest_first")]


def reads(reader):
    """The addresses of the API that answer without a name in their path, by the API's own description."""
    status, body, _ = reader.page("/v1/openapi.json")
    demand(status == 200, f"the API's description: {status}")
    paths = json.loads(body)["paths"]
    found = [path for path, acts in paths.items() if path.startswith("/v1/") and "get" in acts and "{" not in path]
    missing = [path for path in QUESTIONS if path not in found]
    demand(not missing, f"the API has no {missing} any more")
    asked = [path + question for path in sorted(found) for question in QUESTIONS.get(path, [""])]
    return asked + ["/v1/bindings/dev/binding-00000", "/v1/bindings?limit=500", "/v1/audit?limit=1000",
                    "/v1/audit?agent=nobody"]
