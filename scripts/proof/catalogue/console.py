"""A reviewer's story at the console, in Debian's Chromium, with the npm oidc-provider as the operators' issuer."""

import os
import re
import time
from pathlib import Path

from .. import parts, web
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import secret_folder
from ..manifests import agent, binding, configuration, environment, policy, provider, server, together
from ..provider import CODE, AuthorizationServer
from ..upstreams import Workshop

# A long name: pages have to bear it.
BINDING = "release-notes-of-the-mobile-applications-for-github-issues"
OWN = "bao://kv/console/release#token"
PATHS = """    paths:
      - { prefix: kv/console/, owners: [support] }
"""
PEOPLE = {
    "alice": {"groups": ["editors"]}, "bob": {"groups": ["approvers"]}, "carol": {"groups": ["admins"]},
    "dave": {"groups": ["strangers"]}, "erin": {"groups": ["watchers"]},
}
# The lists; each is looked at empty and full.
PAGES = ("", "/bindings", "/approvals", "/access", "/environments", "/servers", "/agents", "/workloads", "/providers", "/policies", "/grants",
         "/sessions", "/locks", "/revocations", "/stores", "/audit")
# One of each kind of object, with names that pages have to bear.
WORKLOAD = "continuous-integration-of-the-mobile-applications"
PROVIDER = "enterprise-identity-provider-of-the-holding"
OBJECTS = ("/environments/production", "/servers/production/issues", "/agents/triage-bot", f"/workloads/{WORKLOAD}",
           f"/providers/production/{PROVIDER}", "/policies/production/support-calls")
ROUTER = parts.ROOT / "crates" / "console" / "src" / "router.rs"
SCRIPT = "/console/live.js"
MASKED = "bao://(masked)"
# Where the pictures of the README are, and which of this story they are.
PICTURES = parts.ROOT / "docs" / "pictures"
KEPT = ("card-waits", "overview", "story", "server")
ORDER = ("Environment", "Server", "Provider", "Workload", "Agent", "Policy")


def routes():
    """Every page that the router has, as it is written there."""
    found = re.findall(r'\.route\(\s*"/console([^"]*)",\s*get\(', ROUTER.read_text())
    demand(len(found) > len(PAGES), f"the router tells of {len(found)} pages")
    return set(found)


def route_of(path):
    """The router's own word for a path: fixed parts before named ones."""
    plain = path.partition("?")[0]
    fits = [one for one in routes() if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", one), plain)]
    return min(fits, key=lambda one: one.count("{"), default=None)


class Desk:
    """A production gateway with a console, an editor, an approver, an administrator and somebody without a role."""

    def __init__(self, stage):
        self.stage = stage
        self.idp = AuthorizationServer(stage, "operators", host="127.0.0.2", people=PEOPLE)
        self.upstream = Workshop(stage, "console")
        self.credential, self.next = stage.mint.make("console first"), stage.mint.make("console second")
        self.upstream.accept(self.credential)
        stage.openbao.put("kv/console/release", self.credential)
        text = configuration(stage, ["issues"], ("production",), durability="fsync", paths=PATHS,
                             operators=self.operators())
        control = "control: { listen: \"@CONTROL@\" }"
        demand(control in text, "the configuration has no control section to extend")
        text = text.replace(control, 'control: { listen: "@CONTROL@", public_url: "http://@CONTROL@" }')
        self.gateway = Gateway(stage, "console", text)
        secret = self.idp.client("console", CODE, redirect_uris=[f"{self.gateway.control}/login/callback"])
        stage.openbao.put("kv/console/client", secret)
        self.idp.public_client()
        self.idp.start()
        self.gateway.start()
        self.home = f"{self.gateway.control}/console"
        self.door = self.gateway.door("production", "issues")
        self.browser = stage.browser
        self.seen, self.slowest = set(), 0.0

    def operators(self):
        return f"""  masked_roles: [viewer]
  issuers:
    - issuer: {self.idp.url}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: editor, group: editors }}
        - {{ role: auditor, group: editors }}
        - {{ role: approver, group: approvers }}
        - {{ role: auditor, group: approvers }}
        - {{ role: admin, group: admins }}
        - {{ role: viewer, group: watchers }}
  console:
    issuer: {self.idp.url}
    client_id: console
    client_secret: "bao://kv/console/client#token"
    key_file: ./data/console.key
"""

    def log_in(self, *people):
        for person in people:
            self.browser.walked(person, self.home, until=self.home)
            cookies = {one["name"]: one for one in self.browser.cookies(person)}
            session = cookies.get("mcpgw-console")
            demand(session and session["httpOnly"] and session["sameSite"] == "Lax", f"{person}: {list(cookies)}")

    def page(self, person, path="", picture=None, status=200, glance=False):
        """A page, which has to be sound whatever it says."""
        page = self.browser.visit(person, self.home + path, picture, glance)
        demand(page["status"] == status, f"{path}: {page['status']} {page['text'][:300]}")
        demand(not page["violations"], f"{path}: axe-core finds {page['violations'][:3]}")
        demand(page["overflow"] <= 0, f"{path}: {page['overflow']} pixels wider than a screen of 360")
        demand(not page["errors"] or status != 200, f"{path}: the browser complains: {page['errors'][:3]}")
        demand(page["unscripted"].strip() and page["unscripted"].strip().split("\n")[0] in page["text"],
               f"{path}: without script it says {page['unscripted'][:200]!r}")
        own = [[f"{self.gateway.control}{SCRIPT}", ""]]
        demand(page["scripts"] == own, f"{path}: its scripts are {page['scripts']}")
        demand("default-src 'none'; script-src 'self'; " in page["policy"] and "unsafe" not in page["policy"],
               f"{path}: {page['policy']}")
        if status == 200 and not glance:
            self.seen.add(route_of(path))
        self.slowest = max(self.slowest, page["milliseconds"])
        return page

    def press(self, person, path, act, fill=None, status=200, **more):
        answer = self.browser.press(person, self.home + path, f"/console/act/{act}", fill, **more)
        demand(answer["status"] == status, f"{act} by {person}: {answer['status']} {answer['text'][:400]}")
        return answer["text"]

    def serves(self, token):
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.door, token, "whoami")
        return succeeded(answer), answer, self.upstream.log.since(mark)


