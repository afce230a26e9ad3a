"""Receipts: signed by the gateway, verified by whoever runs the server, in three languages and offline."""

import base64
import json
import time

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, modern, modern_headers, succeeded
from ..keys import SigningKey
from ..manifests import agent, binding, configuration, environment, policy, server, sourced, together
from ..modes.minted import owning_agent
from ..processes import until
from ..recorder import Recorder
from ..upstreams import Workshop
from .owners import Owners, shown_as_it_is

HEADER = "Mcp-Gateway-Receipt"
SERVERS = ("asking", "other", "outside", "silent")
# How far the owners' examples let clocks be apart.
LEEWAY_SECONDS = 5


class Receipt:
    """One that arrived, with the message that it came with."""

    def __init__(self, message):
        found = message.all(HEADER)
        demand(len(found) == 1, f"{message.path}: {len(found)} receipts in one message")
        self.text, self.body = found[0], message.body
        self.header, self.claims = (part(self.text, index) for index in (0, 1))


def part(token, index):
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class House:
    """A gateway with four servers of which three ask for receipts, and all behind one recorder."""

    def __init__(self, stage):
        self.stage = stage
        workshop = Workshop(stage, "receipts")
        self.recorder = Recorder(workshop.url)
        self.gateway = Gateway(stage, "receipts", configuration(stage, SERVERS))
        secret = stage.mint.make("receipts")
        workshop.accept(secret)
        stage.openbao.put("kv/issues/receipts", secret)
        self.gateway.start().log_in()
        self.gateway.apply(together(
            environment(), policy(), agent(stage, "triage-bot"),
            owning_agent(stage, "steady-bot", "echo, whoami", server="asking"),
            *(self.registered(name, mode) for name, mode in
              (("asking", "header"), ("other", "header"), ("outside", "pseudonymous"), ("silent", "off"))),
            *(binding(f"{name}-calls", "bao://kv/issues/receipts#token", "triage-bot", server_name=name)
              for name in SERVERS),
            sourced("asking-minted", "{ minted: { lifetime_seconds: 60 } }", "{ agents: [steady-bot] }", "agent_scoped",
                    server_name="asking"),
        ))
        self.tokens = {}
        self.keys = f"{self.gateway.public_url}/.well-known/jwks/receipt.json"

    def registered(self, name, mode):
        text = server(self.recorder.url(name), name)
        return text.replace("addresses: [loopback]", f"addresses: [loopback], receipt: {mode}")

    def messages(self, name, who="triage-bot", **headers):
        """Calls a tool; the messages that the server got."""
        door = self.gateway.door("dev", name)
        if (name, who) not in self.tokens:
            self.tokens[name, who] = self.stage.issuer.agent(who, door)
        mark = len(self.recorder.seen)
        sent = {**modern_headers(self.tokens[name, who], "echo"), **headers}
        answer = web.request("POST", door, modern("echo", {"text": "hello"}), sent)
        self.stage.keep("calls", f"{answer.status}\n{answer.headers}\n{answer.text}")
        demand(succeeded(answer) or who == "steady-bot", f"{name}: {answer.status} {answer.text[:300]}")
        found = [message for message in self.recorder.at(name, mark) if b'"tools/call"' in message.body]
        demand(found, f"{name}: nothing arrived: {answer.status} {answer.text[:300]}")
        return found

    def receipt(self, name, **headers):
        return Receipt(self.messages(name, **headers)[-1])

    def verify(self, receipt, audience, *more, keys=None):
        """(exit code, reason or None) of `receipt verify`."""
        command = [self.stage.program, "--output", "json", "receipt", "verify", "--jwks", keys or self.keys,
                   "--audience", audience, "--issuer", self.gateway.public_url, *more]
        code, out, err = self.stage.children.run(command, input=receipt)
        demand(out.strip(), f"`receipt verify` said nothing: {code} {err[-300:]}")
        return code, json.loads(out).get("reason")


def equals_evidence(house, receipt):
    """What the receipt says is what its intent says."""
    said = receipt.claims
    intents = [event for event in house.gateway.events()
               if event["kind"] == "intent" and event.get("request_id") == said["request_id"]
               and event["time"] == said["decided_at"]]
    demand(len(intents) == 1, f"{len(intents)} intents for {said['request_id']} at {said['decided_at']}")
    for name in ("environment", "server", "method", "tool", "mode", "binding", "policy_version"):
        demand(said[name] == intents[0][name], f"{name}: receipt {said[name]}, evidence {intents[0].get(name)}")
    demand(said["sub"] == f"agent:{intents[0]['agent']}", f"sub {said['sub']}, evidence {intents[0]['agent']}")
    demand(said["jti"].startswith(said["request_id"] + "."), f"jti {said['jti']}")
    demand(said["iss"] == house.gateway.public_url and said["aud"] == house.recorder.url("asking"), f"{said}")
    demand(0 < said["exp"] - said["iat"] <= 60 and receipt.header["typ"] == "mcpgw-receipt+jwt", f"{receipt.header} {said}")


def forgeries(house, good):
    """(what it is, text) of receipts that nobody may believe, made of a good one."""
    head, claims, signature = good.text.split(".")
    other = "A" if signature[40] != "A" else "B"
    if house.stage.sabotage == "receipt":
        # The forger does not forge: whoever judges must notice that it is believed.
        other = signature[40]
    key = SigningKey(house.stage, "receipt-forger")
    return [
        ("another signature", f"{head}.{claims}.{signature[:40]}{other}{signature[41:]}"),
        ("other claims", f"{head}.{encoded({**good.claims, 'sub': 'agent:somebody-else'})}.{signature}"),
        ("no algorithm", f"{encoded({**good.header, 'alg': 'none'})}.{claims}."),
        ("a key of somebody's", key.sign(good.claims, kid=good.header["kid"], typ=good.header["typ"])),
        ("an unknown key", key.sign(good.claims, typ=good.header["typ"])),
    ]


