"""Tokens that the gateway asks an authorization server for: with its own client, and in exchange for the caller's."""

import time

from ..claim import Claim, demand
from ..gateway import Gateway, succeeded
from ..keys import SigningKey
from ..manifests import agent, configuration, environment, notes, policy, provider, sourced, together
from ..processes import until
from ..provider import BEARER, CLIENT, EXCHANGE, AuthorizationServer
from ..upstreams import OAuthServer
from .house import Door, scopes
from .minted import trusting

READ, WRITE = "notes:read", "notes:write"
# How the gateway proves to be the client, and what the provider's own ledger calls it.
AUTHENTICATIONS = {"basic": "basic", "post": "post", "key": "assertion"}
SERVERS = (*AUTHENTICATIONS, "exchange", "acting", "assertion", "bearer", "short")
SHORT_SECONDS = 20


class Sources:
    """A provider with a client for each way, one upstream behind a door for each, an agent and a person."""

    def __init__(self, stage):
        self.stage = stage
        self.key = SigningKey(stage, "gateway-1")
        self.provider = AuthorizationServer(stage, "sources")
        self.staff = AuthorizationServer(stage, "sources-staff", scopes="mcp:tools", people={"alice": {}})
        self.secrets = self.clients()
        self.gateway = Gateway(stage, "sources", trusting(configuration(stage, SERVERS), self.staff, ("acting", "assertion")))
        self.provider.start()
        self.staff.start().trust({self.staff.url: {}})
        self.upstream = OAuthServer(stage, "sources-upstream", self.provider.url)
        for name, secret in self.secrets.items():
            stage.openbao.put(f"kv/clients/{name}", secret)
        stage.openbao.put("kv/clients/key", self.key.pem, "key")
        self.gateway.start().log_in()
        self.gateway.apply(self.manifests())
        self.doors = {name: self.door(name, stage.issuer.agent("triage-bot", self.gateway.door("dev", name)))
                      for name in SERVERS if name not in ("exchange", "acting", "assertion")}
        urls = {name: self.gateway.door("dev", name) for name in ("exchange", "acting", "assertion")}
        self.person = stage.issuer.person("alice", urls["exchange"]).read_text()
        self.doors["exchange"] = self.door("exchange", self.person)
        self.doors["acting"] = self.door("acting", self.staff.acting_for(
            "delegate", self.secrets["delegate"], self.staff.person("alice", urls["acting"]), urls["acting"]))
        self.doors["assertion"] = self.door("assertion", self.staff.person("alice", urls["assertion"]))
        self.trusted = {
            stage.issuer.url: {"audiences": [urls["exchange"]]}, self.staff.url: {},
            self.gateway.public_url: {"jwks_uri": f"{self.gateway.public_url}/.well-known/jwks/actor.json"},
        }
        self.provider.trust(self.trusted)

    def clients(self):
        jwks = {"jwks": {"keys": [self.key.public()]}, "token_endpoint_auth_method": "private_key_jwt"}
        client = self.provider.client
        client("gateway-key", CLIENT, **jwks)
        client("gateway-bearer", BEARER, **jwks)
        self.staff.public_client()
        return {
            "basic": client("gateway-basic", CLIENT),
            "post": client("gateway-post", CLIENT, token_endpoint_auth_method="client_secret_post"),
            "exchange": client("gateway-exchange", EXCHANGE, scope=f"{READ} {WRITE}"),
            "acting": client("gateway-acting", EXCHANGE, scope=f"{READ} {WRITE}"),
            "assertion": client("gateway-assertion", BEARER),
            "enterprise": self.staff.client("gateway-assertion", EXCHANGE),
            "delegate": self.staff.client("delegate", EXCHANGE),
            "short": client("gateway-short", CLIENT, access_token_ttl=SHORT_SECONDS),
        }

    def door(self, name, token):
        return Door(self.stage, self.gateway, name, token, self.upstream)

    def manifests(self):
        return together(
            environment(), policy(),
            agent(self.stage, "triage-bot") + f'  - act_subject: {{ issuer: "{self.staff.url}", subject: delegate }}\n',
            provider("enterprise", self.staff.url, self.client_of("enterprise").replace("gateway-enterprise", "gateway-assertion")),
            policy(name="people", condition='context.risk != "destructive"').replace("principal has agent", "true"),
            *[provider(name, self.provider.url, self.client_of(name)) for name in SERVERS],
            *[notes(self.upstream.url, name) for name in SERVERS],
            *[self.binding(name) for name in SERVERS],
        )

    def client_of(self, name):
        if name in ("key", "bearer"):
            way = 'private_key_jwt: { key: "bao://kv/clients/key#key", key_id: gateway-1 }'
        else:
            kind = "client_secret_post" if name == "post" else "client_secret_basic"
            way = f'{kind}: {{ secret: "bao://kv/clients/{name}#token" }}'
        return f"{{ id: gateway-{name}, authentication: {{ {way} }} }}"

    def binding(self, name):
        asked = (f'provider: {name}, scopes: ["{READ}"], resource: "{self.upstream.url}", '
                 f'tool_scopes: [{{ tools: [write_notes], scopes: ["{WRITE}"] }}]')
        bot = "{ agents: [triage-bot] }"
        if name in ("exchange", "acting", "assertion"):
            issuer = (self.stage.issuer if name == "exchange" else self.staff).url
            source = {
                "exchange": f"{{ token_exchange: {{ token: {{ {asked} }} }} }}",
                "acting": f"{{ token_exchange: {{ token: {{ {asked} }}, actor_token: true }} }}",
                "assertion": f"{{ identity_assertion: {{ token: {{ {asked} }}, identity_provider: enterprise }} }}",
            }[name]
            return sourced(name, source, f'{{ users: ["{issuer}|alice"] }}', "user_delegated", server_name=name,
                           policy_name="people")
        if name == "bearer":
            source = f"{{ jwt_bearer: {{ token: {{ {asked} }}, subject: client }} }}"
            return sourced(name, source, bot, "service_account", server_name=name)
        return sourced(name, f"{{ client_credentials: {{ {asked} }} }}", bot, "service_account", server_name=name)