def judge(stage):
    desk = Desk(stage)
    desk.log_in("alice", "bob", "carol", "erin")
    for path in PAGES:
        desk.page("carol", path, glance=True)
    empty = desk.page("alice", "/bindings")
    demand("There is no binding here" in empty["text"], f"an empty catalogue says: {empty['text'][:200]}")
    card = draft(desk)
    token = stage.issuer.agent("triage-bot", desk.door)
    not_her_own(desk, card)
    sign(desk, card)
    ok, answer, seen = desk.serves(token)
    demand(ok and seen, f"the approved binding does not serve: {answer.status} {answer.text[:300]}")
    story(desk)
    owner(desk)
    explained(desk, card)
    masked(desk, card)
    waited = lively(desk)
    lock(desk, token)
    rotate(desk, card, token)
    for path in (*PAGES, *OBJECTS):
        desk.page("bob", path, picture="overview" if path == "" else path.strip("/").split("/")[0])
    revoke(desk, card, token)
    evidence(desk)
    end_agent(desk)
    strangers(desk)
    keep(desk)
    forgotten = routes() - desk.seen
    demand(not forgotten, f"pages of the router that nobody looked at: {sorted(forgotten)}")
    return (f"drafted, refused to its author, signed by another, called, explained, rotated and revoked in Chromium; all "
            f"{len(desk.seen)} pages of the router, empty and full: no serious finding of axe-core in light, dark and on "
            f"360 pixels, the same words without script, one script of its own and nothing inline; a review of a card "
            f"that had changed since did nothing and said so; a change came up by itself in {waited:.1f} s and none while paused; a masked viewer saw the store and no path; slowest page "
            f"{desk.slowest:.0f} ms in the browser")


