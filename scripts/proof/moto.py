"""A real moto server: AWS Secrets Manager, Parameter Store, STS and IAM on loopback. It holds its values in memory."""

import json
import os
from urllib.parse import urlencode

from . import parts
from .claim import demand
from .processes import free_port, until
from .web import request

REGION = "eu-west-1"
ACTIONS = ("secretsmanager:GetSecretValue", "ssm:GetParameter")


class Moto:
    """One account. Whoever does not sign is its owner, until `judge` is asked for."""

    def __init__(self, stage):
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        program = parts.folder() / "moto" / "bin" / "moto_server"
        self.child = stage.children.start(
            "moto", [program, "-H", "127.0.0.1", "-p", port],
            env={"HOME": str(stage.folder), "PATH": os.environ["PATH"]},
        )
        until("moto listens", self._listens, 60)

    def _listens(self):
        try:
            return request("GET", f"{self.url}/moto-api/data.json").status == 200
        except OSError:
            return False

    def role(self, name):
        """A role that may read both stores; its ARN."""
        trust = [{"Effect": "Allow", "Principal": {"Federated": "*"}, "Action": "sts:AssumeRoleWithWebIdentity"}]
        read = [{"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}]
        self._iam(Action="CreateRole", RoleName=name, AssumeRolePolicyDocument=document(trust))
        self._iam(Action="PutRolePolicy", RoleName=name, PolicyName="read", PolicyDocument=document(read))
        return f"arn:aws:iam::123456789012:role/{name}"

    def judge(self, signatures):
        """Whether signatures are recomputed and policies asked. STS would refuse web identities then."""
        count = b"0" if signatures else b"inf"
        answer = request("POST", f"{self.url}/moto-api/reset-auth", count, {"Content-Type": "text/plain"})
        demand(answer.status == 200, f"moto: {answer.status} {answer.text[:200]}")

    def secret(self, name, credential):
        """A new version of a secret with one field; its id."""
        value = json.dumps({"token": credential.value})
        made = self._call("secretsmanager", "secretsmanager.CreateSecret", {"Name": name, "SecretString": value})
        if made.status != 200:
            made = self._call("secretsmanager", "secretsmanager.PutSecretValue",
                              {"SecretId": name, "SecretString": value})
        demand(made.status == 200, f"moto: {made.status} {made.text[:200]}")
        return made.json()["VersionId"]

    def parameter(self, name, credential):
        """A new version of a parameter with one field; its number."""
        made = self._call("ssm", "AmazonSSM.PutParameter", {
            "Name": name, "Value": json.dumps({"token": credential.value}), "Type": "SecureString", "Overwrite": True})
        demand(made.status == 200, f"moto: {made.status} {made.text[:200]}")
        return str(made.json()["Version"])

    def _call(self, service, target, body):
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, **owner(service)}
        return request("POST", self.url, json.dumps(body).encode(), headers)

    def _iam(self, **fields):
        headers = {"Content-Type": "application/x-www-form-urlencoded", **owner("iam")}
        answer = request("POST", self.url, urlencode({"Version": "2010-05-08", **fields}).encode(), headers)
        demand(answer.status == 200, f"moto: {fields['Action']}: {answer.status} {answer.text[:200]}")


def document(statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def owner(service):
    """Says which service is meant."""
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential=AKIAOWNER/20260101/{REGION}/{service}/aws4_request, "
                             "SignedHeaders=host, Signature=none"}
