"""Runtimes that prove who they are: SVIDs by token and by certificate, tokens of a cluster and of a CI."""

import base64
import http.client
import json
import ssl
from urllib.parse import urlsplit

from ..attester import Attester
from ..claim import Claim, demand
from ..gateway import Gateway, call, modern, modern_headers, succeeded
from ..keys import Authority, openssl
from ..manifests import configuration, environment, policy, server, together
from ..upstreams import Workshop

DOMAIN, FOREIGN = "prod.example", "other.example"
SPIFFE_ID = f"spiffe://{DOMAIN}/ns/payments/sa/api"
REPOSITORY = "octo-org/octo-repo"
ACCOUNT = "system:serviceaccount:payments:worker"
# workload: the part of a manifest that says who it is
WORKLOADS = ("payments-api", "payments-worker", "release-job")


class Fleet:
    """Three runtimes of three kinds, each with a credential of its own at the one server, and the gateways that
    they come to: by plain HTTP with tokens, and by TLS with certificates."""

    def __init__(self, stage):
        self.stage = stage
        self.spire, self.foreign = Attester(stage, "spire", "jwt-svid"), Attester(stage, "foreign", "jwt-svid")
        self.cluster, self.ci = Attester(stage, "cluster"), Attester(stage, "ci")
        self.authority, self.stranger = Authority(stage, "spire"), Authority(stage, "stranger")
        self.bundle = stage.folder / "bundle.json"
        self.bundle.write_text(json.dumps(self.trust_bundle()))
        self.upstream = Workshop(stage, "workload")
        self.credentials = {}
        for name in WORKLOADS:
            self.credentials[name] = stage.mint.make(f"workload {name}")
            self.upstream.accept(self.credentials[name])
            stage.openbao.put(f"kv/workloads/{name}", self.credentials[name])
        self.gateway = self.raised("workload", False)
        self.door = self.gateway.door("dev", "issues")

    def trust_bundle(self):
        bundle = self.spire.bundle()
        der = openssl("x509", "-in", self.authority.certificate, "-outform", "DER")
        point = openssl("x509", "-in", self.authority.certificate, "-noout", "-pubkey")
        raw = openssl("pkey", "-pubin", "-outform", "DER", given=point)[-64:]
        encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (raw[:32], raw[32:])]
        bundle["keys"].append({"use": "x509-svid", "kty": "EC", "crv": "P-256", "x": encoded[0], "y": encoded[1],
                               "x5c": [base64.b64encode(der).decode()]})
        return bundle

    def raised(self, name, tls):
        text = configuration(self.stage, ["issues"])
        identity = f"""    - issuer: {self.cluster.url}
      preset: kubernetes
      audiences: [{{ value: "http://@LISTEN@/mcp/dev/issues", environment: dev, servers: [issues] }}]
    - issuer: {self.ci.url}
      preset: github_actions
      audiences: [{{ value: "http://@LISTEN@/mcp/dev/issues", environment: dev, servers: [issues] }}]
  trust_domains:
    - trust_domain: {DOMAIN}
      bundle_file: {self.bundle}
      audiences: [{{ value: "http://@LISTEN@/mcp/dev/issues", environment: dev, servers: [issues] }}]
operators:
"""
        text = text.replace("operators:\n", identity, 1)
        if tls:
            leaf, key = Authority(self.stage, f"{name}-server").issue("IP:127.0.0.1", "serverAuth")
            text = text.replace("http://@LISTEN@", "https://@LISTEN@")
            text += (f"tls: {{ certificate_file: {leaf}, key_file: {key}, "
                     f"clients: {{ trust_domains: [{DOMAIN}] }} }}\n")
        gateway = Gateway(self.stage, name, text).start().log_in()
        gateway.apply(self.manifests())
        return gateway

    def manifests(self):
        identities = {
            "payments-api": f'{{ issuer: "spiffe://{DOMAIN}", subject: "{SPIFFE_ID}" }}',
            "payments-worker": f'{{ issuer: "{self.cluster.url}", subject: "system:serviceaccount:payments:*" }}',
            "release-job": f'{{ issuer: "{self.ci.url}", claims: {{ repository: {REPOSITORY}, '
                           f'ref: refs/heads/main }} }}',
        }
        return together(
            environment(), server(self.upstream.url),
            *[f"kind: Workload\nname: {name}\nenvironments: [dev]\nowner: support\npurpose: proves a claim\n"
              f"identities:\n  - {identities[name]}\n" for name in WORKLOADS],
            policy(condition='context.risk != "destructive"').replace("principal has agent", "principal has workload"),
            *[self.binding(name) for name in WORKLOADS],
        )

    def binding(self, name):
        return f"""kind: Binding
name: {name}
environment: dev
server: issues
actor: {{ workloads: [{name}] }}
mode: workload_identity
secret: "bao://kv/workloads/{name}#token"
inject: {{ header: Authorization, format: "Bearer {{secret}}" }}
policy: support-calls
risk: write
owner: support
"""

    def token_of_cluster(self, account="worker", namespace="payments", seconds=600, audience=None):
        inner = {"namespace": namespace, "serviceaccount": {"name": account, "uid": "0b5e"},
                 "pod": {"name": f"{account}-7d4f", "uid": "11aa"}}
        return self.cluster.token(f"system:serviceaccount:{namespace}:{account}", [audience or self.door], seconds,
                                  **{"kubernetes.io": inner})

    def token_of_ci(self, reference="refs/heads/main", repository=REPOSITORY, issuer=None):
        return (issuer or self.ci).token(
            f"repo:{repository}:ref:{reference}", self.door, issuer=self.ci.url, repository=repository, ref=reference,
            repository_owner=repository.partition("/")[0], workflow="release", event_name="push", run_id="4242")

    # What the upstream saw

    def served(self, token, workload):
        """The call succeeds, with the credential of that workload and no other."""
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.door, token, "echo", {"text": "hello"})
        demand(succeeded(answer), f"{workload}: {answer.status} {answer.text[:300]}")
        self.arrived(mark, workload)

    def arrived(self, mark, workload):
        seen = {line["credential_sha256"] for line in self.upstream.log.since(mark) if line["method"] == "tools/call"}
        demand(seen == {self.credentials[workload].sha256}, f"{workload}: another credential arrived")

    def refused(self, what, token, code, status):
        mark = self.upstream.log.mark()
        answer = call(self.stage, self.door, token, "echo", {"text": "hello"})
        demand((answer.status, answer.code()) == (status, code),
               f"{what}: {answer.status} {answer.code()} where {code} was expected")
        demand(not self.upstream.log.since(mark), f"{what}: reached the upstream")


