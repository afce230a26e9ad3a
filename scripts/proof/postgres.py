"""A real PostgreSQL server: loopback, password by file, ended with the run."""

import os
import pwd
import secrets

from . import parts
from .claim import demand
from .processes import free_port, until


class Postgres:
    def __init__(self, stage, name="postgres"):
        self.stage = stage
        self.folder = stage.folder / name
        self.folder.mkdir(mode=0o755)
        # The run's folder is private; the server runs as another user and must get through.
        os.chmod(stage.folder, 0o711)
        self.port = free_port()
        self.programs = parts.program("initdb").resolve().parent
        self.password_file = self.folder / "password"
        stage.private(self.password_file, secrets.token_hex(16))
        self.account = self._account()
        if self.account:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
            os.chown(self.password_file, self.account.pw_uid, self.account.pw_gid)
        self._run("initdb", "--username=gateway", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync",
                  f"--pwfile={self.password_file}", "-D", self.folder / "data")
        command = self._command("postgres", "-D", self.folder / "data", "-p", self.port, "-c",
                                "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
        self.child = stage.children.start(name, command, cwd=self.folder, env=self._environment())
        until("PostgreSQL answers", self._answers, 60, 0.1)
        # The gateway's copy: a password file is read by its owner alone.
        self.gateway_password = stage.private(stage.folder / f"{name}-password", self.password_file.read_text())
        self.url = f"postgres://gateway@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def _account(self):
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        return None

    def _environment(self):
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSFILE": "/dev/null"}

    def _command(self, name, *arguments):
        command = [self.programs / name, *arguments]
        if self.account:
            identity = [f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups", "--"]
            command = ["setpriv", *identity, *command]
        return command

    def _run(self, name, *arguments):
        command = self._command(name, *arguments)
        code, _, complaint = self.stage.children.run(command, cwd=self.folder, env=self._environment())
        demand(code == 0, f"{name}: {complaint.strip()[-300:]}")

    def _answers(self):
        return self.ask("select 1")[0] == 0

    def ask(self, query):
        """Exit code and output of one query by the owner."""
        command = self._command("psql", "-h", "127.0.0.1", "-p", self.port, "-U", "gateway", "-Atc", query, "postgres")
        environment = {**self._environment(), "PGPASSWORD": self.password_file.read_text()}
        return self.stage.children.run(command, cwd=self.folder, env=environment)[:2]

    def roles(self):
        """Who may log in, but for the owner."""
        code, out = self.ask("select rolname from pg_roles where rolcanlogin and not rolsuper")
        demand(code == 0, "PostgreSQL does not list its roles")
        return set(out.split())