def draft(desk):
    """Alice writes the production binding; everything waits."""
    token = desk.stage.private(secret_folder(desk.stage) / "alice-control.token", desk.idp.person("alice", desk.gateway.control))
    text = together(
        environment("production", "production"), server(desk.upstream.url, environment="production", owner="support"),
        agent(desk.stage, "triage-bot", "production"), policy("production"),
        f"kind: Workload\nname: {WORKLOAD}\nenvironments: [production]\nowner: support\npurpose: builds and tests\n"
        f"identities:\n  - {{ issuer: \"{desk.stage.issuer.url}\", subject: \"repo:acme/mobile:ref:refs/heads/main\" }}\n",
        provider(PROVIDER, "https://idp.example.com",
                 '{ id: gateway, authentication: { client_secret_basic: { secret: "bao://kv/console/provider#token" } } }',
                 "production", "support"),
        binding(BINDING, OWN, "triage-bot", "production"),
    )
    written = desk.gateway.apply(text, expect=(3,), token_file=token)["objects"]
    waits = [one["object"] for one in written if one["status"] == "pending"]
    demand(any(BINDING in one for one in waits), f"only {waits} wait")
    path = f"/bindings/production/{BINDING}"
    page = desk.page("alice", path)
    for told in ("triage-bot", OWN, "waits for signatures", "an approver of the environment"):
        demand(told in page["text"], f"the card does not say {told!r}: {page['text'][:600]}")
    return path


def not_her_own(desk, card):
    """Alice has no button for what she wrote, and what she sends all the same is refused."""
    page = desk.page("alice", card, glance=True)
    demand("/console/act/approve" not in page["html"] and "not yours to sign" in page["text"],
           f"her own work: {page['text'][:600]}")
    token = secret_folder(desk.stage) / "alice-control.token"
    answer = desk.gateway.api("POST", f"/bindings/production/{BINDING}/approve", {"revision": 1}, token_file=token)
    demand(answer.status == 403 and answer.json()["code"] == "approval.own_work", f"her own work: {answer.status} {answer.text[:300]}")


def sign(desk, card):
    """Bob reads what waits and signs it; what belongs to no team is Carol's."""
    page = desk.page("bob", "/approvals", picture="approvals")
    demand(BINDING in page["text"], f"approvals: {page['text'][:400]}")
    page = desk.page("carol", "/approvals/policy/production/support-calls", picture="approval")
    for told in ("permit (principal", "calls looked at", "Approve revision 1"):
        demand(told in page["text"] + page["html"], f"the approval of a policy lacks {told!r}: {page['text'][:600]}")
    for _ in range(len(ORDER)):
        page = desk.page("carol", "/approvals")
        if "/console/act/approve-object" not in page["html"]:
            break
        desk.press("carol", "/approvals", "approve-object")
    page = desk.page("bob", card, picture="card-waits")
    text = desk.press("bob", card, "approve", picture="signed", keys=True)
    demand("Signed" in text, f"the signature: {text[:300]}")
    page = desk.page("bob", card, picture="card")
    demand("active" in page["text"] and "waits for signatures" not in page["text"], f"after it: {page['text'][:400]}")


def story(desk):
    """The audit page finds the call, and its story names what decided."""
    page = desk.page("bob", f"/audit?environment=production&binding={BINDING}", picture="audit")
    demand("intent" in page["text"] and "outcome" in page["text"], f"the audit: {page['text'][:400]}")
    link = page["html"].split('href="/console/audit/', 1)[1].split('"', 1)[0]
    page = desk.page("bob", f"/audit/{link}", picture="story")
    for told in ("triage-bot", f"{BINDING}@1", "policy version", "whoami", "upstream_status: 200"):
        demand(told in page["text"].replace("Policy version", "policy version"), f"the story lacks {told!r}: {page['text'][:800]}")


def owner(desk):
    """The owner of the server sees who comes to its door; the agent's page says what it may reach."""
    page = desk.page("alice", "/servers/production/issues", picture="server")
    for told in ("triage-bot", "service_account", "answered", BINDING, "receipt.json"):
        demand(told in page["text"], f"the server's page lacks {told!r}: {page['text'][:800]}")
    page = desk.page("alice", "/agents/triage-bot", picture="agent")
    for told in ("What it may reach", BINDING, "whoami", "disable it"):
        demand(told in page["text"], f"the agent's page lacks {told!r}: {page['text'][:800]}")
    text = desk.press("carol", "/stores", "probe-store", picture="asked")
    demand("reachable" in text and "yes" in text, f"a store that answers: {text[:300]}")


