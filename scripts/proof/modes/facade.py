"""The gateway's own authorization server, as a client sees it that was written to the letter, and as one that means ill."""

import base64
import hashlib
import json
import os
import re
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

from .. import parts, web
from ..claim import demand
from ..gateway import modern, modern_headers
from ..processes import free_port

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def redirect_of(url):
    """Where an authorization request wants the browser to come back to."""
    return parse_qs(urlsplit(url).query)["redirect_uri"][0]


class SelfLogin:
    """A real client that is told a URL and nothing else; a person's browser goes where it asks."""

    PROGRAMS = {
        "npm client": lambda: [parts.program("node"), parts.NPM / "login.mjs", "--again"],
        "PyPI mcp": lambda: [parts.python(), parts.PYTHON / "login.py"],
        "Inspector CLI": lambda: [parts.program("node"), parts.NPM / "inspector-login.mjs",
                                  "--callback-port", str(free_port())],
    }

    def __init__(self, stage, name, url, person, tool="whoami", more=(), environment=None):
        # Its home keeps the tokens that it was given: they are the client's own.
        home = stage.folder / "browser" / "clients"
        stage.browser  # noqa: B018 - started, so that its folder is there
        home.mkdir(exist_ok=True)
        command = [*self.PROGRAMS[name](), "--url", url, "--call", tool, *more]
        env = {**os.environ, "TMPDIR": str(home), "NO_PROXY": "127.0.0.1", **(environment or {})}
        self.stage, self.name, self.person = stage, name, person
        self.child = stage.children.start(f"login-{name.split()[0]}", command, reads=True, env=env)

    def run(self):
        """The outcome that it prints, and the walks that it asked for."""
        walks = []
        for line in self.child.process.stdout:
            said = json.loads(line)
            if "open" in said:
                walked = self.stage.browser.walked(self.person, said["open"], until=redirect_of(said["open"]))
                walks.append({**walked, "from": said["open"]})
            else:
                self.stage.keep("self-logins", json.dumps(said))
                return said, walks
        demand(False, f"{self.name} said nothing: {self.child.tail()}")


class Client:
    """A public client by hand: every parameter can be another one."""

    def __init__(self, stage, door, port=None):
        self.stage, self.door = stage, door
        self.redirect = f"http://127.0.0.1:{port or free_port()}/callback"
        self.metadata = self.discovered()
        self.id = None

    def discovered(self):
        """RFC 9728 from the challenge, then RFC 8414."""
        answer = web.request("POST", self.door, modern("whoami"), modern_headers("", "whoami"))
        demand(answer.status == 401, f"without a token: {answer.status}")
        found = re.search(r'resource_metadata="([^"]+)"', answer.headers.get("WWW-Authenticate", ""))
        demand(found, f"no metadata in {answer.headers.get('WWW-Authenticate')}")
        resource = web.request("GET", found[1]).json()
        demand(resource["resource"] == self.door, f"the metadata is of {resource['resource']}")
        self.issuer = resource["authorization_servers"][0]
        place = urlsplit(self.issuer)
        url = f"{place.scheme}://{place.netloc}/.well-known/oauth-authorization-server{place.path.rstrip('/')}"
        metadata = web.request("GET", url).json()
        demand(metadata.get("issuer") == self.issuer, f"the authorization server calls itself {metadata.get('issuer')}")
        return metadata

    def register(self, redirects=None, **more):
        body = {"client_name": "by hand", "redirect_uris": redirects or [self.redirect], "response_types": ["code"],
                "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none", **more}
        answer = web.request("POST", self.metadata["registration_endpoint"], body)
        if answer.status in (200, 201):
            self.id = answer.json()["client_id"]
        return answer

    def registered(self):
        answer = self.register()
        demand(self.id, f"registration: {answer.status} {answer.text[:200]}")
        return self

    def url(self, drop=(), **other):
        """The authorization request, with a fresh state and verifier."""
        self.verifier, self.state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.id, "redirect_uri": self.redirect, "state": self.state,
                 "code_challenge": challenge, "code_challenge_method": "S256", "resource": self.door, **other}
        return self.metadata["authorization_endpoint"] + "?" + urlencode(
            {name: value for name, value in query.items() if name not in drop})

    def asked(self, person, **other):
        """Walks as far as the way back, which is kept from being gone: the answer's parameters."""
        walked = self.stage.browser.walked(person, self.url(**other), stop_at=self.redirect)
        came = {name: values[0] for name, values in parse_qs(urlsplit(walked["stopped"]).query).items()}
        demand(came.get("state") == self.state, f"another state came back: {sorted(came)}")
        return came

    def code(self, person, **other):
        came = self.asked(person, **other)
        demand("code" in came, f"no code: {came}")
        demand(came.get("iss") == self.issuer, f"the way back names the issuer {came.get('iss')}")
        return came["code"]

    def token(self, code, **other):
        body = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect, "client_id": self.id,
                "code_verifier": self.verifier, "resource": self.door, **other}
        return self._ask(self.metadata["token_endpoint"], body)

    def tokens(self, person):
        """A login to its end."""
        answer = self.token(self.code(person))
        demand(answer.status == 200, f"no token: {answer.status} {answer.text[:200]}")
        return answer.json()

    def refresh(self, token, **other):
        return self._ask(self.metadata["token_endpoint"],
                         {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.id, **other})

    def revoke(self, token):
        return self._ask(self.metadata["revocation_endpoint"], {"token": token, "client_id": self.id})

    def _ask(self, url, body):
        answer = web.request("POST", url, urlencode(body).encode(), FORM)
        given = answer.json()
        for name in ("access_token", "refresh_token"):
            if given.get(name):
                self.stage.mint.also(f"the facade's {name}", given[name])
        return answer
