"""A real OpenBao server: raft storage on disk, unsealed, one KV version 2 mount, one AppRole."""

import os
import signal

from . import parts
from .claim import demand
from .processes import free_port, until
from .web import request

POLICY = 'path "kv/data/*" { capabilities = ["read"] }'
LEASES = """path "database/creds/*" { capabilities = ["read", "update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""


class OpenBao:
    """Its folder is the store's own; nothing else may hold a value."""

    def __init__(self, stage, folder, name="openbao", certificate=None):
        """With a certificate and its key it listens for TLS too, at `tls_address`."""
        self.stage, self.folder, self.name, self.certificate = stage, folder, name, certificate
        (folder / "data").mkdir(parents=True)
        self.port, self.cluster_port, self.tls_port = free_port(), free_port(), free_port()
        self.tls_address = f"https://127.0.0.1:{self.tls_port}"
        self.address = f"http://127.0.0.1:{self.port}"
        (folder / "bao.hcl").write_text(self._configuration())
        self.child = None
        self._run()
        made = self._demand("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key, self._root = made["keys_base64"][0], made["root_token"]
        self._unseal()
        self._mount()
        self.secret_id_file = self._approle()

    def _configuration(self):
        return self._tls_listener() + (
            f'storage "raft" {{\n  path = "{self.folder}/data"\n  node_id = "one"\n'
            f'  performance_multiplier = "1"\n}}\n'
            f'listener "tcp" {{\n  address = "127.0.0.1:{self.port}"\n'
            f'  cluster_address = "127.0.0.1:{self.cluster_port}"\n  tls_disable = true\n}}\n'
            f'api_addr = "{self.address}"\ncluster_addr = "https://127.0.0.1:{self.cluster_port}"\n'
        )

    def _tls_listener(self):
        if not self.certificate:
            return ""
        certificate, key = self.certificate
        return (f'listener "tcp" {{\n  address = "127.0.0.1:{self.tls_port}"\n'
                f'  cluster_address = "127.0.0.1:{free_port()}"\n'
                f'  tls_cert_file = "{certificate}"\n  tls_key_file = "{key}"\n}}\n')

    def _run(self):
        self.child = self.stage.children.start(
            self.name, [parts.program("bao").resolve(), "server", "-config=bao.hcl"], cwd=self.folder,
            env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )
        until("OpenBao listens", lambda: self._answers("sys/seal-status"), 60)

    def _answers(self, path):
        try:
            return self.call("GET", path).status == 200
        except OSError:
            return False

    def _unseal(self):
        self._demand("POST", "sys/unseal", {"key": self._unseal_key})
        until("OpenBao is active", lambda: self._answers("sys/health"), 60)

    def _mount(self):
        self._demand("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        until("the mount is ready", lambda: self._answers("kv/config"), 30)
        self.policy = ""
        self.allow(POLICY)

    def _approle(self):
        self._demand("POST", "sys/auth/approle", {"type": "approle"})
        role = {"token_policies": ["gateway"], "token_ttl": "10m", "token_max_ttl": "1h"}
        self._demand("POST", "auth/approle/role/mcp-gateway", role)
        self._demand("POST", "auth/approle/role/mcp-gateway/role-id", {"role_id": "mcp-gateway"})
        made = self._demand("POST", "auth/approle/role/mcp-gateway/secret-id", {})
        secret_id = self.stage.mint.also("AppRole secret id", made["data"]["secret_id"])
        path = self.folder / "secret-id"
        self.stage.private(path, secret_id)
        return path

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if getattr(self, "_root", None):
            headers["X-Vault-Token"] = self._root
        return request(method, f"{self.address}/v1/{path}", body, headers, 30)

    def wrapped(self, path, seconds=300):
        """What this makes, in a wrapping that opens once; the wrapping token."""
        made = self.call("POST", path, {}, X_Vault_Wrap_TTL=f"{seconds}s")
        demand(made.status == 200, f"OpenBao: {path}: {made.status} {made.text[:200]}")
        return self.stage.mint.also("wrapping token", made.json()["wrap_info"]["token"])

    def write(self, path, body):
        """Writes as an administrator, and insists on success."""
        return self._demand("POST", path, body)

    def sessions(self, path):
        """How many tokens there are that were issued at `auth/…/login`."""
        listed = self.call("GET", "auth/token/accessors?list=true").json()["data"]["keys"]
        told = [self.call("POST", "auth/token/lookup-accessor", {"accessor": one}) for one in listed]
        return sum(one.status == 200 and one.json()["data"]["path"] == path for one in told)

    def _demand(self, method, path, body):
        answer = self.call(method, path, body)
        demand(answer.status in (200, 204), f"OpenBao: {path}: {answer.status} {answer.text[:200]}")
        return answer.json() if answer.body else {}

    def put(self, path, credential_or_text, field="token"):
        """Writes `kv/…`, a new version each time; returns the version."""
        value = getattr(credential_or_text, "value", credential_or_text)
        mount, _, rest = path.partition("/")
        made = self._demand("POST", f"{mount}/data/{rest}", {"data": {field: value}})
        return made["data"]["version"]

    def database(self, postgres, roles, default_ttl="5m", max_ttl="10m"):
        """A mount that makes PostgreSQL roles; name -> (statements that make one, statements that drop it)."""
        # Claims of one run share the store: each has a database of its own, and takes the role over.
        if not self._answers("sys/mounts/database"):
            self._demand("POST", "sys/mounts/database", {"type": "database"})
        connection = f"port-{postgres.port}"
        self._demand("POST", f"database/config/{connection}", {
            "plugin_name": "postgresql-database-plugin", "allowed_roles": list(roles),
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/postgres?sslmode=disable",
            "username": "gateway", "password": postgres.password_file.read_text(),
        })
        for name, (create, drop) in roles.items():
            self._demand("POST", f"database/roles/{name}", {
                "db_name": connection, "creation_statements": list(create), "revocation_statements": list(drop),
                "default_ttl": default_ttl, "max_ttl": max_ttl,
            })
        self.allow(LEASES)

    def writable(self, prefix):
        """Lets the gateway write and destroy below a path of the KV mount."""
        self.allow("".join(f'path "kv/{kind}/{prefix}/*" {{ capabilities = [{words}] }}\n' for kind, words in (
            ("data", '"create", "read", "update", "delete"'), ("metadata", '"read", "list", "delete"'),
            ("destroy", '"update"'), ("delete", '"update"'))))

    def allow(self, text):
        """Widens the gateway's policy."""
        self.policy += f"\n{text}"
        self._demand("POST", "sys/policies/acl/gateway", {"policy": self.policy})

    def read(self, path):
        """The newest fields at `kv/…`, as an administrator reads them; nothing where there are none."""
        mount, _, rest = path.partition("/")
        answer = self.call("GET", f"{mount}/data/{rest}")
        return ((answer.json().get("data") or {}).get("data") or {}) if answer.status == 200 else {}

    def names(self, path):
        """What lies below `kv/…`."""
        mount, _, rest = path.partition("/")
        answer = self.call("GET", f"{mount}/metadata/{rest}?list=true")
        return (answer.json().get("data") or {}).get("keys", []) if answer.status == 200 else []

    def stop(self):
        """SIGTERM, as an operator's restart does."""
        self.child.end(signal.SIGTERM)

    def start_again(self):
        self._run()
        self._unseal()