def judge(stage):
    fleet = Fleet(stage)
    fleet.served(fleet.spire.svid(SPIFFE_ID, fleet.door), "payments-api")
    fleet.served(fleet.token_of_cluster(), "payments-worker")
    fleet.served(fleet.token_of_ci(), "release-job")
    refusals = by_token(fleet)
    explained = explanations(fleet)
    fleet.gateway.keep_metrics()
    fleet.gateway.stop()
    certificates = by_certificate(fleet)
    for attester in (fleet.spire, fleet.foreign, fleet.cluster, fleet.ci):
        attester.end()
    return (f"JWT-SVID, Kubernetes and GitHub shapes: each with the credential of its workload; {refusals} tokens "
            f"refused; {explained} explained; X.509-SVID: {certificates}")


def by_token(fleet):
    elsewhere = fleet.gateway.door("dev", "elsewhere")
    cases = [
        ("foreign trust domain", fleet.foreign.svid(f"spiffe://{FOREIGN}/ns/payments/sa/api", fleet.door), "token.invalid", 401),
        ("our trust domain by foreign keys", fleet.foreign.svid(SPIFFE_ID, fleet.door), "token.invalid", 401),
        ("a foreign ID by our keys", fleet.spire.svid(f"spiffe://{FOREIGN}/ns/payments/sa/api", fleet.door), "token.invalid", 401),
        ("expired SVID", fleet.spire.svid(SPIFFE_ID, fleet.door, -600), "token.expired", 401),
        ("SVID of another audience", fleet.spire.svid(SPIFFE_ID, elsewhere), "token.audience", 401),
        ("SVID that is no workload of ours", fleet.spire.svid(f"spiffe://{DOMAIN}/ns/other/sa/api", fleet.door), "server.unknown", 404),
        ("expired cluster token", fleet.token_of_cluster(seconds=-600), "token.expired", 401),
        ("cluster token of another audience", fleet.token_of_cluster(audience=elsewhere), "token.audience", 401),
        ("another namespace", fleet.token_of_cluster(namespace="billing"), "server.unknown", 404),
        ("another branch", fleet.token_of_ci("refs/heads/wip"), "server.unknown", 404),
        ("a fork", fleet.token_of_ci(repository="mallory/octo-repo"), "server.unknown", 404),
        ("CI token by foreign keys", fleet.token_of_ci(issuer=fleet.foreign), "token.invalid", 401),
    ]
    for case in cases:
        fleet.refused(*case)
    return len(cases)


