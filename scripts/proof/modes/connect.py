"""A person connects an account with a real browser, and what must not work on the way."""

import json
import os
from urllib.parse import parse_qs, urlsplit

from .. import parts
from ..claim import Claim, demand
from ..spine.clients import act
from .connected import CALLBACK, GRANTS, READ, WRITE, Enterprise
from .house import scopes

CLIENTS = ("pypi", "npm", "inspector")


def judge(stage):
    house = Enterprise(stage, "connect")
    alice, bob = house.caller("alice"), house.caller("bob")
    link = asked(alice, "grant.missing")
    strangers = [others_link(stage, house, link), *ways_back(stage, house)]
    connected = connects(stage, house, alice, bob, link)
    stepped = steps_up(stage, house, alice, bob)
    ended = ends(stage, house, alice)
    house.gateways[0].keep_metrics()
    house.stop()
    return f"{connected}; {stepped}; {ended}; refused: {', '.join(strangers)}"


def asked(door, code, tool="whoami"):
    """The address that a refusal has for its caller."""
    answer = door.refused(code, 403, tool)
    link = answer.json()["error"]["data"].get("connect_url")
    demand(link, f"the refusal has no address: {answer.text[:300]}")
    return link


def turned_away(stage, person, url, code, **order):
    """The gateway's own page says the code."""
    shown = stage.browser.walk(person, url, **order)
    demand(code in shown.get("text", ""), f"{person} at {shown.get('url')} reads {shown.get('text', '')[:300]}, not {code}")
    return code


def others_link(stage, house, link):
    """Bob is logged in where alice's link is opened; then he changes it."""
    stage.browser.walked("bob", f"{house.gateways[0].public_url}/login")
    turned_away(stage, "bob", link, "connect.other_user")
    for name, value in (("scope", f"{READ} {WRITE}"), ("for", "x" * 43), ("until", "9999999999")):
        query = {key: values[0] for key, values in parse_qs(urlsplit(link).query).items()}
        turned_away(stage, "bob", house.page(**{**query, name: value}), "connect.link_refused")
    return "another person's link, and 3 changes of it"


def ways_back(stage, house):
    """What the provider's answer may not be."""
    back = f"{house.gateways[0].public_url}{CALLBACK}"
    stage.browser.walked("alice", f"{house.gateways[0].public_url}/login")
    cases = {
        "missing iss": ("connect.issuer_missing", {"drop": ["iss"]}),
        "mixed-up iss": ("connect.issuer_mixed_up", {"set": {"iss": house.idp.url}}),
        "another state": ("connect.state_unknown", {"set": {"state": "x" * 43}}),
        "another code": ("connect.provider_refused", {"set": {"code": "x" * 43}}),
        "denied": ("connect.denied", {"drop": ["code"], "set": {"error": "access_denied"}}),
    }
    for code, change in cases.values():
        turned_away(stage, "alice", house.page(), code, tamper={"at": back, **change})
    held = stage.browser.walked("alice", house.page(), stop_at=back)["stopped"]
    turned_away(stage, "bob", held, "connect.other_session")
    turned_away(stage, "alice", held, "connect.state_unknown")
    demand(not house.kept_any(), "a refused way left tokens in the store")
    return [*cases, "the answer in another person's browser, and then in its own"]


def connects(stage, house, alice, bob, link):
    """Exactly what the call needs, for exactly the person."""
    mark = house.notes.ledger.mark()
    stage.browser.walked("alice", link)
    authority = alice.served()
    demand(authority["sub"] == "alice" and scopes(authority) == {READ}, f"the upstream saw {authority}")
    mark_calls = alice.upstream.log.mark()
    for client in CLIENTS:
        outcome = act(stage, client, "legacy", alice.url, alice.token, "notes")
        stage.keep("clients", json.dumps(outcome))
        demand(outcome["ok"] and not outcome["caller_token_echoed"], f"{client}: {outcome['error']}")
    calls = [line["authority"] for line in alice.upstream.calls(mark_calls)]
    demand(len(calls) == len(CLIENTS) and all(seen["sub"] == "alice" and scopes(seen) == {READ} for seen in calls),
           f"the upstream saw {calls}")
    asked(bob, "grant.missing")
    exchanged = house.notes.requests(mark)
    demand(len(exchanged) == 1, f"the provider's token endpoint was asked {len(exchanged)} times")
    page = stage.browser.look("alice", f"{house.gateways[0].public_url}{GRANTS}")
    demand("notes" in page["text"] and READ in page["text"], f"the page of grants: {page['text'][:300]}")
    other = stage.browser.look("bob", f"{house.gateways[0].public_url}{GRANTS}")
    demand("You have connected no account" in other["text"], f"bob's page of grants: {other['text'][:300]}")
    return (f"alice connected and the upstream saw her with the one scope, by hand and by {len(CLIENTS)} real clients; bob is "
            "still refused")