def explained(desk, card):
    """The questions that the page of access answers are what calls come to."""
    place = "environment=production&server=issues&tool"
    page = desk.page("alice", f"/access?question=why&{place}=whoami&agent=triage-bot", picture="access")
    demand("It would be let through" in page["text"] and BINDING in page["text"], f"why: {page['text'][:600]}")
    page = desk.page("alice", f"/access?question=why&{place}=delete_everything&agent=triage-bot", glance=True)
    demand("It would be refused" in page["text"] and "risk" in page["text"], f"why not: {page['text'][:600]}")
    page = desk.page("alice", f"/access?question=who&{place}=whoami", glance=True)
    demand("agent triage-bot" in page["text"] and f"{BINDING}@1" in page["text"], f"who: {page['text'][:600]}")
    page = desk.page("alice", "/access?question=what&subject=agent&name=triage-bot", glance=True)
    demand("every tool that no manifest names" in page["text"], f"what: {page['text'][:600]}")
    page = desk.page("erin", f"/access?question=who&{place}=whoami", glance=True)
    demand(MASKED in page["text"] and "kv/console" not in page["html"], f"who, for a masked viewer: {page['text'][:600]}")
    page = desk.page("alice", "/access?question=who&environment=production&server=No&tool=x", status=400, glance=True)
    demand('value="No"' in page["html"], "what was asked is not there to be mended")
    page = desk.page("alice", "/environments/production", picture="environment")
    for told in ("one signature of somebody else", "may not enter", "bao", "answers"):
        demand(told in page["text"], f"the environment's page lacks {told!r}: {page['text'][:600]}")


def masked(desk, card):
    """Erin, a viewer, sees which store a secret is in, on pages and in the API's own answers."""
    for path in (card, "/bindings", f"/providers/production/{PROVIDER}"):
        page = desk.page("erin", path, picture="masked" if path == card else None)
        demand("kv/console" not in page["html"], f"{path} tells a masked viewer where the secret is")
        demand(path == "/bindings" or MASKED in page["text"], f"{path} does not name the store: {page['text'][:600]}")
    bearer = desk.idp.person("erin", desk.gateway.control)
    headers = {"Authorization": f"Bearer {bearer}"}
    for path in (f"/v1{card}", "/v1/bindings", "/v1/providers", "/v1/export", "/v1/waiting", f"/v1/objects/binding{card[9:]}"):
        answer = web.request("GET", f"{desk.gateway.control}{path}", headers=headers)
        desk.stage.keep("masked", answer.text)
        demand(answer.status == 200 and "kv/console" not in answer.text, f"{path}: {answer.status} {answer.text[:300]}")


def lively(desk):
    """Bob looks on while Alice makes a lock: it comes up by itself; and it does not while he has paused."""
    desk.browser.watch("bob", f"{desk.home}/locks")
    began = time.monotonic()
    made = {"environment": "production", "tool": "never_called", "minutes": "5", "reason": "seen by itself"}
    desk.press("alice", "/locks", "lock", made)
    seen = desk.browser.watched("bob", "seen by itself")
    waited = time.monotonic() - began
    demand(seen["came"] and seen["loaded"] == 1, f"a new lock does not come up by itself: {seen}")
    desk.browser.watch("bob", f"{desk.home}/locks")
    paused = desk.browser.watched("bob", "never said", seconds=11, pause=True)
    demand(not paused["came"] and paused["asked"] == 0 and "paused" in paused["said"], f"while paused: {paused}")
    desk.press("bob", "/locks", "lift-lock")
    return waited


def evidence(desk):
    """The revocation's page, and the signed document as a file."""
    page = desk.page("bob", "/revocations", picture="revocations")
    place = page["html"].split('href="/console/revocations/', 1)[1].split('"', 1)[0]
    page = desk.page("bob", f"/revocations/{place}", picture="revocation")
    for told in (BINDING, "alice", "Document 1"):
        demand(told in page["text"], f"the revocation's page lacks {told!r}: {page['text'][:600]}")
    file = desk.browser.fetch("bob", f"{desk.home}/revocations/{place}/1")
    kind, jws = file["headers"].get("content-type"), file["text"]
    demand(file["status"] == 200 and kind == "application/jose" and jws.count(".") == 2, f"the document: {file}")
    desk.seen.add(route_of(f"/revocations/{place}/1"))


def end_agent(desk):
    """An agent is switched off by its typed name alone."""
    path = "/agents/triage-bot"
    text = desk.press("carol", path, "disable-agent", {"confirm": "triage"})
    demand("Nothing was done" in text, f"an unconfirmed end of an agent: {text[:300]}")
    text = desk.press("carol", path, "disable-agent", {"confirm": "triage-bot"}, picture="agent-disabled")
    demand("Disabled" in text, f"the end of an agent: {text[:300]}")
    page = desk.page("carol", path)
    demand("disabled" in page["text"], f"the page of an agent that is off: {page['text'][:300]}")


