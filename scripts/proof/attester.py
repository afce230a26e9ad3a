"""Issuers of runtime identities: protocol-faithful stubs, since no cluster and no cloud is at hand. They publish a
discovery document and a key set, or a SPIFFE bundle, and sign what a real one would sign."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .keys import SigningKey


class Attester:
    """One issuer at an address of its own."""

    def __init__(self, stage, name, use="sig"):
        self.stage, self.key = stage, SigningKey(stage, f"{name}-key", use)
        self.fetched = []
        attester = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self):
                attester.fetched.append(self.path)
                body = attester.pages().get(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body or {}).encode())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def pages(self):
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url, "jwks_uri": f"{self.url}/keys", "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            },
            "/keys": {"keys": [self.key.public()]},
            "/bundle": self.bundle(),
        }

    def bundle(self):
        """The SPIFFE trust bundle, as a file or an endpoint has it."""
        return {"keys": [{**self.key.public(), "use": "jwt-svid"}], "spiffe_sequence": 1, "spiffe_refresh_hint": 60}

    def token(self, subject, audience, seconds=600, issuer=None, **claims):
        """A token as this issuer signs it; `seconds` below nought makes an expired one."""
        now = int(time.time())
        issued = now if seconds > 0 else now - 3600
        body = {"iss": issuer or self.url, "sub": subject, "aud": audience, "iat": issued, "nbf": issued,
                "exp": now + seconds, **claims}
        return self.stage.mint.also("a workload's token", self.key.sign(body))

    def svid(self, spiffe_id, audience, seconds=600):
        """A JWT-SVID: no issuer (SPIFFE JWT-SVID, section 3)."""
        now = int(time.time())
        body = {"sub": spiffe_id, "aud": [audience], "iat": now if seconds > 0 else now - 3600, "exp": now + seconds}
        return self.stage.mint.also("a JWT-SVID", self.key.sign(body))

    def end(self):
        self._server.shutdown()
