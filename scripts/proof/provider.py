"""The real npm oidc-provider in its other roles: the identity provider of an enterprise, where people log in by
pages, and an authorization server that upstream servers trust. It keeps a ledger of what it did."""

import base64
import json
import os
from urllib.parse import quote, urlencode

from . import parts, web
from .claim import demand
from .credential import random_text
from .issuer import REDIRECT
from .keys import secret_folder
from .processes import free_port
from .upstreams import Log

CODE, REFRESH, CLIENT = "authorization_code", "refresh_token", "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class AuthorizationServer:
    """Its address is known before it starts, and stays the same when it starts again. Browsers keep cookies per
    host, so each server that shows pages has a loopback address of its own."""

    def __init__(self, stage, name, host="127.0.0.1", scopes="notes:read notes:write", tokens="jwt", people=None):
        self.stage, self.name, self.host = stage, name, host
        self.url = f"http://{host}:{free_port()}"
        self.scopes, self.tokens, self.people = scopes, tokens, people or {}
        self.clients, self.child = [], None
        self.folder = stage.folder / f"provider-{name}"
        self.folder.mkdir()
        self.ledger = Log(self.folder / "ledger.jsonl")
        self.trust_file = self.folder / "trust.json"
        self.trust({})

    def client(self, client_id, *grants, **metadata):
        """Registers a client before the start. One with a secret gets one of this run's credentials, returned."""
        entry = {"client_id": client_id, "grant_types": list(grants), **metadata}
        secret = None
        if metadata.get("token_endpoint_auth_method", "client_secret_basic").startswith("client_secret"):
            secret = self.stage.mint.make(f"client secret of {client_id}")
            entry["client_secret"] = secret.value
        if CODE in grants:
            entry["response_types"] = ["code"]
        self.clients.append(entry)
        return secret

    def trust(self, issuers):
        """Whose tokens and assertions count from now on: issuer -> {jwks_uri, audiences}, each optional."""
        fresh = self.trust_file.with_suffix(".new")
        fresh.write_text(json.dumps(issuers))
        os.replace(fresh, self.trust_file)

    def start(self):
        port = self.url.rpartition(":")[2]
        environment = {
            **os.environ, "OIDC_CLIENTS": json.dumps(self.clients), "OIDC_ACCOUNTS": json.dumps(self.people),
            "OIDC_ALG": "ES256", "OIDC_HOST": self.host, "OIDC_SCOPES": self.scopes, "OIDC_TOKENS": self.tokens,
            "OIDC_TRUST_FILE": str(self.trust_file), "OIDC_LEDGER": str(self.ledger.path),
            "OIDC_JWKS_FILE": str(self.folder / "keys.json"),
        }
        command = [parts.program("node"), parts.NPM / "oidc.mjs", port]
        self.child = self.stage.children.start(f"provider-{self.name}", command, reads=True, env=environment)
        demand(self.child.ready() == self.url, f"{self.name} has another address")
        return self

    def stop(self):
        self.child.end()

    def sums(self):
        """What it did since it started, by its own count."""
        return web.request("GET", f"{self.url}/ledger").json()

    def count(self, what):
        return self.sums().get(what, 0)

    def requests(self, mark=0, route="token"):
        return [line for line in self.ledger.since(mark) if line["route"] == route]

    def person(self, login, resource, client_id="cli"):
        """A person's token, by code and PKCE through the pages; `client_id` is a public client with the redirect."""
        out = secret_folder(self.stage) / f"{self.name}-{login}-{random_text(6)}"
        command = [parts.program("node"), parts.NPM / "token.mjs", "--issuer", self.url, "--client-id", client_id,
                   "--login", login, "--redirect-uri", REDIRECT, "--resource", resource, "--out", out,
                   "--scope", self.scopes]
        code, printed, complaint = self.stage.children.run(command)
        demand(code == 0, f"no token for {login}: {printed.strip()} {complaint.strip()[-300:]}")
        return self.stage.mint.also(f"a token of {login}", out.read_text())

    def public_client(self, client_id="cli"):
        self.client(client_id, CODE, token_endpoint_auth_method="none", redirect_uris=[REDIRECT])

    def acting_for(self, client_id, secret, subject_token, resource):
        """The client's token for somebody else: RFC 8693, with the client as the acting party."""
        body = urlencode({"grant_type": EXCHANGE, "subject_token": subject_token, "resource": resource,
                          "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}).encode()
        answer = web.request("POST", f"{self.url}/token", body, self._as(client_id, secret))
        demand(answer.status == 200, f"exchange: {answer.status} {answer.text[:200]}")
        return self.stage.mint.also("a delegated token", answer.json()["access_token"])

    def identity_assertion(self, client_id, secret, subject_token, audience, resource):
        """The enterprise's word that the client may act for somebody at another authorization server (ID-JAG)."""
        body = urlencode({"grant_type": EXCHANGE, "subject_token": subject_token, "audience": audience,
                          "resource": resource, "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                          "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag"}).encode()
        answer = web.request("POST", f"{self.url}/token", body, self._as(client_id, secret))
        demand(answer.status == 200, f"ID-JAG: {answer.status} {answer.text[:200]}")
        return self.stage.mint.also("an identity assertion", answer.json()["access_token"])

    def _as(self, client_id, secret):
        pair = f"{quote(client_id, safe='')}:{quote(secret.value, safe='')}"
        return {"Content-Type": "application/x-www-form-urlencoded",
                "Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def introspect(self, client_id, secret, token):
        """Whether the token is active, asked as a client."""
        body = urlencode({"token": token}).encode()
        answer = web.request("POST", f"{self.url}/token/introspection", body, self._as(client_id, secret))
        demand(answer.status == 200, f"introspection: {answer.status} {answer.text[:200]}")
        return answer.json()
