"""Verifies the gateway's receipts, with PyJWT (`pip install "pyjwt[crypto]"`).

    python verify.py KEYS ISSUER AUDIENCE < messages

KEYS is the URL of the gateway's `/.well-known/jwks/receipt.json`. Each line of the input is a receipt and the
body it came with, in base64; each line of the output says `accepted` or `rejected`, and why.
"""

import base64
import hashlib
import sys
import time

import jwt

LEEWAY_SECONDS = 5


class Receipts:
    """One for each server: it remembers what came, so that nothing comes twice."""

    def __init__(self, keys, issuer, audience):
        self.keys = jwt.PyJWKClient(keys)
        self.issuer, self.audience = issuer, audience
        self.seen = {}

    def verify(self, receipt, body):
        """What the receipt says; raises jwt.PyJWTError where it does not hold for this message."""
        key = self.keys.get_signing_key_from_jwt(receipt)
        token = jwt.decode_complete(receipt, key, ["EdDSA"], audience=self.audience, issuer=self.issuer,
                                    leeway=LEEWAY_SECONDS, options={"require": ["exp", "nbf", "aud", "iss", "jti"]})
        said, digest = token["payload"], base64.b64encode(hashlib.sha256(body).digest()).decode()
        if token["header"].get("typ") != "mcpgw-receipt+jwt" or said.get("content_digest") != f"sha-256=:{digest}:":
            raise jwt.InvalidTokenError("no receipt of this message")
        self.remember(said)
        return said

    def remember(self, said):
        """Refuses what came before. What has expired is refused anyhow, and is forgotten."""
        now = time.time()
        self.seen = {known: until for known, until in self.seen.items() if until > now}
        if said["jti"] in self.seen:
            raise jwt.InvalidTokenError("this receipt came before")
        self.seen[said["jti"]] = said["exp"] + LEEWAY_SECONDS


def main():
    receipts = Receipts(*sys.argv[1:4])
    for line in sys.stdin:
        receipt, _, body = line.strip().partition(" ")
        try:
            said = receipts.verify(receipt, base64.b64decode(body))
            print(f"accepted {said['jti']}", flush=True)
        except jwt.PyJWTError as error:
            print(f"rejected {error}", flush=True)


if __name__ == "__main__":
    main()
