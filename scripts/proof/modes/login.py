"""People's clients log in through the gateway's own authorization server, by themselves; and what must not work."""

import json
import re
import ssl
import threading
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import Authority
from ..manifests import configuration, environment, policy, server, together
from ..provider import BEARER, CODE, EXCHANGE, AuthorizationServer
from ..upstreams import Workshop
from .facade import FORM, Client, SelfLogin

PEOPLE = {"alice": {"groups": ["support"]}, "bob": {"groups": ["research"]}}
SERVERS = ("issues", "other")


class Office:
    """An enterprise's identity provider, and a gateway that lets its people log in."""

    def __init__(self, stage, name="login", more=""):
        self.stage = stage
        self.idp = AuthorizationServer(stage, name, host="127.0.0.2", scopes="mcp:tools", people=PEOPLE)
        self.upstream = Workshop(stage, name)
        self.credential = stage.mint.make(f"{name} credential")
        self.upstream.accept(self.credential)
        stage.openbao.put(f"kv/{name}/key", self.credential)
        self.document = ClientDocument(stage, name)
        text = configuration(stage, SERVERS, more=self.section(name) + more)
        self.gateway = Gateway(stage, name, text)
        secret = self.idp.client("gateway", CODE, redirect_uris=[f"{self.gateway.public_url}{CALLBACK}"])
        stage.openbao.put(f"kv/{name}/client", secret)
        self.idp.public_client()
        self.desk = self.idp.client("desk", EXCHANGE)
        self.other_desk = self.idp.client("other-desk", EXCHANGE)
        self.idp.start().trust({self.idp.url: {}})
        self.gateway.start().log_in()
        self.gateway.apply(together(
            environment(), policy(condition='context.risk != "destructive"').replace("principal has agent", "true"),
            *[server(self.upstream.url, each) for each in SERVERS], *[self.binding(name, each) for each in SERVERS],
        ))
        self.door, self.other = (self.gateway.door("dev", each) for each in SERVERS)

    def binding(self, name, server_name):
        return f"""kind: Binding
name: people-{server_name}
environment: dev
server: {server_name}
actor: {{ users: ["{self.idp.url}|alice"] }}
mode: service_account
secret: "bao://kv/{name}/key#token"
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: support-calls
risk: write
owner: support
"""


    def section(self, name):
        return f"""login:
  issuer: {self.idp.url}
  client_id: gateway
  client_secret: "bao://kv/{name}/client#token"
  groups_claim: groups
  key_file: ./data/login.key
  clients:
    registration: true
    assertions: true
    metadata_domains: [localhost]
    addresses: [loopback]
    ca_file: {self.document.authority.certificate}
"""