def judge(stage):
    house = Sources(stage)
    own = [by_client(house, name) for name in AUTHENTICATIONS]
    exchanged = f"{by_exchange(house)}; {by_actor(house)}; {by_identity_assertion(house)}"
    bearer = by_assertion(house)
    outage = by_outage(house)
    house.gateway.keep_metrics()
    house.gateway.stop()
    return f"{', '.join(own)}; {exchanged}; {bearer}; {outage}"


def asked(house, name, mark):
    """The provider's lines since for that client."""
    return [line for line in house.provider.requests(mark) if line["client"] == f"gateway-{name}"]


def by_client(house, name):
    door, mark = house.doors[name], house.provider.ledger.mark()
    authority = door.served()
    demand(authority["client_id"] == f"gateway-{name}", f"{name}: the upstream saw {authority}")
    demand(scopes(authority) == {READ}, f"{name}: for whoami the upstream saw {authority['scope']}")
    door.served("read_notes")
    wider = door.served("write_notes")
    demand(scopes(wider) == {READ, WRITE}, f"{name}: for write_notes the upstream saw {wider['scope']}")
    lines = asked(house, name, mark)
    demand({line["authentication"] for line in lines} == {AUTHENTICATIONS[name]}, f"{name}: authenticated as {lines}")
    demand([set(line["scope"].split()) for line in lines] == [{READ}, {READ, WRITE}],
           f"{name}: 3 calls with 2 sets of scopes asked for {[line['scope'] for line in lines]}")
    demand({line["resource"] for line in lines} == {house.upstream.url}, f"{name}: asked for another resource")
    return f"{name} ({lines[0]['authentication']}): 3 calls, 2 tokens"


