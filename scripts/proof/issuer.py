"""The real npm oidc-provider: the issuer of agents' tokens and of operators' tokens."""

import json
import os
import secrets

from . import parts
from .claim import demand

REDIRECT = "http://127.0.0.1:1/callback"


class Issuer:
    """Clients are agents; accounts are people. Client secrets are made here and stay here. `around` is the environment
    of its process, where it is not the prover's."""

    def __init__(self, stage, agents, people, name="oidc", around=None):
        self.stage = stage
        self.secrets = {agent: secrets.token_hex(16) for agent in agents}
        clients = [{"client_id": name, "client_secret": value, "access_token_ttl": 3600}
                   for name, value in self.secrets.items()]
        clients.append({
            "client_id": "operator-cli", "token_endpoint_auth_method": "none", "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code"], "response_types": ["code"], "access_token_ttl": 3600,
        })
        environment = {
            **(around or os.environ), "OIDC_CLIENTS": json.dumps(clients), "OIDC_ACCOUNTS": json.dumps(people),
            "OIDC_ALG": "ES256",
        }
        self.child = stage.children.start(
            name, [parts.program("node"), parts.NPM / "oidc.mjs", "0"], reads=True, env=environment
        )
        self.url = self.child.ready()
        self.folder = stage.folder / ("tokens" if name == "oidc" else f"tokens-{name}")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.count = 0

    def agent(self, client, resource):
        """An agent's token for one door, by client credentials."""
        return self._token(["--client-id", client, "--secret-env", "CLIENT_SECRET"], resource,
                           {"CLIENT_SECRET": self.secrets[client]})

    def person(self, login, audience):
        """An operator's token, by authorization code with PKCE. Returns the token's file."""
        options = ["--client-id", "operator-cli", "--login", login, "--redirect-uri", REDIRECT]
        return self._token(options, audience, {}, file=True)

    def _token(self, options, resource, extra, file=False):
        self.count += 1
        out = self.folder / f"token-{self.count}"
        command = [parts.program("node"), parts.NPM / "token.mjs", "--issuer", self.url, *options,
                   "--resource", resource, "--out", out]
        code, printed, complaint = self.stage.children.run(command, env={**os.environ, **extra})
        demand(code == 0, f"no token for {resource}: {printed.strip()} {complaint.strip()[-300:]}")
        token = self.stage.mint.also("a caller's token", out.read_text())
        return out if file else token