class ClientDocument:
    """A client's metadata document at a URL of its own, over TLS: the URL is the client's id."""

    def __init__(self, stage, name):
        self.authority, self.fetched = Authority(stage, f"{name}-documents"), []
        leaf, key = self.authority.issue("DNS:localhost", "serverAuth")
        documents = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                documents.fetched.append(self.path)
                body = json.dumps({
                    "client_id": documents.url, "client_name": "described", "token_endpoint_auth_method": "none",
                    "redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.1/oauth/callback"],
                    "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                }).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.url = f"https://localhost:{server.server_address[1]}/client.json"
        threading.Thread(target=server.serve_forever, daemon=True).start()


# Where the identity provider sends the browser back to.
CALLBACK = "/login/callback"


def judge(stage):
    office = Office(stage)
    walked = [by_itself(stage, office, name) for name in SelfLogin.PROGRAMS]
    walked += [by_itself(stage, office, name, office.document) for name in SelfLogin.PROGRAMS]
    refused = [each(stage, office) for each in (redirects, proofs_of_key, codes, families, deputy, framing, way_back, doors, assertions)]
    office.gateway.keep_metrics()
    office.gateway.stop()
    return f"{', '.join(walked)}; refused: {'; '.join(refused)}"


def by_itself(stage, office, name, document=None):
    """By registration, or by the client's own document."""
    stage.browser.forget("alice")
    mark, fetched = office.upstream.log.mark(), len(office.document.fetched)
    more = ["--metadata-url", document.url] if document else []
    outcome, walks = SelfLogin(stage, name, office.door, "alice", more=more).run()
    demand(outcome["ok"], f"{name}: {json.dumps(outcome['error'])}")
    seen = [line for line in office.upstream.log.since(mark) if line["method"] == "tools/call"]
    demand(seen and {line["credential_sha256"] for line in seen} == {office.credential.sha256},
           f"{name}: the upstream saw {seen}")
    demand(len(walks) == 1, f"{name}: it sent the browser away {len(walks)} times")
    how = "a document" if document else "registration"
    if document:
        asked = parse_qs(urlsplit(walks[0]["from"]).query)["client_id"]
        demand(asked == [document.url], f"{name}: it came as {asked}")
        demand(office.document.fetched, f"{name}: nobody read the document")
    else:
        demand(len(office.document.fetched) == fetched, f"{name}: it came by its document")
    return f"{name} by {how} ({len(walks[0]['steps'])} pages)"


def stays(stage, person, url, what):
    """The browser is not sent anywhere: the gateway's own page says what is wrong."""
    shown = stage.browser.look(person, url)
    demand(shown.get("status", 0) >= 400, f"{what}: {shown.get('status')} at {shown.get('url')}: {shown.get('text', '')[:200]}")
    demand(shown["url"].split("?")[0] == url.split("?")[0], f"{what}: the browser was sent to {shown['url']}")


def redirects(stage, office):
    client = Client(stage, office.door).registered()
    base = client.redirect
    tricks = [f"{base}/../evil", f"{base}?x=1", f"{base}#x", base.replace("127.0.0.1", "127.0.0.1.evil.example"),
              base.replace("http://", "http://user@"), "https://evil.example/callback", base.replace("/callback", "/CALLBACK"),
              base.replace("127.0.0.1", "localhost")]
    for trick in tricks:
        stays(stage, "alice", client.url(redirect_uri=trick), f"redirect to {trick}")
    for bad in ("http://evil.example/callback", "javascript:alert(1)", f"{base}#fragment", "http://u:p@127.0.0.1/callback"):
        answer = Client(stage, office.door).register([bad])
        demand(answer.status == 400, f"registration of {bad}: {answer.status}")
    return f"{len(tricks)} redirect tricks and 4 registrations"


def proofs_of_key(stage, office):
    client = Client(stage, office.door).registered()
    for what, other in (("plain PKCE", {"code_challenge_method": "plain"}), ("no PKCE", {"drop": ("code_challenge",)}),
                        ("token in the front channel", {"response_type": "token"})):
        shown = stage.browser.walk("alice", client.url(**other), stop_at=client.redirect)
        at = shown.get("stopped") or ""
        demand("code=" not in at and "access_token" not in at and ("error=" in at or shown.get("status", 0) >= 400),
               f"{what}: {shown.get('status')} {shown.get('title')}")
    return "PKCE plain and absent, implicit"


def codes(stage, office):
    """Code injection: with another verifier, by another client, for another redirect, twice."""
    client, thief = Client(stage, office.door).registered(), Client(stage, office.door).registered()
    answer = client.token(client.code("alice"), code_verifier="x" * 43)
    demand(answer.status == 400, f"another verifier: {answer.status} {answer.text[:200]}")
    code = client.code("alice")
    thief.verifier = client.verifier
    answer = thief.token(code, redirect_uri=client.redirect)
    demand(answer.status == 400, f"another client: {answer.status}")
    code = client.code("alice")
    answer = client.token(code, redirect_uri=client.redirect + "x")
    demand(answer.status == 400, f"another redirect URI: {answer.status}")
    code = client.code("alice")
    answer = client.token(code, resource=office.other)
    demand(answer.status == 400, f"another resource: {answer.status}")
    code = client.code("alice")
    first, second = client.token(code), client.token(code)
    demand(first.status == 200 and second.status == 400, f"a code twice: {first.status}, {second.status}")
    refreshed = client.refresh(first.json()["refresh_token"])
    demand(refreshed.status == 400, f"what a replayed code led to goes on: {refreshed.status}")
    return "codes injected 4 ways, and replayed"


def families(stage, office):
    client, thief = Client(stage, office.door).registered(), Client(stage, office.door).registered()
    first = client.tokens("alice")["refresh_token"]
    stolen = thief.refresh(first)
    demand(stolen.status == 400, f"another client's refresh token: {stolen.status}")
    second = client.refresh(first)
    demand(second.status == 200, f"refresh: {second.status} {second.text[:200]}")
    again = client.refresh(first)
    demand(again.status == 400, f"a refresh token twice: {again.status}")
    after = client.refresh(second.json()["refresh_token"])
    demand(after.status == 400, f"the family of a reused token goes on: {after.status}")
    third = client.tokens("alice")["refresh_token"]
    demand(client.revoke(third).status == 200, "revocation")
    demand(client.refresh(third).status == 400, "a revoked refresh token goes on")
    return "stale, foreign and revoked refresh tokens"


def deputy(stage, office):
    """Whoever agreed to one client has agreed to that one alone: each other asks, before the provider hears of it."""
    client = Client(stage, office.door).registered()
    client.code("alice")
    other = Client(stage, office.door).registered()
    shown = stage.browser.look("alice", other.url())
    demand(shown["url"].startswith(office.gateway.public_url), f"the browser was sent to {shown['url']} unasked")
    demand(shown["status"] == 200 and urlsafe(other.redirect) in urlsafe(shown["text"]),
           f"the consent page does not say where it leads: {shown['text'][:300]}")
    refused = stage.browser.walked("alice", other.url(), refuse=True, stop_at=other.redirect)
    demand("error=access_denied" in refused["stopped"], f"a refusal came back as {refused['stopped'].split('?')[-1][:80]}")
    return "a second client without consent"


def urlsafe(text):
    return text.replace(" ", "")


def framing(stage, office):
    """The consent page cannot be framed, and its form cannot be sent by anybody else's page."""
    client = Client(stage, office.door).registered()
    url = client.url()
    answer = web.request("GET", url)
    policy_text = answer.headers.get("Content-Security-Policy", "")
    demand("frame-ancestors 'none'" in policy_text, f"the page can be framed: {policy_text}")
    demand("script-src" in policy_text or "default-src 'none'" in policy_text, f"the page takes scripts: {policy_text}")
    own = [cookie for cookie in stage.browser.cookies("alice") if cookie["domain"] == "127.0.0.1"]
    demand(own and all(cookie["httpOnly"] and cookie["sameSite"] in ("Lax", "Strict") for cookie in own), f"cookies: {own}")
    action = re.search(r'<form method="post" action="([^"]+)"', answer.text)[1]
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
    body = urlencode({**{name: unescape(value) for name, value in fields.items()}, "decision": "allow"}).encode()
    forged = web.request("POST", f"{office.gateway.public_url}{action}", body, {**FORM, "Origin": "https://evil.example"})
    demand(forged.status == 403, f"a form sent by another page: {forged.status}")
    forged = web.request("POST", f"{office.gateway.public_url}{action}", body, FORM)
    demand(forged.status == 403, f"a form without its browser's cookie: {forged.status}")
    return "framing and forged forms"


def way_back(stage, office):
    """What the provider's answer may not be: without `iss`, of another issuer, with a state of another browser or twice."""
    back = f"{office.gateway.public_url}{CALLBACK}"
    cases = {
        "no iss": {"drop": ["iss"]}, "mixed-up iss": {"set": {"iss": "https://evil.example"}},
        "another state": {"set": {"state": "x" * 43}}, "another code": {"set": {"code": "x" * 43}},
    }
    for what, change in cases.items():
        stage.browser.forget("alice")
        client = Client(stage, office.door).registered()
        shown = stage.browser.walk("alice", client.url(), stop_at=client.redirect, tamper={"at": back, **change})
        demand("code=" not in (shown.get("stopped") or "") and (shown.get("status") or 0) >= 400,
               f"{what}: {shown.get('status')} {shown.get('title')} {shown.get('stopped')}")
    held = Held(stage, office)
    other = stage.browser.look("bob", held.url)
    demand(other["status"] >= 400, f"another browser brought the answer: {other['status']} {other['text'][:200]}")
    held = Held(stage, office)
    demand("code=" in (held.brought().get("stopped") or ""), "the answer is not taken from its own browser")
    demand("code=" not in (held.brought().get("stopped") or ""), "a replayed state was taken")
    return f"{', '.join(cases)}, another browser's answer, a replayed state"


class Held:
    """A login of Alice's whose answer from the provider is kept from arriving."""

    def __init__(self, stage, office):
        self.stage = stage
        stage.browser.forget("alice")
        self.client = Client(stage, office.door).registered()
        back = f"{office.gateway.public_url}{CALLBACK}"
        self.url = stage.browser.walked("alice", self.client.url(), stop_at=back)["stopped"]

    def brought(self):
        return self.stage.browser.walk("alice", self.url, stop_at=self.client.redirect)


def doors(stage, office):
    """A token is for one door; the identity behind it is the provider's."""
    tokens = Client(stage, office.door).registered().tokens("alice")
    demand(succeeded(call(stage, office.door, tokens["access_token"], "echo", {"text": "x"})), "no call with the token")
    answer = call(stage, office.other, tokens["access_token"], "echo", {"text": "x"})
    demand((answer.status, answer.code()) == (401, "token.audience"), f"another door: {answer.status} {answer.code()}")
    stage.browser.forget("bob")
    stranger = Client(stage, office.door).registered()
    answer = call(stage, office.door, stranger.tokens("bob")["access_token"], "echo", {"text": "x"})
    demand((answer.status, answer.code()) == (404, "server.unknown"), f"somebody without a binding: {answer.status}")
    return "another door, somebody without a binding (bob)"


def assertions(stage, office):
    """The enterprise's own word that a client may act for somebody (ID-JAG): good once, here, for that client."""
    idp, origin = office.idp, office.gateway.public_url
    person = idp.person("alice", office.door)
    endpoint = Client(stage, office.door).metadata["token_endpoint"]

    def redeemed(assertion, client="desk"):
        body = {"grant_type": BEARER, "assertion": assertion, "client_id": client, "resource": office.door}
        answer = web.request("POST", endpoint, urlencode(body).encode(), FORM)
        if answer.status == 200:
            stage.mint.also("the facade's access_token", answer.json()["access_token"])
        return answer

    assertion = idp.identity_assertion("desk", office.desk, person, origin, office.door)
    answer = redeemed(assertion)
    demand(answer.status == 200 and "refresh_token" not in answer.json(), f"ID-JAG: {answer.status} {answer.text[:200]}")
    demand(succeeded(call(stage, office.door, answer.json()["access_token"], "echo", {"text": "x"})), "no call with it")
    cases = {
        "a replayed ID-JAG": redeemed(assertion),
        "one for another server": redeemed(idp.identity_assertion("desk", office.desk, person, "https://elsewhere.example", office.door)),
        "one for another client": redeemed(idp.identity_assertion("other-desk", office.other_desk, person, origin, office.door)),
        "an access token in its place": redeemed(person),
    }
    for what, refused in cases.items():
        demand(refused.status in (400, 401), f"{what}: {refused.status} {refused.text[:200]}")
    return ", ".join(cases)


CLAIMS = (
    Claim("login", "npm client, PyPI mcp and the Inspector's CLI log a person in by themselves and call a tool; stolen and "
                   "replayed codes, refresh tokens and states, redirect tricks, a second client without consent, framing "
                   "and mixed-up issuers are refused", judge),
)