def explanations(fleet):
    """`workload explain` says which workload a token is, and what would have to change."""
    cases = {"payments-api": fleet.spire.svid(SPIFFE_ID, fleet.door), "payments-worker": fleet.token_of_cluster(),
             "release-job": fleet.token_of_ci()}
    for name, token in cases.items():
        story = explained(fleet, token)
        matched = [mapping["workload"] for mapping in story["mappings"] if mapping["matches"]]
        demand(story["verified"] and matched == [name], f"explain of {name}: {json.dumps(story)[:400]}")
        served = [place["workload"] for place in story["environments"] if place.get("opened")]
        demand(served == [name], f"explain of {name}: {json.dumps(story['environments'])[:300]}")
    story = explained(fleet, fleet.token_of_ci("refs/heads/wip"))
    parts = [part["part"] for mapping in story["mappings"] if mapping["workload"] == "release-job"
             for identity in mapping["identities"] for part in identity]
    demand(parts == ["claims.ref"], f"explain of another branch: {json.dumps(story['mappings'])[:400]}")
    story = explained(fleet, fleet.spire.svid(SPIFFE_ID, fleet.door, -600), expect=(1,))
    demand(story["verified"] is False and story["because"], f"explain of an expired SVID: {story}")
    return len(cases) + 2


def explained(fleet, token, expect=(0,)):
    file = fleet.stage.private(fleet.stage.folder / "tokens" / "sample", token)
    try:
        return fleet.gateway.cli("workload", "explain", "--caller-token-file", file, expect=expect)
    finally:
        file.unlink()


def by_certificate(fleet):
    """A gateway that takes client certificates of the trust domain."""
    fleet.gateway = fleet.raised("workload-tls", True)
    fleet.door = fleet.gateway.door("dev", "issues").replace("http:", "https:")
    mark = fleet.upstream.log.mark()
    status, body = over_tls(fleet, fleet.authority.issue(f"URI:{SPIFFE_ID}"))
    demand(status == 200 and b'"result"' in body, f"X.509-SVID: {status} {body[:300]}")
    fleet.arrived(mark, "payments-api")
    mark = fleet.upstream.log.mark()
    cases = {
        "foreign authority": fleet.stranger.issue(f"URI:{SPIFFE_ID}"),
        "foreign trust domain": fleet.authority.issue(f"URI:spiffe://{FOREIGN}/ns/payments/sa/api"),
        "expired": fleet.authority.issue(f"URI:{SPIFFE_ID}", expired=True),
        "two IDs": fleet.authority.issue(f"URI:{SPIFFE_ID},URI:spiffe://{DOMAIN}/ns/payments/sa/other"),
        "no workload of ours": fleet.authority.issue(f"URI:spiffe://{DOMAIN}/ns/other/sa/api"),
    }
    outcomes = {}
    for name, pair in cases.items():
        try:
            status, body = over_tls(fleet, pair)
        except (ssl.SSLError, ConnectionError, http.client.HTTPException) as error:
            outcomes[name] = "handshake" if not isinstance(error, http.client.HTTPException) else "closed"
            continue
        outcomes[name] = str(status)
        demand(status in (401, 404), f"{name}: {status} {body[:300]}")
    demand(outcomes["no workload of ours"] == "404", f"an unmapped certificate: {outcomes}")
    demand(not fleet.upstream.log.since(mark), "a refused certificate reached the upstream")
    fleet.gateway.stop()
    return f"served with its own credential; refused: {', '.join(f'{name} ({how})' for name, how in outcomes.items())}"


def over_tls(fleet, pair):
    """One call with the certificate and without any token."""
    place = urlsplit(fleet.door)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*pair)
    connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=30, context=context)
    headers = {name: value for name, value in modern_headers("", "echo").items() if name != "Authorization"}
    try:
        connection.request("POST", place.path, modern("echo", {"text": "hello"}), headers)
        # In TLS 1.3 the server judges the certificate after the client has begun to speak.
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


CLAIMS = (
    Claim("workload", "a workload is who its JWT-SVID, X.509-SVID, cluster or CI token says, and gets the credential of "
                      "that workload; foreign trust domains, expired ones, other audiences and unmapped ones are "
                      "refused; `workload explain` names what did not fit", judge),
)
