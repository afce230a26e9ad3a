"""What `schemathesis` is told beside the document: it runs this in its own process, for the claim `api-fuzz`."""

import uuid

import schemathesis
from hypothesis import strategies

# The boundary phase makes header values of letters and digits alone, whatever their pattern says, and would send
# entity tags without their quotes. A format that it knows is kept to in every phase.
schemathesis.openapi.format("entity-tag", strategies.from_regex(r'\A([*]|"[a-z0-9-]{1,64}")\Z'))

# What breaks the form that the document asks for: such a refusal of a request that is good by the document is a
# divergence, whatever its status. Every other 422 is a rule about what stands, about two fields at a time, or about the
# fields of a manifest, of which the document says kind and name.
FORM = {"request.malformed", "request.content_type", "idempotency.key"}


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key of its own for each good request: the tool sends one and the same with all of them, and would be told each
    time that it belongs to another request. And in its sequences lists without random conditions, which find nothing
    from which a link could lead on; the other phases send those."""
    if not is_positive(case):
        return
    headers, query = case.headers or {}, case.query or {}
    if headers.get("Idempotency-Key"):
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.meta.phase.name.name == "STATEFUL" and case.method == "GET" and "links" in described(case):
        for condition in set(query) - {"limit"}:
            del query[condition]


def described(case):
    """What the document says of the operation's good answer."""
    return case.operation.definition.raw.get("responses", {}).get("200", {})


@schemathesis.check
def refusals_are_problems(ctx, response, case):
    """Every refusal is an RFC 9457 problem with a code and a hint; of a good request, never one about its form."""
    if response.status_code < 400:
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind.startswith("application/problem+json") or case.operation.path == "/readyz", f"a refusal of type {kind}"
    if case.operation.path == "/readyz":
        return
    problem = response.json()
    for field in ("type", "title", "code", "detail", "hint", "fixer"):
        assert problem.get(field), f"a refusal without `{field}`: {problem}"
    assert problem["status"] == response.status_code, f"{problem['status']} in an answer of {response.status_code}"
    if is_positive(case):
        assert problem["code"] not in FORM, f"good by the document: {problem['code']}: {problem['detail']}"