def judge(stage):
    house = House(stage)
    try:
        return observe(stage, house)
    finally:
        house.recorder.end()


def observe(stage, house):
    owners = Owners(stage, house.gateway.public_url, house.recorder.url("asking"), house.keys)
    early = house.receipt("asking")
    equals_evidence(house, early)
    nobody_forges(house)
    pseudonyms(house)
    minted = house.messages("asking", who="steady-bot")[-1]
    token = stage.mint.also("a minted token", minted.headers["Authorization"].removeprefix("Bearer "))
    foreign = house.receipt("other")
    for owner in owners.all():
        good = house.receipt("asking", **{HEADER: "forged"})
        # Forged after one that nobody has seen: the owner must not refuse it as a replay alone.
        unseen = house.receipt("asking")
        cases = [("good", good.text, good.body, True), ("replayed", good.text, good.body, False),
                 *((what, text, unseen.body, False) for what, text in forgeries(house, unseen)),
                 ("of another server", foreign.text, foreign.body, False),
                 ("of another message", house.receipt("asking").text, b"{}", False),
                 ("a minted token", token, minted.body, False),
                 ("good again", *kept(house.receipt("asking")), True)]
        owner.judge(cases)
    offline(house, early, foreign, token)
    until("the first receipt has expired", lambda: time.time() > early.claims["exp"] + LEEWAY_SECONDS + 1, 90, 0.2)
    for owner in owners.all():
        owner.judge([("expired", early.text, early.body, False), ("good", *kept(house.receipt("asking")), True)])
    demand(house.verify(early.text, house.recorder.url("asking")) == (5, "expired"), "the CLI takes an expired receipt")
    rotated = rotation(stage, house, owners)
    house.gateway.keep_metrics()
    house.gateway.stop()
    lines = shown_as_it_is()
    return (f"the receipt ({len(early.text)} bytes) equals its intent; {owners.judged} verdicts by owners in Rust, Python and TypeScript as they should "
            f"be; an owner who never asked gets none; {rotated}; docs/receipts.md shows {lines} lines of the examples")


def kept(receipt):
    return receipt.text, receipt.body


def nobody_forges(house):
    """A caller's header of that name arrives nowhere."""
    silent = house.messages("silent", **{HEADER: "forged"})[-1]
    demand(not silent.all(HEADER), f"a server that never asked got {silent.all(HEADER)}")


def pseudonyms(house):
    """A server outside learns nobody's name, and knows them again."""
    one, two = house.receipt("outside"), house.receipt("outside")
    demand(one.claims["sub"].startswith("pseudonym:") and "triage-bot" not in json.dumps(one.claims), f"{one.claims}")
    demand(one.claims["sub"] == two.claims["sub"] and one.claims["jti"] != two.claims["jti"], f"{one.claims} {two.claims}")


def offline(house, early, foreign, token):
    """The command line, with a key set in a file, and without the gateway for the kept one."""
    audience = house.recorder.url("asking")
    every = house.gateway.folder / "every-key.json"
    every.write_text(web.request("GET", f"{house.gateway.public_url}/.well-known/jwks.json").text)
    good = house.receipt("asking")
    forged = dict(forgeries(house, good))
    for what, receipt, expected in (
        ("good", good.text, (0, None)),
        ("forged", forged["another signature"], (5, "bad_signature")),
        ("changed", forged["other claims"], (5, "bad_signature")),
        ("of an unknown key", forged["an unknown key"], (5, "unknown_key")),
        ("of another server", foreign.text, (5, "wrong_audience")),
        ("a minted token", token, (5, "wrong_type")),
    ):
        found = house.verify(receipt, audience, keys=every)
        demand(found == expected, f"`receipt verify`, {what}: {found} in place of {expected}")
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(early.claims["iat"] + 1))
    demand(house.verify(early.text, audience, "--at", then, keys=every) == (0, None), "a kept receipt, judged by its time")


def rotation(stage, house, owners):
    """Compromised keys sign no more and count no more; the next ones are taken at once."""
    before = house.receipt("asking")
    code, out, err = stage.children.run([stage.program, "rotate-signing-keys", "--config", house.gateway.file,
                                         "--purpose", "receipt", "--compromised"], cwd=house.gateway.folder)
    demand(code == 0, f"no rotation: {(out + err)[-300:]}")

    def renewed():
        fresh = house.receipt("asking")
        return fresh if fresh.header["kid"] != before.header["kid"] else None

    fresh = until("another key signs", renewed, 30, 0.5)
    audience = house.recorder.url("asking")
    demand(house.verify(before.text, audience) == (5, "unknown_key"), "a withdrawn key still counts")
    demand(house.verify(fresh.text, audience) == (0, None), "the next key does not count")
    for owner in owners.all():
        owner.judge([("of a withdrawn key", before.text, before.body, False),
                     ("good", *kept(house.receipt("asking")), True)])
    return "after a rotation the withdrawn key's are refused and the next key's taken"


CLAIMS = (
    Claim("receipts", "a server that asks gets a signed receipt with each message, which says what the evidence says; owners' "
                      "examples in Rust, Python and TypeScript and `receipt verify` take it, and refuse forged, replayed, "
                      "expired and foreign ones, other tokens and withdrawn keys", judge),
)
