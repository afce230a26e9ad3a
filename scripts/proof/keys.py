"""Signing keys of this run, made by OpenSSL: the private half as PEM, the public half as a JWK."""

import base64
import subprocess

from .claim import demand


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class SigningKey:
    """A P-256 key, for ES256."""

    def __init__(self, key_id):
        self.key_id = key_id
        self.pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").decode()

    def public(self):
        """The JWK (RFC 7517)."""
        point = openssl("pkey", "-pubout", "-outform", "DER", given=self.pem.encode())[-64:]
        return {"kty": "EC", "crv": "P-256", "x": base64url(point[:32]), "y": base64url(point[32:]),
                "kid": self.key_id, "alg": "ES256", "use": "sig"}

    def private_text(self):
        """What of the PEM no file may hold: a whole line of its base64."""
        return self.pem.splitlines()[1]


def openssl(*arguments, given=None):
    done = subprocess.run(["openssl", *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    demand(done.returncode == 0, f"openssl {arguments[0]}: {done.stderr.decode()[-300:]}")
    return done.stdout