def lock(desk, token):
    """Alice stops the agent at once; her own lock is another's to lift."""
    text = desk.press("alice", "/locks", "lock", {"environment": "production", "agent": "triage-bot", "minutes": "5",
                                                   "reason": "it calls in a loop"}, picture="locked")
    demand("Locked" in text, f"the lock: {text[:300]}")
    ok, answer, seen = desk.serves(token)
    demand(not ok and answer.code() == "lock.active" and not seen, f"locked: {answer.status} {answer.code()}, {seen}")
    page = desk.page("bob", "/locks", picture="locks")
    demand("it calls in a loop" in page["text"], f"the locks: {page['text'][:300]}")
    desk.press("alice", "/locks", "lift-lock", status=403)
    desk.press("bob", "/locks", "lift-lock")
    ok, answer, _ = desk.serves(token)
    demand(ok, f"after the lock was lifted: {answer.status} {answer.text[:300]}")


def rotate(desk, card, token):
    """A new value behind the same reference, taken by a button; a bad one is refused and changes nothing."""
    bad = desk.stage.mint.make("console bad")
    desk.stage.openbao.put("kv/console/release", bad)
    refused = desk.press("alice", card, "rotate", status=502)
    demand("upstream.unauthorized" in refused, f"a bad value: {refused[:300]}")
    desk.stage.openbao.put("kv/console/release", desk.next)
    desk.upstream.accept(desk.next)
    # Bob has read the card and is called away; what he then signs is not what stands.
    desk.browser.hold("bob", desk.home + card, "/console/act/review")
    text = desk.press("alice", card, "rotate", picture="rotated")
    demand("Rotated" in text and "refreshed" in text, f"the rotation: {text[:300]}")
    late = desk.browser.release("bob", picture="moved-on")
    demand(late["status"] == 412 and "It has changed meanwhile" in late["text"] and "Nothing was done" in late["text"],
           f"a review of a card that has changed since: {late['status']} {late['text'][:300]}")
    desk.upstream.reject(desk.credential)
    ok, answer, _ = desk.serves(token)
    demand(ok, f"after the rotation: {answer.status} {answer.text[:300]}")


def revoke(desk, card, token):
    text = desk.press("alice", card, "revoke", {"confirm": "something else"})
    demand("Nothing was done" in text, f"an unconfirmed revocation: {text[:300]}")
    text = desk.press("alice", card, "revoke", {"confirm": BINDING}, picture="revoked")
    demand("Revoked" in text and "ended" in text, f"the revocation: {text[:300]}")
    ok, answer, seen = desk.serves(token)
    demand(not ok and not seen, f"after the revocation: {answer.status}, the upstream saw {seen}")
    page = desk.page("alice", card)
    demand("was revoked" in page["text"], f"the card of what was revoked: {page['text'][:300]}")
    found = desk.page("bob", "/audit?kind=revocation_completed&environment=production")
    demand("alice" in found["text"], f"the evidence: {found['text'][:400]}")


def strangers(desk):
    """Somebody without a role, somebody without a login, and a forged form."""
    desk.browser.walk("dave", desk.home, until=f"{desk.home}/nothing")
    page = desk.browser.look("dave", desk.home)
    demand(page["status"] == 403 and "no role" in page["text"], f"dave: {page['status']} {page['text'][:200]}")
    page = desk.browser.look("nobody", f"{desk.home}/bindings")
    demand(page["url"].startswith(desk.idp.url), f"without a login: {page['url']}")


def keep(desk):
    """The README's pictures, anew where `MCP_GATEWAY_PICTURES` asks for them."""
    pictures = Path(desk.browser.folder) / "pictures"
    made = [name for name in KEPT if (pictures / f"{name}.png").exists()]
    demand(len(made) == len(KEPT), f"of the pictures {KEPT} only {made} were taken")
    if os.environ.get("MCP_GATEWAY_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        for name in KEPT:
            (PICTURES / f"console-{name}.png").write_bytes((pictures / f"{name}.png").read_bytes())


CLAIMS = (
    Claim("console", "a reviewer's story from draft to revocation in a real browser, over every page that the router has: "
                     "no serious finding of axe-core, narrow, dark, by keyboard, the same without script, kept up to date "
                     "by one script of its own, and no path for who may not see one", judge),
)
