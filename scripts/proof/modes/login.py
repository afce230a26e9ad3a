"""People's clients log in through the gateway's own authorization server, by themselves; and what must not work."""

import json

from .. import web
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..manifests import configuration, environment, policy, server, together
from ..provider import CODE, AuthorizationServer
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
        secret_file = stage.folder / "tokens" / f"{name}-client-secret"
        text = configuration(stage, SERVERS, more=section(self.idp.url, secret_file) + more)
        self.gateway = Gateway(stage, name, text)
        secret = self.idp.client("gateway", CODE, redirect_uris=[f"{self.gateway.public_url}{CALLBACK}"])
        stage.private(secret_file, secret.value)
        self.idp.start()
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


# Where the identity provider sends the browser back to.
CALLBACK = "/login/callback"


def section(issuer, secret_file):
    return f"login: {{ issuer: {issuer}, client_id: gateway, client_secret_file: {secret_file} }}\n"


def judge(stage):
    office = Office(stage)
    walked = [by_itself(stage, office, name) for name in SelfLogin.PROGRAMS]
    refused = [each(stage, office) for each in (redirects, proofs_of_key, codes, families, deputy, framing, way_back, doors)]
    office.gateway.keep_metrics()
    office.gateway.stop()
    return f"{', '.join(walked)}; refused: {'; '.join(refused)}"


def by_itself(stage, office, name):
    stage.browser.forget("alice")
    mark = office.upstream.log.mark()
    outcome, walks = SelfLogin(stage, name, office.door, "alice").run()
    demand(outcome["ok"], f"{name}: {json.dumps(outcome['error'])}")
    seen = [line for line in office.upstream.log.since(mark) if line["method"] == "tools/call"]
    demand(seen and {line["credential_sha256"] for line in seen} == {office.credential.sha256},
           f"{name}: the upstream saw {seen}")
    demand(len(walks) == 1, f"{name}: it sent the browser away {len(walks)} times")
    return f"{name} ({len(walks[0]['steps'])} pages)"


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
    code = client.code("alice")
    kept = client.verifier
    for what, answer in (
        ("another verifier", client.token(code, code_verifier="x" * 43)),
    ):
        demand(answer.status == 400, f"{what}: {answer.status} {answer.text[:200]}")
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
    demand(kept, "no verifier")
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
    cookies = stage.browser.cookies("alice")
    own = [cookie for cookie in cookies if cookie["domain"] == "127.0.0.1"]
    demand(own and all(cookie["httpOnly"] for cookie in own), f"cookies: {own}")
    forged = web.request("POST", url.split("?")[0], b"decision=allow", {**FORM, "Origin": "https://evil.example"})
    demand(forged.status in (400, 401, 403, 405), f"a forged form: {forged.status}")
    return f"framing and a forged form ({forged.status})"


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
    stage.browser.forget("alice")
    client = Client(stage, office.door).registered()
    held = stage.browser.walked("alice", client.url(), stop_at=back)["stopped"]
    other = stage.browser.look("bob", held)
    demand(other["status"] >= 400, f"another browser brought the answer: {other['status']} {other['text'][:200]}")
    stage.browser.walk("alice", held, stop_at=client.redirect)
    replayed = stage.browser.walk("alice", held, stop_at=client.redirect)
    demand("code=" not in (replayed.get("stopped") or ""), "a replayed state was taken")
    return f"{', '.join(cases)}, another browser's answer, a replayed state"


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


CLAIMS = (
    Claim("login", "npm client, PyPI mcp and the Inspector's CLI log a person in by themselves and call a tool; stolen and "
                   "replayed codes, refresh tokens and states, redirect tricks, a second client without consent, framing "
                   "and mixed-up issuers are refused", judge),
)
