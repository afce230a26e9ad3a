"""A reviewer's story at the console, in Debian's Chromium, with the npm oidc-provider as the operators' issuer."""

import os
from pathlib import Path

from .. import parts
from ..claim import Claim, demand
from ..gateway import Gateway, call, succeeded
from ..keys import secret_folder
from ..manifests import agent, binding, configuration, environment, policy, server, together
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
    "dave": {"groups": ["strangers"]},
}
PAGES = ("", "/bindings", "/approvals", "/servers", "/agents", "/policies", "/grants", "/sessions", "/locks", "/audit")
# Where the pictures of the README are, and which of this story they are.
PICTURES = parts.ROOT / "docs" / "pictures"
KEPT = ("card-waits", "overview", "story")
ORDER = ("Environment", "Server", "Agent", "Policy")


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
        return f"""  issuers:
    - issuer: {self.idp.url}
      audience: http://@CONTROL@
      groups_claim: groups
      roles:
        - {{ role: editor, group: editors }}
        - {{ role: auditor, group: editors }}
        - {{ role: approver, group: approvers }}
        - {{ role: auditor, group: approvers }}
        - {{ role: admin, group: admins }}
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

    def page(self, person, path="", picture=None, status=200):
        """A page, which has to be sound whatever it says."""
        page = self.browser.visit(person, self.home + path, picture)
        demand(page["status"] == status, f"{path}: {page['status']} {page['text'][:300]}")
        demand(not page["violations"], f"{path}: axe-core finds {page['violations'][:3]}")
        demand(page["overflow"] <= 0, f"{path}: {page['overflow']} pixels wider than a screen of 360")
        demand(not page["errors"] or status != 200, f"{path}: the browser complains: {page['errors'][:3]}")
        demand(page["unscripted"].strip() and page["unscripted"].split("\n")[0] in page["text"],
               f"{path}: without script it says {page['unscripted'][:200]!r}")
        demand("<script" not in page["html"] and "default-src 'none'" in page["policy"], f"{path}: {page['policy']}")
        self.seen.add(path.partition("?")[0].rstrip("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
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
    desk.log_in("alice", "bob", "carol")
    empty = desk.page("alice", "/bindings")
    demand("There is no binding here" in empty["text"], f"an empty catalogue says: {empty['text'][:200]}")
    card = draft(desk)
    token = stage.issuer.agent("triage-bot", desk.door)
    own = desk.press("alice", card, "approve", status=403)
    demand("approval.own_work" in own, f"her own work: {own[:300]}")
    sign(desk, card)
    ok, answer, seen = desk.serves(token)
    demand(ok and seen, f"the approved binding does not serve: {answer.status} {answer.text[:300]}")
    story(desk)
    lock(desk, token)
    rotate(desk, card, token)
    for path in PAGES:
        desk.page("bob", path, picture="overview" if path == "" else None)
    revoke(desk, card, token)
    strangers(desk)
    keep(desk)
    return (f"drafted, refused to its author, signed by another, called, explained, rotated and revoked in Chromium; "
            f"{len(desk.seen)} pages: no serious finding of axe-core in light, dark and on 360 pixels, the same words "
            f"without script; slowest page {desk.slowest:.0f} ms in the browser")


def draft(desk):
    """Alice writes the production binding; everything waits."""
    token = desk.stage.private(secret_folder(desk.stage) / "alice-control.token", desk.idp.person("alice", desk.gateway.control))
    text = together(
        environment("production", "production"), server(desk.upstream.url, environment="production", owner="support"),
        agent(desk.stage, "triage-bot", "production"), policy("production"),
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


def sign(desk, card):
    """Bob reads what waits and signs it; what belongs to no team is Carol's."""
    page = desk.page("bob", "/approvals", picture="approvals")
    demand(BINDING in page["text"], f"approvals: {page['text'][:400]}")
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
    text = desk.press("alice", card, "rotate", picture="rotated")
    demand("Rotated" in text and "refreshed" in text, f"the rotation: {text[:300]}")
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
    Claim("console", "a reviewer's story from draft to revocation in a real browser: no script, no serious finding of "
                     "axe-core, narrow, dark, by keyboard, and every page the same without script", judge),
)