def by_exchange(house):
    door, mark = house.doors["exchange"], house.provider.ledger.mark()
    narrow, wide = door.served("read_notes"), door.served("write_notes")
    demand(narrow["sub"] == wide["sub"] == "alice", f"exchange: the upstream saw {narrow} and {wide}")
    demand(scopes(narrow) == {READ} and scopes(wide) == {READ, WRITE}, f"exchange: {narrow['scope']}, {wide['scope']}")
    demand(narrow.get("act", {}).get("sub"), f"exchange: nobody acts in {narrow}")
    demand(narrow["aud"] == house.upstream.url, f"exchange: for {narrow['aud']}")
    tail = house.person.rpartition(".")[2]
    demand(tail not in house.upstream.log.path.read_text(), "exchange: the caller's token reached the upstream")
    house.provider.trust({name: entry for name, entry in house.trusted.items() if name != house.stage.issuer.url})
    before = house.provider.count("token-exchange:refused")
    fresh = house.door("exchange", house.stage.issuer.person("alice", door.url).read_text())
    fresh.refused("provider.refused", 503)
    demand(house.provider.count("token-exchange:refused") > before, "exchange: the provider refused nothing")
    lines = asked(house, "exchange", mark)
    return (f"exchange: alice with act {narrow['act']['sub']}, {READ} for one tool and both scopes for the other, "
            f"refused where the provider does not trust the issuer ({len(lines)} exchanges)")


def by_actor(house):
    """The agent is named as the acting party by the gateway's own signed word, on top of who acted before."""
    authority = house.doors["acting"].served()
    act = authority.get("act", {})
    demand(authority["sub"] == "alice" and act.get("sub") == "triage-bot" and act.get("iss") == house.gateway.public_url,
           f"acting: the upstream saw {authority}")
    demand(act.get("act", {}).get("sub") == "delegate", f"acting: the chain is lost in {act}")
    plain = house.door("acting", house.staff.person("alice", house.doors["acting"].url))
    plain.refused("source.subject_token_missing", 503)
    return "actor token: alice, act triage-bot over delegate, refused where no agent acts"


def by_identity_assertion(house):
    """The enterprise's assertion (ID-JAG) for a token at the server's own authorization server."""
    mark, before = house.provider.ledger.mark(), house.staff.count("token-exchange")
    authority = house.doors["assertion"].served("read_notes")
    lines = asked(house, "assertion", mark)
    demand(house.staff.count("token-exchange") == before + 1, "ID-JAG: the enterprise was not asked once")
    demand(len(lines) == 1 and lines[0]["grant_type"] == BEARER and lines[0]["status"] == 200, f"ID-JAG: {lines}")
    demand(authority["sub"] == "alice" and authority["asserted_by"] == house.staff.url, f"ID-JAG: {authority}")
    return "ID-JAG: alice, asserted by the enterprise"


def by_assertion(house):
    door, mark = house.doors["bearer"], house.provider.ledger.mark()
    authority = door.served()
    lines = asked(house, "bearer", mark)
    demand(len(lines) == 1 and lines[0]["grant_type"] == BEARER, f"bearer: the provider saw {lines}")
    demand(authority.get("asserted_by") and scopes(authority) == {READ}, f"bearer: the upstream saw {authority}")
    return f"jwt bearer: asserted by {authority['asserted_by']}"


def by_outage(house):
    """A token outlives its provider until it expires; then calls are refused, until the provider is back."""
    door, pid = house.doors["short"], house.gateway.child.pid
    door.served()
    began = time.monotonic()
    house.provider.stop()
    cached = 0
    while succeeded(answer := door.call()[0]):
        cached += 1
        demand(time.monotonic() - began < SHORT_SECONDS + 5, "a token serves beyond its expiry")
        time.sleep(0.2)
    demand((answer.status, answer.code()) == (503, "provider.unavailable"), f"{answer.status} {answer.text[:200]}")
    served = time.monotonic() - began
    for _ in range(5):
        door.refused("provider.unavailable", 503)
    house.provider.start()
    began = time.monotonic()
    until("calls recover", lambda: succeeded(door.call()[0]), 30, 0.1)
    demand(house.gateway.child.pid == pid and house.gateway.child.alive(), "the gateway was restarted")
    return (f"provider stopped: {cached} calls from the token in memory over {served:.0f} s (it holds {SHORT_SECONDS} s), "
            f"then provider.unavailable with no upstream call, recovered {time.monotonic() - began:.1f} s after it")


CLAIMS = (
    Claim("sources", "tokens by client credentials (secret in header and body, signed assertion), by exchange of the "
                     "caller's token and by a bearer assertion reach an upstream that verifies them, narrowed per "
                     "tool; the provider's outage is named, and ends with it", judge),
)
