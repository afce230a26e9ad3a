"""Documents of revocations, judged without a line of the gateway's: signature, chain, and what they say."""

import base64
import hashlib
import json

from . import parts
from .claim import demand
from .web import request

VERIFY = """
import json, sys, jwt
given = json.load(sys.stdin)
keys = {key["kid"]: jwt.PyJWK(key) for key in given["keys"]}
said = []
for text in given["documents"]:
    header = jwt.get_unverified_header(text)
    assert header["typ"] == "mcpgw-revocation+jwt" and header["alg"] == "EdDSA", header
    said.append(jwt.decode(text, keys[header["kid"]], algorithms=["EdDSA"], options={"verify_aud": False}))
json.dump(said, sys.stdout)
"""


def public_keys(gateway):
    answer = request("GET", f"{gateway.public_url}/.well-known/jwks/revocation.json")
    demand(answer.status == 200, f"key set: {answer.status}")
    return answer.json()["keys"]


def judged(stage, keys, documents):
    """What the documents say, by PyJWT and the rules of docs/rotation-and-revocation.md."""
    code, out, err = stage.children.run([parts.python(), "-c", VERIFY],
                                        input=json.dumps({"keys": keys, "documents": documents}))
    demand(code == 0, f"PyJWT refuses a document: {err.strip()[-300:]}")
    said = json.loads(out)
    for number, claims in enumerate(said, 1):
        demand(claims["serial"] == number and claims["jti"] == f"{claims['revocation']}.{number}", f"{claims['jti']}")
        before = hashlib.sha256(documents[number - 2].encode()).hexdigest() if number > 1 else None
        demand(claims.get("previous") == before, f"document {number} does not follow the one before it")
        unsettled = [end for end in claims["outside"] if end["state"] in ("refused", "unanswered", "irrevocable")]
        demand(claims["status"] == ("outstanding" if unsettled else "complete"), f"{claims['status']}: {unsettled}")
    return said


def by_cli(stage, gateway, documents, keys_file, expect=0):
    """The verdict of `revocation verify`, which asks nobody."""
    file = gateway.folder / "documents"
    file.write_text("\n".join(documents) + "\n")
    command = [stage.program, "--output", "json", "revocation", "verify", file, "--jwks", keys_file]
    code, out, err = stage.children.run(command)
    demand(code == expect, f"`revocation verify` ended with {code}: {(out + err)[-300:]}")
    return json.loads(out)


def forged(document):
    """The same document, called complete."""
    header, payload, signature = document.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims.update(status="complete", outside=[])
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"