def steps_up(stage, house, alice, bob):
    """A tool that needs more asks for that, and for nothing else: real clients show the address and come back."""
    stage.browser.walked("bob", house.page())
    asking = (("npm", "modern", "alice", alice), ("pypi", "modern", "bob", bob))
    for client, era, person, door in asking:
        outcome, links = Asking(stage, client, era, person, door).run()
        demand(outcome["ok"], f"{client}, {era}: {outcome['error']}")
        wanted = {tuple(sorted(parse_qs(urlsplit(link).query)["scope"][0].split())) for link in links}
        demand(wanted == {(READ, WRITE)}, f"{client}, {era}: the step up asks for {wanted}")
        authority = door.served("write_notes")
        demand(scopes(authority) == {READ, WRITE} and authority["sub"] == person, f"the upstream saw {authority}")
    return f"a step up to the second scope, asked for by {' and '.join(f'{client} ({era})' for client, era, _, _ in asking)}"


class Asking:
    """A real client that is told to call `write_notes`, and a person who opens what it shows."""

    PROGRAMS = {"npm": lambda: [parts.program("node"), parts.NPM / "elicit.mjs"],
                "pypi": lambda: [parts.python(), parts.PYTHON / "elicit.py"]}

    def __init__(self, stage, client, era, person, door):
        self.stage, self.person = stage, person
        command = [*self.PROGRAMS[client](), "--url", door.url, "--token-env", "TOKEN", "--era", era,
                   "--call", "write_notes", "--timeout", "60"]
        env = {**os.environ, "TOKEN": door.token, "NO_PROXY": "127.0.0.1"}
        self.child = stage.children.start(f"asking-{client}", command, reads=True, env=env)

    def run(self):
        """The outcome that it prints, and the addresses that it showed."""
        links = []
        for line in self.child.process.stdout:
            said = json.loads(line)
            if "asked" not in said:
                self.stage.keep("clients", json.dumps(said))
                return said, links
            if said["asked"]["url"] not in links:
                links.append(said["asked"]["url"])
                self.stage.browser.walked(self.person, said["asked"]["url"])
        demand(False, f"the client said nothing: {self.child.tail()}")


def ends(stage, house, alice):
    """On her own page; the provider says that it is over."""
    gateway = house.gateways[0]
    grants = [grant for grant in gateway.cli("grant", "list")["items"] if grant["user"].endswith("|alice")]
    demand(len(grants) == 1, f"grants: {json.dumps(grants)[:300]}")
    tokens = json.loads(house.kept(grants[0]["id"])["grant"])
    for name in ("access_token", "refresh_token"):
        stage.mint.also(f"a grant's {name}", tokens[name])
    stage.browser.walked("alice", f"{gateway.public_url}{GRANTS}")
    asked(alice, "grant.missing")
    for name in ("access_token", "refresh_token"):
        answer = house.notes.introspect("gateway", house.secret, tokens[name])
        demand(answer == {"active": False}, f"after the end the {name} is {answer}")
    events = [event for event in gateway.events() if event.get("grant") == grants[0]["id"]]
    answers = [event.get("answer") for event in events if event["kind"] == "credential_returned"]
    demand("revoked" in answers, f"evidence: {json.dumps(events)[-400:]}")
    return "disconnected on the own page: introspection says inactive, evidence has the provider's answer"


CLAIMS = (
    Claim("connect", "a person connects an account with a real browser, for exactly the scopes of the call; wrong user, changed "
                     "link, replayed state, mixed-up or missing issuer are refused", judge),
)
