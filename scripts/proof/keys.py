"""Signing keys and certificates of this run, made by OpenSSL. Private halves live in the run's folder of tokens."""

import base64
import json
import subprocess
import time

from .claim import demand


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def openssl(*arguments, given=None):
    done = subprocess.run(["openssl", *[str(argument) for argument in arguments]], input=given,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    demand(done.returncode == 0, f"openssl {arguments[0]}: {done.stderr.decode()[-300:]}")
    return done.stdout


class SigningKey:
    """A P-256 key: PEM, JWK, and signatures by ES256."""

    def __init__(self, stage, key_id, use="sig"):
        self.key_id, self.use = key_id, use
        self.file = secret_folder(stage) / f"{key_id}.pem"
        self.pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").decode()
        stage.private(self.file, self.pem)
        # Of the PEM no file may hold a whole line of its base64.
        stage.mint.also(f"the private key {key_id}", self.pem.splitlines()[1])

    def public(self):
        """The JWK (RFC 7517)."""
        point = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]
        return {"kty": "EC", "crv": "P-256", "x": base64url(point[:32]), "y": base64url(point[32:]),
                "kid": self.key_id, "alg": "ES256", "use": self.use}

    def sign(self, claims, **header):
        """A compact JWS (RFC 7515)."""
        head = {"alg": "ES256", "typ": "JWT", "kid": self.key_id, **header}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        der = openssl("dgst", "-sha256", "-sign", self.file, given=text.encode())
        return f"{text}.{base64url(raw_signature(der))}"


def raw_signature(der):
    """The two numbers of a DER signature, 32 bytes each (RFC 7518, section 3.4)."""
    numbers, rest = [], der[2:]
    for _ in range(2):
        length = rest[1]
        numbers.append(rest[2:2 + length].lstrip(b"\0").rjust(32, b"\0"))
        rest = rest[2 + length:]
    return b"".join(numbers)


class Authority:
    """A certificate authority and what it signs."""

    def __init__(self, stage, name):
        self.folder, self.name, self.count = secret_folder(stage), name, 0
        self.key, self.certificate = self.folder / f"{name}-ca.key", self.folder / f"{name}-ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate,
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, names, usage="clientAuth", expired=False):
        """(certificate file, key file) of a leaf whose alternative names are such as `URI:spiffe://…`."""
        self.count += 1
        base = self.folder / f"{self.name}-{self.count}"
        key, request, leaf, extensions = (base.with_suffix(end) for end in (".key", ".csr", ".pem", ".ext"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=leaf",
                "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n"
                              "keyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n")
        now = time.time()
        begin, end = (now - 7200, now - 3600) if expired else (now - 60, now + 3600)
        stamp = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment)) for moment in (begin, end)]
        serial = base.with_suffix(".serial")
        self._sign(request, leaf, extensions, stamp, serial)
        return leaf, key

    def _sign(self, request, leaf, extensions, stamp, serial):
        """By `openssl ca`, the only command of all versions that takes both moments."""
        database = serial.with_suffix(".db")
        database.write_text("")
        serial.write_text(f"{0x1000 + self.count:x}\n")
        config = serial.with_suffix(".cnf")
        config.write_text(
            f"[ca]\ndefault_ca=one\n[one]\ndatabase={database}\nserial={serial}\nnew_certs_dir={self.folder}\n"
            f"certificate={self.certificate}\nprivate_key={self.key}\ndefault_md=sha256\npolicy=any\n"
            "unique_subject=no\n[any]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", leaf, "-extfile", extensions,
                "-startdate", stamp[0], "-enddate", stamp[1])


def secret_folder(stage):
    folder = stage.folder / "tokens"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
